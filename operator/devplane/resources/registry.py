"""Which resources are served: built-in ones and those of CustomResourceDefinitions, found by path, kind or name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

STANDARD_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Subresource:
    """One subresource; `group` and `version` are given where its kind is of another group."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


@dataclass(frozen=True)
class Resource:
    """A resource in one version. `store` names where its objects are kept, shared by all versions.

    `warnings` go with every answer about it.
    """

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...] = STANDARD_VERBS
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    store: str = ""
    list_kind: str = ""
    crd: str = ""
    warnings: tuple[str, ...] = ()

    @cached_property
    def name(self) -> str:
        """As in messages and in `devplane.client`: ``pods``, ``jobs.batch``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @cached_property
    def kind_name(self) -> str:
        """As in 422 messages: ``ConfigMap``, ``Job.batch``."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @cached_property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def key(self) -> str:
        """The name of the store of its objects."""
        return self.store or self.name

    @cached_property
    def list_of(self) -> str:
        return self.list_kind or f"{self.kind}List"

    def subresource(self, name: str) -> Subresource | None:
        return next((sub for sub in self.subresources if sub.name == name), None)

    @cached_property
    def has_status(self) -> bool:
        return self.subresource("status") is not None


def _priority(version: str) -> tuple[int, int, int, str]:
    """Released versions before betas before alphas, higher ones first; then any other by name."""
    match = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if match is None:
        return 3, 0, 0, version
    stage = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return stage, -int(match[1]), -int(match[3] or 0), version


class Registry:
    """The resources that exist now. `revision` rises with every change, for caches of discovery and OpenAPI."""

    def __init__(self, builtins: Iterable[Resource]) -> None:
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        self._by_name: dict[str, Resource] = {}
        self._by_kind: dict[tuple[str, str], Resource] = {}
        self.revision = 0
        for resource in builtins:
            self._add(resource)

    def _add(self, resource: Resource) -> None:
        self._by_path[resource.group, resource.version, resource.plural] = resource
        self._by_name.setdefault(resource.name, resource)
        self._by_kind[resource.api_version, resource.kind] = resource

    def at(self, group: str, version: str, plural: str) -> Resource | None:
        return self._by_path.get((group, version, plural))

    def named(self, name: str) -> Resource | None:
        """By ``plural.group``; of a custom resource the storage version."""
        return self._by_name.get(name)

    def of_kind(self, api_version: str, kind: str) -> Resource | None:
        return self._by_kind.get((api_version, kind))

    def all(self) -> list[Resource]:
        return list(self._by_path.values())

    def stored(self) -> list[Resource]:
        """One resource for each store, in its storage version."""
        return [
            resource for resource in self._by_name.values() if not resource.store or resource.store == resource.name
        ]

    def groups(self) -> list[tuple[str, list[str]]]:
        """Groups but the core one with their versions, in the order of discovery."""
        found: dict[str, list[str]] = {}
        for group, version, _ in self._by_path:
            versions = found.setdefault(group, [])
            if version not in versions:
                versions.append(version)
        found.pop("", None)
        custom = {resource.group for resource in self._by_path.values() if resource.crd}
        return [(group, sorted(one, key=_priority) if group in custom else one) for group, one in found.items()]

    def in_version(self, group: str, version: str) -> list[Resource]:
        return [one for one in self._by_path.values() if one.group == group and one.version == version]

    def replace_crd(self, crd: str, served: Iterable[Resource]) -> None:
        """Serve exactly `served` for the CRD named `crd`; the storage version comes first."""
        for path, resource in list(self._by_path.items()):
            if resource.crd == crd:
                del self._by_path[path]
                self._by_name.pop(resource.name, None)
                self._by_kind.pop((resource.api_version, resource.kind), None)
        for resource in served:
            self._add(resource)
        self.revision += 1
