"""Pods that no kubelet will end: of a node that is gone, or that is out of service. They are deleted by force."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from devplane.controllers.loop import Controller, Key, own_key
from devplane.objects import (
    Obj,
    has_condition,
    is_deleting,
    is_terminal,
    name_of,
    namespace_of,
    uid_of,
    with_condition,
)

if TYPE_CHECKING:
    from devplane.machinery.client import Client

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
ORPHANED = {
    "type": "DisruptionTarget",
    "status": "True",
    "lastProbeTime": None,
    "reason": "DeletionByPodGC",
    "message": "PodGC: node no longer exists",
}


class PodCollector:
    def __init__(self, client: Client) -> None:
        self._client = client

    def controller(self) -> Controller:
        return Controller("pod-garbage-collector", self._client, ("nodes", "pods"), self._concerned, self.sync)

    def _concerned(self, resource: str, type_: str, obj: Obj) -> Iterable[Key]:
        if resource == "nodes":
            return [own_key(obj)]
        node = obj["spec"].get("nodeName")
        return [("", node)] if node and type_ != "DELETED" else []

    def sync(self, key: Key) -> None:
        node = self._client.get("nodes", *key)
        if node is not None and not _is_out_of_service(node):
            return
        for pod in self._client.list("pods", fields=f"spec.nodeName={key[1]}"):
            if node is None:
                self._collect(pod, {"conditions": with_condition(pod, ORPHANED)})
            elif is_deleting(pod):
                self._collect(pod, {})

    def _collect(self, pod: Obj, said: Obj) -> None:
        where = (namespace_of(pod), name_of(pod))
        if not is_terminal(pod):
            self._client.patch("pods", *where, {"status": {"phase": "Failed", **said}}, subresource="status")
        self._client.delete("pods", *where, uid=uid_of(pod), grace_seconds=0)


def _is_out_of_service(node: Obj) -> bool:
    taints = node["spec"].get("taints") or ()
    return any(one["key"] == OUT_OF_SERVICE for one in taints) and not has_condition(node, "Ready")
