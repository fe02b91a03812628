"""What the server adds to and checks of an object because it holds state: cluster IPs, names of custom resources."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from devplane.admission import admit_claim, admit_pod
from devplane.errors import Cause
from devplane.resources import Resource
from devplane.store import Store

if TYPE_CHECKING:
    from devplane.schemas import Schema

Obj = dict[str, Any]

_CRDS = "customresourcedefinitions.apiextensions.k8s.io"


class Addresses:
    """Hands out cluster IPs of the service range; nothing listens on them (see docs/devplane.md)."""

    def __init__(self, used: Callable[[], set[str]]) -> None:
        self._used = used
        self._next = 0

    def take(self) -> str:
        used = self._used()
        while True:
            self._next += 1
            address = f"10.96.{self._next // 254 % 256}.{self._next % 254 + 1}"
            if address not in used:
                return address


class Strategies:
    """`prepare` fills in what a write implies, `errors` names what only the server can see to be wrong."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._addresses = Addresses(self._used_addresses)

    def _used_addresses(self) -> set[str]:
        return {service["spec"].get("clusterIP", "") for service in self._store.items("services")}

    def keeps_status(self, resource: Resource) -> bool:
        """A node's status is the kubelet's, from the first moment."""
        return resource.key == "nodes"

    def prepare(self, resource: Resource, new: Obj, old: Obj | None, schema: Schema) -> None:
        schema.prepare(new, old)
        if old is None:
            self._admit(resource, new)
        if resource.key == "services":
            self._prepare_service(new, old)
        elif resource.key == _CRDS:
            from devplane.crds import complete_definition

            complete_definition(new, old)

    def _admit(self, resource: Resource, new: Obj) -> None:
        if resource.key == "pods":
            admit_pod(new, self._store.get)
        elif resource.key == "persistentvolumeclaims":
            admit_claim(new, self._store.items("storageclasses.storage.k8s.io"))

    def _prepare_service(self, new: Obj, old: Obj | None) -> None:
        spec = new["spec"]
        before = {} if old is None else old["spec"]
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if key in before and not spec.get(key):
                spec[key] = before[key]
        if spec.get("type") == "ExternalName":
            return
        if not spec.get("clusterIP"):
            spec["clusterIP"] = self._addresses.take()
        spec.setdefault("clusterIPs", [spec["clusterIP"]])
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")

    def errors(self, resource: Resource, new: Obj, old: Obj | None) -> list[Cause]:
        if resource.key == _CRDS:
            from devplane.crds import definition_errors

            return definition_errors(new, old)
        return []
