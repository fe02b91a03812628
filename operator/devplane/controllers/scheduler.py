"""Binds pods to a node when there is room and their claims are there; says why not in kube-scheduler's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from devplane.controllers.consumers import Consumers
from devplane.controllers.loop import Controller, Key, own_key
from devplane.objects import (
    Obj,
    condition,
    is_deleting,
    is_terminal,
    name_of,
    namespace_of,
    now,
    stamp,
    uid_of,
)
from devplane.placing import fitting
from devplane.placing.fitting import NO_HELP, Room, best, room
from devplane.placing.neighbours import Namespaces, is_sociable

if TYPE_CHECKING:
    from devplane.machinery.client import Client

COMPONENT = "default-scheduler"


def refusal(
    pod: Mapping[str, Any],
    nodes: Sequence[Room],
    claims: Mapping[str, Obj | None],
    namespaces: Namespaces = lambda _: {},
) -> str:
    """Why the pod can't be bound, or nothing."""
    if why := claim_refusal(claims):
        return _of_none(why, len(nodes))
    return fitting.refusal(pod, nodes, namespaces)


def _of_none(why: str, count: int) -> str:
    """What rules out all nodes alike."""
    return f"0/{count} nodes are available: {why}. preemption: 0/{count} nodes are available: {count} {NO_HELP}"


def claim_refusal(claims: Mapping[str, Obj | None]) -> str:
    for name, claim in claims.items():
        if claim is None:
            return f'persistentvolumeclaim "{name}" not found'
        if is_deleting(claim):
            return f'persistentvolumeclaim "{name}" is being deleted'
    if any((claim or {}).get("status", {}).get("phase") != "Bound" for claim in claims.values()):
        return "pod has unbound immediate PersistentVolumeClaims"
    return ""


class Scheduler:
    """All pending pods are looked at together: what one takes, the next can't have."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._consumers = Consumers(client)
        self._waiting: dict[Key, None] = {}
        self._sociable: dict[Key, None] = {}
        self._rooms: list[Room] | None = None

    def controller(self) -> Controller:
        watched = ("pods", "persistentvolumeclaims", "persistentvolumes", "nodes")
        return Controller("scheduler", self._client, watched, self._concerned, self.sync)

    def _concerned(self, resource: str, type_: str, obj: Obj) -> Iterable[Key]:
        """A new pod concerns itself; room or a claim that comes concerns every pod that waits."""
        is_over = resource == "pods" and (type_ == "DELETED" or is_terminal(obj))
        if resource == "pods" and not obj["spec"].get("nodeName"):
            return self._wait(obj, is_over=is_over)
        self._rooms = None
        if resource == "pods":
            self._forget(own_key(obj))
        return list(self._sociable if resource == "pods" and not is_over else self._waiting)

    def _wait(self, pod: Obj, *, is_over: bool) -> Iterable[Key]:
        key = own_key(pod)
        if is_over:
            self._forget(key)
            return ()
        self._waiting[key] = None
        if is_sociable(pod):
            self._sociable[key] = None
        return (key,)

    def _forget(self, key: Key) -> None:
        self._waiting.pop(key, None)
        self._sociable.pop(key, None)

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
        nodes, claims = self._nodes(), self._claims(pod)
        delayed = [one for one in claims.values() if one is not None and self._consumers.waits(one)]
        settled = {name: one for name, one in claims.items() if one not in delayed}
        why = refusal(pod, nodes, settled, self._labels)
        if not why and (lacks := self._consumers.refusal(delayed, len(nodes))):
            why = _of_none(lacks, len(nodes))
        if not why and (node := best(pod, nodes, self._labels)) is not None:
            if not delayed:
                self._bind(pod, node.name)
            for claim in delayed:  # the pod is bound as soon as they are
                self._consumers.choose(claim, node.name)
        elif self._show(pod, "Unschedulable", why):
            self._client.note(pod, "Warning", "FailedScheduling", why, COMPONENT, "Scheduling")

    def _bind(self, pod: Obj, node: str) -> None:
        self._client.bind(namespace_of(pod), name_of(pod), node)
        self._rooms = None
        message = f"Successfully assigned {namespace_of(pod)}/{name_of(pod)} to {node}"
        self._client.note(pod, "Normal", "Scheduled", message, COMPONENT, "Binding")

    def _show(self, pod: Obj, reason: str, message: str) -> bool:
        """Whether this is news."""
        before = condition(pod, "PodScheduled") or {}
        if (before.get("reason"), before.get("message")) == (reason, message):
            return False
        self._write(pod, before.get("lastTransitionTime") or stamp(now()), reason, message)
        return True

    def _write(self, pod: Obj, since: str, reason: str, message: str) -> None:
        times = {"lastProbeTime": None, "lastTransitionTime": since}
        found = {"type": "PodScheduled", "status": "False", **times, "reason": reason, "message": message}
        others = [one for one in pod["status"].get("conditions") or () if one["type"] != "PodScheduled"]
        change = {"status": {"conditions": [*others, found]}}
        self._client.patch("pods", namespace_of(pod), name_of(pod), change, subresource="status")

    def _labels(self, namespace: str) -> Mapping[str, str]:
        found = self._client.get("namespaces", "", namespace) or {"metadata": {}}
        return found["metadata"].get("labels") or {}

    def _claims(self, pod: Obj) -> dict[str, Obj | None]:
        volumes = pod["spec"].get("volumes") or ()
        names = [one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one]
        return {name: self._client.get("persistentvolumeclaims", namespace_of(pod), name) for name in names}

    def _nodes(self) -> list[Room]:
        """Computed anew after a node, or a pod on one, has changed."""
        if self._rooms is None:
            of_node: dict[str, list[Obj]] = {}
            for pod in self._client.list("pods", where=lambda pod: bool(pod["spec"].get("nodeName"))):
                of_node.setdefault(pod["spec"]["nodeName"], []).append(pod)
            self._rooms = [room(node, of_node.get(name_of(node), ())) for node in self._client.list("nodes")]
        return self._rooms
