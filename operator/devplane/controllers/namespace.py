"""Namespaces: the default ServiceAccount and CA when they begin, the sweep when they end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from devplane.controllers.loop import Controller, Key
from devplane.errors import ApiError
from devplane.objects import Obj, condition, finalizers, is_deleting, name_of, namespace_of, now, stamp, uid_of

if TYPE_CHECKING:
    from devplane.context import Context
    from devplane.machinery.client import Client

ROOT_CA = "kube-root-ca.crt"
ROOT_CA_NOTE = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)
DISCOVERED = ("False", "ResourcesDiscovered", "All resources successfully discovered")
PARSED = ("False", "ParsedGroupVersions", "All legacy kube types successfully parsed")
DELETED = ("False", "ContentDeleted", "All content successfully deleted, may be waiting on finalization")


def conditions(
    namespace: Mapping[str, Any], left: Mapping[str, int], held: Mapping[str, int], when: datetime
) -> list[Obj]:
    """What a terminating namespace says: `left` counts objects by resource, `held` objects by finalizer. Pure."""
    said = {
        "NamespaceDeletionDiscoveryFailure": DISCOVERED,
        "NamespaceDeletionGroupVersionParsingFailure": PARSED,
        "NamespaceDeletionContentFailure": DELETED,
        "NamespaceContentRemaining": _remaining(left),
        "NamespaceFinalizersRemaining": _held(held),
    }
    return [_condition(namespace, type_, *one, when) for type_, one in said.items()]


def _condition(namespace: Mapping[str, Any], type_: str, status: str, reason: str, message: str, when: datetime) -> Obj:
    before = condition(namespace, type_)
    since = before["lastTransitionTime"] if before is not None and before["status"] == status else stamp(when)
    return {"type": type_, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}


def _remaining(left: Mapping[str, int]) -> tuple[str, str, str]:
    if not left:
        return "False", "ContentRemoved", "All content successfully removed"
    counts = ", ".join(f"{_qualified(name)} has {count} resource instances" for name, count in sorted(left.items()))
    return "True", "SomeResourcesRemain", f"Some resources are remaining: {counts}"


def _qualified(resource: str) -> str:
    """The group follows a dot, also where it is empty: ``pods.``"""
    return resource if "." in resource else f"{resource}."


def _held(held: Mapping[str, int]) -> tuple[str, str, str]:
    if not held:
        return "False", "ContentHasNoFinalizers", "All content-preserving finalizers finished"
    counts = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(held.items()))
    return "True", "SomeFinalizersRemain", f"Some content in the namespace has finalizers remaining: {counts}"


class NamespaceController:
    """Watches everything: the last object that goes lets its namespace go."""

    def __init__(self, client: Client, context: Context) -> None:
        self._client = client
        self._context = context
        self._ending: set[str] = set()

    def controller(self) -> Controller:
        return Controller("namespace-controller", self._client, ("*",), self._concerned, self.sync)

    def _concerned(self, resource: str, type_: str, obj: Obj) -> Iterable[Key]:
        if resource == "namespaces":
            return [("", name_of(obj))]
        namespace = obj["metadata"].get("namespace", "")
        is_own = (resource, name_of(obj)) in {("serviceaccounts", "default"), ("configmaps", ROOT_CA)}
        if namespace and (namespace in self._ending or (is_own and type_ != "ADDED")):
            return [("", namespace)]
        return []

    def sync(self, key: Key) -> None:
        namespace = self._client.get("namespaces", "", key[1])
        if namespace is None:
            self._ending.discard(key[1])
        elif is_deleting(namespace):
            self._ending.add(key[1])
            self._end(namespace)
        else:
            self._begin(name_of(namespace))

    def _begin(self, namespace: str) -> None:
        if self._client.get("serviceaccounts", namespace, "default") is None:
            self._client.create("serviceaccounts", namespace, {"metadata": {"name": "default"}})
        held = self._client.get("configmaps", namespace, ROOT_CA)
        data = {"ca.crt": self._context.ca_pem}
        if held is None:
            metadata = {"name": ROOT_CA, "annotations": {"kubernetes.io/description": ROOT_CA_NOTE}}
            self._client.create("configmaps", namespace, {"metadata": metadata, "data": data})
        elif held.get("data") != data:
            self._client.patch("configmaps", namespace, ROOT_CA, {"data": data})

    def _end(self, namespace: Obj) -> None:
        name = name_of(namespace)
        for resource, obj in self._contents(name):
            if not is_deleting(obj):
                self._delete(resource, obj)
        left = list(self._contents(name))
        if left:
            self._show(namespace, left)
        elif "kubernetes" in (namespace["spec"].get("finalizers") or ()):
            rest = [one for one in namespace["spec"]["finalizers"] if one != "kubernetes"]
            change = {"spec": {"finalizers": rest or None}}
            self._client.patch("namespaces", "", name, change, subresource="finalize")

    def _contents(self, namespace: str) -> Iterable[tuple[str, Obj]]:
        for resource in self._client.resources():
            if self._client.is_namespaced(resource):
                yield from ((resource, obj) for obj in self._client.list(resource, namespace))

    def _delete(self, resource: str, obj: Obj) -> None:
        try:
            self._client.delete(resource, namespace_of(obj), name_of(obj), uid=uid_of(obj), propagation="Background")
        except ApiError as error:
            if error.code not in {404, 409}:
                raise

    def _show(self, namespace: Obj, left: list[tuple[str, Obj]]) -> None:
        counts = Counter(resource for resource, _ in left)
        held = Counter(one for _, obj in left for one in finalizers(obj))
        found = conditions(namespace, counts, held, now())
        if found != (namespace.get("status") or {}).get("conditions"):
            change = {"status": {"conditions": found}}
            self._client.patch("namespaces", "", name_of(namespace), change, subresource="status")
