"""Pods that a NoExecute taint of their node drives away: at once, or when what they tolerate is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devplane.controllers.loop import Controller, Key, own_key
from devplane.objects import Obj, name_of, namespace_of, uid_of, with_condition
from devplane.placing.fitting import patience

if TYPE_CHECKING:
    from devplane.machinery.client import Client

COMPONENT = "taint-eviction-controller"
EVICTED = {
    "type": "DisruptionTarget",
    "status": "True",
    "lastProbeTime": None,
    "reason": "DeletionByTaintManager",
    "message": "Taint manager: deleting due to NoExecute taint",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """When a pod is to be deleted, counted from `since`."""

    since: float
    due: float


class TaintEviction:
    """A pod is thought about anew when its node's taints or its tolerations change, and deleted once for each time."""

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._plans: dict[str, Plan] = {}
        self._thought: dict[str, tuple[object, object]] = {}

    def controller(self) -> Controller:
        return Controller("taint-eviction", self._client, ("nodes", "pods"), self._concerned, self.sync)

    def _concerned(self, resource: str, type_: str, obj: Obj) -> Iterable[Key]:
        if resource == "nodes":
            return [own_key(obj)]
        if type_ == "DELETED":
            self._thought.pop(uid_of(obj), None)
            if self._plans.pop(uid_of(obj), None) is not None:
                self._cancelled(obj)
        return [("", obj["spec"]["nodeName"])] if obj["spec"].get("nodeName") else []

    def sync(self, key: Key) -> float | None:
        node = self._client.get("nodes", *key)
        if node is None:
            return None
        taints = [one for one in node["spec"].get("taints") or () if one["effect"] == "NoExecute"]
        if not taints and not self._thought:
            return None
        pods = self._client.list("pods", fields=f"spec.nodeName={key[1]}")
        for pod in pods:
            self._think(pod, taints)
        plans = [plan for pod in pods if (plan := self._plans.get(uid_of(pod))) is not None]
        return min((plan.due - self._clock() for plan in plans), default=None)

    def _think(self, pod: Obj, taints: Sequence[Obj]) -> None:
        uid, asked = uid_of(pod), (list(taints), pod["spec"].get("tolerations") or [])
        known = self._thought.get(uid)
        if known != asked and (taints or known is not None):
            self._thought[uid] = asked
            self._plan(pod, taints)
        if not taints:
            self._thought.pop(uid, None)
        plan = self._plans.get(uid)
        if plan is not None and plan.due <= self._clock():
            self._evict(pod)
            self._plans.pop(uid, None)

    def _plan(self, pod: Obj, taints: Sequence[Obj]) -> None:
        """A plan that is there already is kept where a new one would be later."""
        seconds = patience(pod, taints) if taints else None
        before, now = self._plans.get(uid_of(pod)), self._clock()
        if before is not None and seconds and before.since < now:
            return
        if before is not None:
            del self._plans[uid_of(pod)]
            self._cancelled(pod)
        if seconds is not None:
            self._plans[uid_of(pod)] = Plan(now, now + seconds)

    def _cancelled(self, pod: Obj) -> None:
        self._tell(pod, f"Cancelling deletion of Pod {namespace_of(pod)}/{name_of(pod)}")

    def _tell(self, pod: Obj, message: str) -> None:
        self._client.event(pod, "Normal", "TaintManagerEviction", message, COMPONENT)

    def _evict(self, pod: Obj) -> None:
        where = (namespace_of(pod), name_of(pod))
        change = {"status": {"conditions": with_condition(pod, EVICTED)}}
        self._client.patch("pods", *where, change, subresource="status")
        self._client.delete("pods", *where, uid=uid_of(pod))
        self._tell(pod, f"Marking for deletion Pod {where[0]}/{where[1]}")
