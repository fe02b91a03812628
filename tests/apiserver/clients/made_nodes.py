"""Nodes without a kubelet: what happens around a node is seen on them. Nothing runs there, no pods but the test's own
come there, and the test says what a kubelet would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from apiserver.clients.raw import Raw
from apiserver.clients.stories import Obj, becomes, container, pod
from apiserver.clients.waiting import until

OWN_TAINT = "example.com/made"
TOLERATED = {"key": OWN_TAINT, "operator": "Exists"}
AMOUNTS = {"cpu": "4", "memory": "8Gi", "pods": "50"}


class MadeNode:
    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        self.name = f"made-{raw.namespace}"
        self.path = f"/api/v1/nodes/{self.name}"

    @property
    def now(self) -> Obj:
        found: Obj = self._raw.get(self.path).body
        return found

    def make(self) -> None:
        taint = {"key": OWN_TAINT, "effect": "NoSchedule"}
        metadata = {"name": self.name, "labels": {"kubernetes.io/hostname": self.name}}
        self._raw.made("/api/v1/nodes", {"metadata": metadata, "spec": {"taints": [taint]}})
        self.say(ready="True")

    def say(self, ready: str, **others: str) -> None:
        """What a kubelet would: the conditions, with a heartbeat."""
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        times = {"lastHeartbeatTime": at, "lastTransitionTime": at, "reason": "Said", "message": "said"}
        told = {"Ready": ready, **others}
        conditions = [{"type": type_, "status": status, **times} for type_, status in told.items()]
        change = {"allocatable": AMOUNTS, "capacity": AMOUNTS, "conditions": conditions}
        self._change(f"{self.path}/status", {"status": change})

    def cordon(self, *, is_on: bool) -> None:
        self._change(self.path, {"spec": {"unschedulable": is_on or None}})

    def taint(self, *taints: Obj) -> None:
        """These beside its own one, in place of all others."""
        own = [one for one in self.now["spec"]["taints"] if one["key"] == OWN_TAINT]
        self._change(self.path, {"spec": {"taints": [*own, *taints]}})

    def _change(self, path: str, body: Obj) -> None:
        answer = self._raw.ask("PATCH", path, body, "application/merge-patch+json")
        assert answer.code == 200, answer.body

    def taints(self) -> list[tuple[str, str]]:
        held = self.now["spec"].get("taints") or ()
        return [(one["key"], one["effect"]) for one in held if one["key"] != OWN_TAINT]

    def until_tainted(self, *taints: tuple[str, str]) -> None:
        until(lambda: self.taints() == list(taints), f"taints {taints}", 120)

    def told(self, reason: str) -> list[Obj]:
        fields = f"reason={reason},involvedObject.name={self.name}"
        items: list[Obj] = self._raw.get("/api/v1/namespaces/default/events", fieldSelector=fields).body["items"]
        return items

    def pod(self, name: str = "p", *tolerations: Obj, **spec: Any) -> Obj:
        """A pod for this node and no other."""
        there = {"nodeSelector": {"kubernetes.io/hostname": self.name}, "tolerations": [TOLERATED, *tolerations]}
        return pod(container(), name=name, **{**there, **spec})

    def hold(self, name: str = "p", *tolerations: Obj, **spec: Any) -> Obj:
        """Such a pod, which runs and is ready as far as its status says."""
        self._raw.made(self._raw.at("pods"), self.pod(name, *tolerations, **spec))
        becomes(self._raw, "pods", name, lambda one: one["spec"].get("nodeName"))
        self.run(name)
        return becomes(self._raw, "pods", name, lambda one: one["status"]["phase"] == "Running")

    def run(self, name: str) -> None:
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        self._change(self._raw.at("pods", name, "status"), {"status": ready})

    def remove(self) -> None:
        self._raw.ask("DELETE", self.path)
        self._raw.ask("DELETE", self._raw.at("pods"), gracePeriodSeconds=0)


@contextmanager
def made_node(raw: Raw) -> Iterator[MadeNode]:
    node = MadeNode(raw)
    node.make()
    try:
        yield node
    finally:
        node.remove()
