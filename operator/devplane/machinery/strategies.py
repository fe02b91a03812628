"""What the server adds to and checks of an object because it holds state: cluster IPs, names of custom resources."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

from devplane.admission.built_in import admit_claim, admit_growth, admit_pod
from devplane.custom.checks import complete_definition
from devplane.errors import ApiError
from devplane.machinery import quota
from devplane.machinery.node_ports import NodePorts
from devplane.resources.registry import Resource
from devplane.storage.store import Store

if TYPE_CHECKING:
    from devplane.machinery.schemas import Schema

Obj = dict[str, Any]

_CRDS = "customresourcedefinitions.apiextensions.k8s.io"


class Addresses:
    """Hands out cluster IPs of the service network."""

    def __init__(self, network: IPv4Network, used: Callable[[], set[str]]) -> None:
        self._network = network
        self._used = used
        self._next = 0

    def take(self) -> str:
        used = self._used()
        count = self._network.num_addresses - 2
        for _ in range(count):
            self._next = self._next % count + 1
            address = str(self._network[self._next])
            if address not in used:
                return address
        raise ApiError.internal(f"failed to allocate IP: range {self._network} is full")


class Strategies:
    """`prepare` fills in what a write implies, `errors` names what only the server can see to be wrong."""

    def __init__(self, store: Store, service_network: IPv4Network) -> None:
        self._store = store
        self._addresses = Addresses(service_network, self._used_addresses)
        self._node_ports = NodePorts(lambda: store.items("services"))

    def _used_addresses(self) -> set[str]:
        return {service["spec"].get("clusterIP", "") for service in self._store.items("services")}

    def keeps_status(self, resource: Resource) -> bool:
        """A node's status is the kubelet's, from the first moment."""
        return resource.key == "nodes"

    def prepare(self, resource: Resource, new: Obj, old: Obj | None, schema: Schema, *, is_tried: bool = False) -> None:
        schema.prepare(new, old)
        if resource.key == "services":
            self._prepare_service(new, old)
            self._node_ports.prepare(new, old, is_tried=is_tried)
        elif resource.key == _CRDS:
            complete_definition(new, old)

    def admit(self, resource: Resource, new: Obj) -> None:
        """What Kubernetes' own admission plugins make of a new object; again, after webhooks changed it."""
        if resource.key == "pods":
            admit_pod(new, self._store.get, self._store.items("priorityclasses.scheduling.k8s.io"))
        elif resource.key == "persistentvolumeclaims":
            admit_claim(new, self._store.items("storageclasses.storage.k8s.io"))

    def admit_change(self, resource: Resource, new: Obj, old: Obj) -> None:
        """Raises 403 for a valid change that Kubernetes' own admission plugins refuse."""
        if resource.key == "persistentvolumeclaims":
            admit_growth(new, old, self._store.get)

    def _prepare_service(self, new: Obj, old: Obj | None) -> None:
        spec = new["spec"]
        before = {} if old is None else old["spec"]
        if spec.get("type") == "ExternalName" and before.get("type") not in (None, "ExternalName"):
            self._release(spec, before)
            return
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

    @staticmethod
    def _release(spec: Obj, before: Obj) -> None:
        """What becomes an ExternalName gives back the addresses that it still names."""
        if spec.get("clusterIP", "") in ("", before.get("clusterIP")):
            for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
                spec.pop(key, None)

    def check_quotas(self, resource: Resource, new: Obj) -> None:
        """Raises 403 when the namespace has no room for a new object."""
        namespace = new["metadata"].get("namespace", "")
        if namespace and (quotas := self._store.items("resourcequotas", namespace)):
            quota.check(resource.key, resource.name, new, quotas, lambda one: self._store.items(one, namespace))
