"""Binds pods to the one node when there is room and their claims are there; says why not in kube-scheduler's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from devplane.controllers.loop import Controller, Key, own_key
from devplane.node import allocatable
from devplane.objects import (
    Obj,
    condition,
    is_deleting,
    is_terminal,
    name_of,
    namespace_of,
    now,
    quantity,
    requests,
    stamp,
    uid_of,
)

if TYPE_CHECKING:
    from devplane.client import Client
    from devplane.context import Context

COMPONENT = "default-scheduler"
NO_VICTIMS = "No preemption victims found for incoming pod."
NO_HELP = "Preemption is not helpful for scheduling."


@dataclass(frozen=True, slots=True)
class Room:
    """What the node offers, and what its pods have taken."""

    labels: Mapping[str, str]
    total: Mapping[str, Decimal]
    used: Mapping[str, Decimal]

    def lacking(self, wanted: Mapping[str, Decimal]) -> list[str]:
        """Why `wanted` does not fit, in the scheduler's order."""
        reasons = []
        if self.used.get("pods", Decimal(0)) + 1 > self.total["pods"]:
            reasons.append("Too many pods")
        for resource, amount in wanted.items():
            if amount and self.used.get(resource, Decimal(0)) + amount > self.total.get(resource, Decimal(0)):
                reasons.append(f"Insufficient {resource}")
        return reasons


def refusal(pod: Mapping[str, Any], room: Room, claims: Mapping[str, Obj | None]) -> str:
    """Why the pod can't be bound, or nothing."""
    if why := claim_refusal(claims):
        return _no_node(why, NO_HELP)
    selector = pod["spec"].get("nodeSelector") or {}
    if any(room.labels.get(key) != value for key, value in selector.items()):
        return _no_node("1 node(s) didn't match Pod's node affinity/selector", NO_HELP)
    if lacking := room.lacking(requests(pod)):
        return _no_node(", ".join(sorted(f"1 {reason}" for reason in lacking)), NO_VICTIMS)
    return ""


def claim_refusal(claims: Mapping[str, Obj | None]) -> str:
    for name, claim in claims.items():
        if claim is None:
            return f'persistentvolumeclaim "{name}" not found'
        if is_deleting(claim):
            return f'persistentvolumeclaim "{name}" is being deleted'
    if any((claim or {}).get("status", {}).get("phase") != "Bound" for claim in claims.values()):
        return "pod has unbound immediate PersistentVolumeClaims"
    return ""


def _no_node(why: str, preemption: str) -> str:
    return f"0/1 nodes are available: {why}. preemption: 0/1 nodes are available: 1 {preemption}"


class Scheduler:
    """All pending pods are looked at together: what one takes, the next can't have."""

    def __init__(self, client: Client, context: Context) -> None:
        self._client = client
        self._context = context

    def controller(self) -> Controller:
        watched = ("pods", "persistentvolumeclaims", "nodes")
        return Controller("scheduler", self._client, watched, self._concerned, self.sync)

    def _concerned(self, resource: str, type_: str, obj: Obj) -> Iterable[Key]:
        """A new pod concerns itself; room or a claim that comes concerns every pod that waits."""
        if resource == "pods" and type_ != "DELETED" and not is_terminal(obj):
            return () if obj["spec"].get("nodeName") else (own_key(obj),)
        return [own_key(pod) for pod in self._waiting()]

    def _waiting(self) -> list[Obj]:
        return [pod for pod in self._client.list("pods") if not pod["spec"].get("nodeName")]

    def sync(self, key: Key) -> None:
        pod = self._client.get("pods", *key)
        if pod is None or pod["spec"].get("nodeName") or is_terminal(pod):
            return
        if is_deleting(pod):
            self._client.delete("pods", *key, uid=uid_of(pod), grace_seconds=0)
        elif pod["spec"].get("schedulingGates"):
            self._show(pod, "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates")
        elif pod["spec"].get("schedulerName", COMPONENT) == COMPONENT:
            self._place(pod)

    def _place(self, pod: Obj) -> None:
        why = refusal(pod, self._room(), self._claims(pod))
        if not why:
            self._bind(pod)
        elif self._show(pod, "Unschedulable", why):
            self._client.event(pod, "Warning", "FailedScheduling", why, COMPONENT)

    def _bind(self, pod: Obj) -> None:
        node = self._context.node_name
        bound = self._client.patch("pods", namespace_of(pod), name_of(pod), {"spec": {"nodeName": node}})
        self._write(bound, {"status": "True"})
        message = f"Successfully assigned {namespace_of(pod)}/{name_of(pod)} to {node}"
        self._client.event(pod, "Normal", "Scheduled", message, COMPONENT)

    def _show(self, pod: Obj, reason: str, message: str) -> bool:
        """Whether this is news."""
        before = condition(pod, "PodScheduled") or {}
        if (before.get("reason"), before.get("message")) == (reason, message):
            return False
        self._write(pod, {"status": "False", "reason": reason, "message": message})
        return True

    def _write(self, pod: Obj, verdict: Obj) -> None:
        before = condition(pod, "PodScheduled") or {}
        since = before.get("lastTransitionTime") if before.get("status") == verdict["status"] else None
        found = {"type": "PodScheduled", "lastProbeTime": None, "lastTransitionTime": since or stamp(now()), **verdict}
        others = [one for one in pod["status"].get("conditions") or () if one["type"] != "PodScheduled"]
        change = {"status": {"conditions": [*others, found]}}
        self._client.patch("pods", namespace_of(pod), name_of(pod), change, subresource="status")

    def _claims(self, pod: Obj) -> dict[str, Obj | None]:
        volumes = pod["spec"].get("volumes") or ()
        names = [one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one]
        return {name: self._client.get("persistentvolumeclaims", namespace_of(pod), name) for name in names}

    def _room(self) -> Room:
        used: dict[str, Decimal] = {}
        for pod in self._client.list("pods", fields=f"spec.nodeName={self._context.node_name}"):
            if not is_terminal(pod):
                for resource, amount in {**requests(pod), "pods": Decimal(1)}.items():
                    used[resource] = used.get(resource, Decimal(0)) + amount
        node = self._client.get("nodes", "", self._context.node_name)
        labels = (node or {}).get("metadata", {}).get("labels") or {}
        total = {resource: quantity(amount) for resource, amount in allocatable(self._context).items()}
        return Room(labels, total, used)
