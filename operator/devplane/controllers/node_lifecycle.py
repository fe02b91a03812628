"""What a node's state means to others: its conditions when nobody hears of it, its taints, its pods' readiness."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from devplane.controllers.loop import Controller, Key, own_key
from devplane.controllers.node_taints import no_execute, no_schedule
from devplane.node import DECLARED, has_failed
from devplane.objects import Obj, condition, created, name_of, namespace_of, now, stamp, with_condition

if TYPE_CHECKING:
    from devplane.machinery.client import Client

COMPONENT = "node-controller"
LEASES = "leases.coordination.k8s.io"
LEASE_NAMESPACE = "kube-node-lease"
GRACE_SECONDS = 50.0
STARTUP_SECONDS = 60.0
KUBELETS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
LOST = {"status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
NEVER = {"status": "Unknown", "reason": "NodeStatusNeverUpdated", "message": "Kubelet never posted node status."}


def lost_conditions(node: Obj) -> list[Obj]:
    """The conditions of a node that nobody hears of any more. Pure but for the time."""
    conditions = [_lost(one) for one in (node.get("status") or {}).get("conditions") or ()]
    known = {one["type"] for one in conditions}
    times = {"lastHeartbeatTime": created(node), "lastTransitionTime": stamp(now())}
    return [*conditions, *({"type": one, **NEVER, **times} for one in KUBELETS if one not in known)]


def _lost(held: Obj) -> Obj:
    if held["type"] not in KUBELETS or held["status"] == "Unknown":
        return held
    return {**held, **LOST, "lastTransitionTime": stamp(now())}


class Heartbeats:
    """When something was last heard of each node: a status of its own or a renewed Lease."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, tuple[tuple[str, str], float]] = {}

    def left(self, node: Obj, renewed: str) -> float:
        """For how many seconds the node may be silent yet; 0 or less where it has been for too long."""
        ready = condition(node, "Ready")
        said = ((ready or {}).get("lastHeartbeatTime") or "", renewed)
        known = self._last.get(name_of(node))
        if known is None or known[0] != said:
            known = self._last[name_of(node)] = (said, self._clock())
        return known[1] + (STARTUP_SECONDS if ready is None else GRACE_SECONDS) - self._clock()

    def forget(self, name: str) -> None:
        self._last.pop(name, None)


class NodeLifecycle:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._heartbeats = Heartbeats()
        self._registered: dict[str, Obj] = {}
        self._places: dict[str, str] = {}
        self._unsettled: dict[str, set[Key]] = {}

    def controller(self) -> Controller:
        return Controller("node-lifecycle", self._client, ("nodes", "pods", LEASES), self._concerned, self.sync)

    def _concerned(self, resource: str, type_: str, obj: Obj) -> Iterable[Key]:
        if resource == "nodes":
            return [own_key(obj)]
        if resource == LEASES:
            return [("", name_of(obj))] if namespace_of(obj) == LEASE_NAMESPACE else []
        return self._bound(type_, obj)

    def _bound(self, type_: str, pod: Obj) -> Iterable[Key]:
        """A pod matters when it comes to a node."""
        uid, node = pod["metadata"]["uid"], pod["spec"].get("nodeName", "")
        if type_ == "DELETED" or not node:
            self._places.pop(uid, None)
            return []
        if self._places.get(uid) == node:
            return []
        self._places[uid] = node
        self._unsettled.setdefault(node, set()).add(own_key(pod))
        return [("", node)]

    def sync(self, key: Key) -> float | None:
        node = self._client.get("nodes", *key)
        if node is None:
            self._remove(key[1])
            return None
        self._register(node)
        left = self._left(node)
        if left is not None and left <= 0:
            node = self._lose(node)
        self._taint(node)
        self._receive(key[1], node)
        return None if left is None or left <= 0 else left + 0.1

    def _left(self, node: Obj) -> float | None:
        """Seconds until the node counts as lost; None where only somebody's word makes it so."""
        if has_failed(node):
            return 0
        if DECLARED in (node["metadata"].get("labels") or {}):
            return None
        lease = self._client.get(LEASES, LEASE_NAMESPACE, name_of(node)) or {}
        return self._heartbeats.left(node, (lease.get("spec") or {}).get("renewTime") or "")

    def _register(self, node: Obj) -> None:
        name = name_of(node)
        if self._registered.get(name, {}).get("metadata", {}).get("uid") != node["metadata"]["uid"]:
            self._registered[name] = node
            self._tell(node, "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller")

    def _remove(self, name: str) -> None:
        self._heartbeats.forget(name)
        self._unsettled.pop(name, None)
        node = self._registered.pop(name, None)
        if node is not None:
            self._tell(node, "RemovingNode", f"Node {name} event: Removing Node {name} from Controller")

    def _tell(self, node: Obj, reason: str, message: str) -> None:
        self._client.event(node, "Normal", reason, message, COMPONENT)

    def _lose(self, node: Obj) -> Obj:
        """Its conditions are unknown, and its pods, if it was ready, are not."""
        name, before = name_of(node), (condition(node, "Ready") or {}).get("status")
        if before == "Unknown":
            return node
        change = {"status": {"conditions": lost_conditions(node)}}
        node = self._client.patch("nodes", "", name, change, subresource="status")
        if before == "True":
            self._tell(node, "NodeNotReady", f"Node {name} status is now: NodeNotReady")
            pods = self._client.list("pods", fields=f"spec.nodeName={name}")
            self._unsettled.setdefault(name, set()).update(own_key(pod) for pod in pods)
        return node

    def _taint(self, node: Obj) -> None:
        """One after the other, as Kubernetes writes them."""
        for wanted in (no_schedule, no_execute):
            held = node["spec"].get("taints") or []
            taints = wanted(node)
            if taints != held:
                node = self._client.patch("nodes", "", name_of(node), {"spec": {"taints": taints or None}})

    def _receive(self, name: str, node: Obj) -> None:
        """Pods of a node that was lost, or that come to one that is not ready, are not ready either."""
        pods = self._unsettled.get(name, set())
        ready = condition(node, "Ready")
        is_lost = ready is not None and ready["status"] != "True"
        for key in sorted(pods):
            if is_lost and (pod := self._client.get("pods", *key)) is not None:
                self._unready(pod)
            pods.discard(key)

    def _unready(self, pod: Obj) -> None:
        """The condition keeps what it says beside its status."""
        ready = condition(pod, "Ready")
        if ready is None or ready["status"] == "False":
            return
        change = {"status": {"conditions": with_condition(pod, {**ready, "status": "False"})}}
        self._client.patch("pods", namespace_of(pod), name_of(pod), change, subresource="status")
        self._client.event(pod, "Warning", "NodeNotReady", "Node is not ready", COMPONENT)
