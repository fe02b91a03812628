"""How many pods each PodDisruptionBudget lets go now."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from devplane.controllers.loop import Controller, Key, own_key
from devplane.machinery.subresources import covers
from devplane.objects import (
    Obj,
    condition,
    controller_of,
    is_deleting,
    is_ready,
    is_terminal,
    namespace_of,
    now,
    stamp,
)

if TYPE_CHECKING:
    from devplane.machinery.client import Client

BUDGETS = "poddisruptionbudgets.policy"


def desired(spec: Mapping[str, Any], expected: int) -> int:
    """How many pods must stay healthy: percentages are of what is expected, rounded up. Pure."""
    if (least := spec.get("minAvailable")) is not None:
        return _share(least, expected)
    if (most := spec.get("maxUnavailable")) is not None:
        return max(expected - _share(most, expected), 0)
    return 0


def _share(amount: int | str, whole: int) -> int:
    return amount if isinstance(amount, int) else math.ceil(int(str(amount).rstrip("%")) * whole / 100)


def counted(budget: Obj, pods: Sequence[Obj], expected: int) -> Obj:
    """The status but for its times. Pure."""
    healthy = sum(is_ready(pod) and not is_deleting(pod) for pod in pods)
    needed = desired(budget["spec"], expected)
    allowed = max(healthy - needed, 0) if expected else 0
    return {
        "observedGeneration": budget["metadata"].get("generation", 1),
        "expectedPods": expected,
        "currentHealthy": healthy,
        "desiredHealthy": needed,
        "disruptionsAllowed": allowed,
    }


class DisruptionController:
    def __init__(self, client: Client) -> None:
        self._client = client

    def controller(self) -> Controller:
        watched = (BUDGETS, "pods", "replicasets.apps")
        return Controller("disruption", self._client, watched, self._concerned, self.sync)

    def _concerned(self, resource: str, _: str, obj: Obj) -> Iterable[Key]:
        if resource == BUDGETS:
            return [own_key(obj)]
        return [own_key(one) for one in self._client.list(BUDGETS, namespace_of(obj))]

    def sync(self, key: Key) -> None:
        budget = self._client.get(BUDGETS, *key)
        if budget is None or is_deleting(budget):
            return
        pods = self._client.list("pods", key[0], where=lambda pod: covers(budget, pod) and not is_terminal(pod))
        status = counted(budget, pods, self._expected(budget, pods))
        held = budget.get("status") or {}
        if status.items() <= held.items() and condition(budget, "DisruptionAllowed") is not None:
            return
        allowed = condition(budget, "DisruptionAllowed")
        conditions = [_condition(status, allowed)]
        change = {"status": {**status, "disruptedPods": None, "conditions": conditions}}
        self._client.patch(BUDGETS, *key, change, subresource="status")

    def _expected(self, budget: Obj, pods: Sequence[Obj]) -> int:
        """What the pods' controllers want; a budget in plain numbers of `minAvailable` counts what is there."""
        if isinstance(budget["spec"].get("minAvailable"), int):
            return len(pods)
        owners = {one["uid"]: one for pod in pods if (one := controller_of(pod)) is not None}
        loose = sum(controller_of(pod) is None for pod in pods)
        return loose + sum(self._replicas(namespace_of(budget), one, pods) for one in owners.values())

    def _replicas(self, ns: str, owner: Obj, pods: Sequence[Obj]) -> int:
        if owner["kind"] == "ReplicaSet":
            found = self._client.get("replicasets.apps", ns, owner["name"])
            return int(found["spec"].get("replicas", 1)) if found else 0
        return sum((controller_of(pod) or {}).get("uid") == owner["uid"] for pod in pods)


def _condition(status: Obj, before: Obj | None) -> Obj:
    is_allowed = status["disruptionsAllowed"] > 0
    value = "True" if is_allowed else "False"
    since = before["lastTransitionTime"] if before and before["status"] == value else stamp(now())
    return {
        "type": "DisruptionAllowed",
        "status": value,
        "reason": "SufficientPods" if is_allowed else "InsufficientPods",
        "message": "",
        "observedGeneration": status["observedGeneration"],
        "lastTransitionTime": since,
    }
