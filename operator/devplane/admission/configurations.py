"""The stored webhook configurations, read once into what matching and calling need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from devplane.storage.store import Change, Store

Obj = dict[str, Any]

GROUP = "admissionregistration.k8s.io"
MUTATING = f"mutatingwebhookconfigurations.{GROUP}"
VALIDATING = f"validatingwebhookconfigurations.{GROUP}"


@dataclass(frozen=True, slots=True)
class Rule:
    """Which operations on which resources."""

    operations: tuple[str, ...]
    groups: tuple[str, ...]
    versions: tuple[str, ...]
    resources: tuple[str, ...]
    scope: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """Where in the cluster a webhook answers."""

    namespace: str
    name: str
    port: int


@dataclass(frozen=True, slots=True, eq=False)
class Webhook:
    """One webhook; `key` is its configuration, that one's version, and its name."""

    key: tuple[str, str, str]
    url: str
    service: Service | None
    path: str
    ca_bundle: str
    rules: tuple[Rule, ...]
    conditions: tuple[str, ...]
    namespace_selector: Obj
    object_selector: Obj
    fails_closed: bool
    is_mutating: bool
    is_reinvoked: bool
    matches_equivalents: bool
    has_side_effects: bool
    seconds: int

    @property
    def name(self) -> str:
        return self.key[2]


class Configurations:
    """Every webhook in the order in which they are asked: configurations by name, webhooks as listed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[str, tuple[Webhook, ...]] = {}
        for resource in (MUTATING, VALIDATING):
            store.subscribe(resource, self._changed)

    @property
    def exist(self) -> bool:
        return bool(self._store.count(MUTATING) or self._store.count(VALIDATING))

    @property
    def mutating(self) -> Sequence[Webhook]:
        return self._of(MUTATING)

    @property
    def validating(self) -> Sequence[Webhook]:
        return self._of(VALIDATING)

    def _of(self, resource: str) -> Sequence[Webhook]:
        if resource not in self._read:
            self._read[resource] = tuple(
                webhook(configuration, one, is_mutating=resource == MUTATING)
                for configuration in self._store.items(resource)
                for one in configuration.get("webhooks") or ()
            )
        return self._read[resource]

    def _changed(self, change: Change) -> None:
        self._read.pop(change.resource, None)


def rules(declared: Sequence[Obj]) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            tuple(one.get("operations") or ()),
            tuple(one.get("apiGroups") or ()),
            tuple(one.get("apiVersions") or ()),
            tuple(one.get("resources") or ()),
            one.get("scope") or "*",
            tuple(one.get("resourceNames") or ()),
        )
        for one in declared
    )


def webhook(configuration: Obj, declared: Obj, *, is_mutating: bool) -> Webhook:
    """A webhook of a stored configuration, whose defaults are set."""
    metadata, client = configuration["metadata"], declared["clientConfig"]
    service = client.get("service")
    return Webhook(
        key=(metadata["name"], metadata["resourceVersion"], declared["name"]),
        url=client.get("url") or "",
        service=Service(service["namespace"], service["name"], service.get("port") or 443) if service else None,
        path=(service or {}).get("path") or "",
        ca_bundle=client.get("caBundle") or "",
        rules=rules(declared.get("rules") or ()),
        conditions=tuple(one["expression"] for one in declared.get("matchConditions") or ()),
        namespace_selector=declared.get("namespaceSelector") or {},
        object_selector=declared.get("objectSelector") or {},
        fails_closed=declared.get("failurePolicy") != "Ignore",
        is_mutating=is_mutating,
        is_reinvoked=declared.get("reinvocationPolicy") == "IfNeeded",
        matches_equivalents=declared.get("matchPolicy") != "Exact",
        has_side_effects=declared.get("sideEffects") not in ("None", "NoneOnDryRun"),
        seconds=declared.get("timeoutSeconds") or 10,
    )
