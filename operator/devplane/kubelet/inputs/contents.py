"""What a node's kubelet knows of ConfigMaps and Secrets. An immutable one is read once and kept, whatever becomes of
it, for as long as a pod of the node that has not ended refers to its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from devplane.objects import Obj

if TYPE_CHECKING:
    from devplane.machinery.client import Client

CONFIG_MAPS, SECRETS = "configmaps", "secrets"
Name = tuple[str, str, str]
"""(resource, namespace, name)."""


class Contents:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._users: dict[Name, set[str]] = {}
        self._kept: dict[Name, Obj] = {}

    def register(self, pod: Obj) -> None:
        uid, namespace = pod["metadata"]["uid"], pod["metadata"]["namespace"]
        for resource, name in references(pod["spec"]):
            self._users.setdefault((resource, namespace, name), set()).add(uid)

    def unregister(self, uid: str) -> None:
        for name, users in list(self._users.items()):
            users.discard(uid)
            if not users:
                del self._users[name]
                self._kept.pop(name, None)

    def get(self, resource: str, namespace: str, name: str) -> Obj | None:
        key = (resource, namespace, name)
        if key in self._kept:
            return self._kept[key]
        found = self._client.get(resource, namespace, name)
        if found is not None and found.get("immutable") and key in self._users:
            self._kept[key] = found
        return found


def references(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The ConfigMaps and Secrets that volumes and environments of a pod name."""
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        yield from _of_container(container)
    for volume in spec.get("volumes") or ():
        for part in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            if source := part.get("configMap"):
                yield CONFIG_MAPS, source["name"]
            if source := part.get("secret"):
                yield SECRETS, source.get("secretName") or source["name"]


def _of_container(container: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    sources = [*(container.get("envFrom") or ()), *(one.get("valueFrom") or {} for one in container.get("env") or ())]
    for source in sources:
        for field, resource in _FIELDS.items():
            if reference := source.get(field):
                yield resource, reference["name"]


_FIELDS = {
    "configMapRef": CONFIG_MAPS,
    "configMapKeyRef": CONFIG_MAPS,
    "secretRef": SECRETS,
    "secretKeyRef": SECRETS,
}
