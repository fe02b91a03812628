"""What happens around nodes: taints for cordons and failures, pods of a lost node, pods that a taint drives away."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from devplane.controllers.loop import Controller, Key, own_key
from devplane.controllers.placement import UNSCHEDULABLE, patience
from devplane.node import has_failed
from devplane.objects import (
    Obj,
    condition,
    is_deleting,
    is_ready,
    is_terminal,
    moment,
    name_of,
    namespace_of,
    now,
    stamp,
    uid_of,
)

if TYPE_CHECKING:
    from devplane.machinery.client import Client

COMPONENT = "node-controller"
UNREACHABLE = "node.kubernetes.io/unreachable"
NOT_READY = "node.kubernetes.io/not-ready"
OWN_TAINTS = frozenset({UNREACHABLE, NOT_READY, UNSCHEDULABLE["key"]})
UNKNOWN = {
    "status": "Unknown",
    "reason": "NodeStatusUnknown",
    "message": "Kubelet stopped posting node status.",
}
EVICTED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "DeletionByTaintManager",
    "message": "Taint manager: deleting due to NoExecute taint",
}


def wanted_taints(node: Obj) -> list[Obj]:
    """Others' taints as they are, and those that follow from the node's state. Pure."""
    taints = [one for one in node["spec"].get("taints") or () if one["key"] not in OWN_TAINTS]
    if node["spec"].get("unschedulable"):
        taints.append(dict(UNSCHEDULABLE))
    ready = (condition(node, "Ready") or {}).get("status")
    key = UNREACHABLE if has_failed(node) or ready == "Unknown" else NOT_READY if ready == "False" else ""
    return [*taints, *({"key": key, "effect": effect} for effect in ("NoSchedule", "NoExecute") if key)]


def lost_conditions(node: Obj) -> list[Obj] | None:
    """The conditions of a node that nobody hears of any more; None where they say so already. Pure."""
    held = (node.get("status") or {}).get("conditions") or []
    if not held or all(one["status"] == "Unknown" for one in held):
        return None
    return [{**one, **UNKNOWN, "lastTransitionTime": stamp(now())} for one in held]


class NodeLifecycle:
    def __init__(self, client: Client) -> None:
        self._client = client

    def controller(self) -> Controller:
        return Controller("node-lifecycle", self._client, ("nodes", "pods"), self._concerned, self.sync)

    def _concerned(self, resource: str, _: str, obj: Obj) -> Iterable[Key]:
        if resource == "nodes":
            return [own_key(obj)]
        node = obj["spec"].get("nodeName")
        return [("", node)] if node else []

    def sync(self, key: Key) -> float | None:
        node = self._client.get("nodes", *key)
        pods = self._client.list("pods", fields=f"spec.nodeName={key[1]}")
        if node is None:
            for pod in pods:
                self._collect(pod)
            return None
        if has_failed(node) and (conditions := lost_conditions(node)) is not None:
            node = self._client.patch("nodes", *key, {"status": {"conditions": conditions}}, subresource="status")
            self._client.event(node, "Normal", "NodeNotReady", f"Node {key[1]} status is now: NodeNotReady", COMPONENT)
        self._taint(node)
        return self._tend(self._client.get("nodes", *key) or node, pods)

    def _taint(self, node: Obj) -> None:
        held = node["spec"].get("taints") or []
        known = {(one["key"], one["effect"]): one for one in held}
        taints = [known.get((one["key"], one["effect"]), _dated(one)) for one in wanted_taints(node)]
        if taints != held:
            self._client.patch("nodes", "", name_of(node), {"spec": {"taints": taints or None}})

    def _tend(self, node: Obj, pods: Iterable[Obj]) -> float | None:
        """Pods of a lost node are not ready; those that bear its taints no longer are deleted. When to look again."""
        taints = [one for one in node["spec"].get("taints") or () if one["effect"] == "NoExecute"]
        waits = []
        for pod in pods:
            if has_failed(node) and is_ready(pod):
                self._unready(pod)
            if taints and not is_terminal(pod) and not is_deleting(pod):
                waits.append(self._bear(pod, taints))
        return min((one for one in waits if one is not None), default=None)

    def _bear(self, pod: Obj, taints: list[Obj]) -> float | None:
        seconds = patience(pod, taints)
        if seconds is None:
            return None
        since = max((moment(one["timeAdded"]) for one in taints if one.get("timeAdded")), default=now())
        left = (since + timedelta(seconds=seconds) - now()).total_seconds()
        if left <= 0:
            self._evict(pod)
            return None
        return left

    def _evict(self, pod: Obj) -> None:
        where = (namespace_of(pod), name_of(pod))
        message = f"Marking for deletion Pod {where[0]}/{where[1]}"
        self._client.event(pod, "Normal", "TaintManagerEviction", message, "taint-eviction-controller")
        self._set(pod, {**EVICTED, "lastProbeTime": None})
        self._client.delete("pods", *where, uid=uid_of(pod))

    def _unready(self, pod: Obj) -> None:
        self._set(pod, {"type": "Ready", "status": "False", "reason": "NodeNotReady", "lastProbeTime": None})
        self._client.event(pod, "Warning", "NodeNotReady", "Node is not ready", COMPONENT)

    def _set(self, pod: Obj, found: Obj, **status: Any) -> None:
        others = [one for one in pod["status"].get("conditions") or () if one["type"] != found["type"]]
        change = {"conditions": [*others, {**found, "lastTransitionTime": stamp(now())}], **status}
        self._client.patch("pods", namespace_of(pod), name_of(pod), {"status": change}, subresource="status")

    def _collect(self, pod: Obj) -> None:
        """The node is gone, and with it whoever could end its pods."""
        if not is_terminal(pod):
            why = "PodGC: node no longer exists"
            found = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC", "message": why}
            self._set(pod, found, phase="Failed")
        self._client.delete("pods", namespace_of(pod), name_of(pod), uid=uid_of(pod), grace_seconds=0)


def _dated(taint: Obj) -> Obj:
    return {**taint, "timeAdded": stamp(now())}
