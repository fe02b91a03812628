"""How many pods each PodDisruptionBudget lets go now."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from devplane.controllers.loop import Controller, Key, own_key
from devplane.machinery.subresources import allowed_condition, covers
from devplane.objects import (
    Obj,
    controller_of,
    is_deleting,
    is_ready,
    is_terminal,
    moment,
    name_of,
    namespace_of,
    now,
    stamp,
)

if TYPE_CHECKING:
    from devplane.machinery.client import Client

PATIENCE = timedelta(minutes=2)
"""After which a pod that was evicted and is still there counts again."""
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


def disrupted(budget: Mapping[str, Any], pods: Sequence[Obj], when: datetime) -> dict[str, str]:
    """Pods that were evicted and whose deletion is not seen yet, with the times of their evictions. Pure."""
    evicted: dict[str, str] = (budget.get("status") or {}).get("disruptedPods") or {}
    waited_for = {name_of(pod) for pod in pods if not is_deleting(pod)}
    return {name: at for name, at in evicted.items() if name in waited_for and moment(at) + PATIENCE >= when}


def counted(budget: Obj, pods: Sequence[Obj], expected: int, when: datetime) -> Obj:
    """The status but for its conditions. Pure."""
    going = disrupted(budget, pods, when)
    healthy = sum(is_ready(pod) and not is_deleting(pod) and name_of(pod) not in going for pod in pods)
    needed = desired(budget["spec"], expected)
    allowed = max(healthy - needed, 0) if expected else 0
    return {
        "observedGeneration": budget["metadata"].get("generation", 1),
        "expectedPods": expected,
        "currentHealthy": healthy,
        "desiredHealthy": needed,
        "disruptionsAllowed": allowed,
        **({"disruptedPods": going} if going else {}),
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

    def sync(self, key: Key) -> float | None:
        budget = self._client.get(BUDGETS, *key)
        if budget is None or is_deleting(budget):
            return None
        pods = self._client.list("pods", key[0], where=lambda pod: covers(budget, pod) and not is_terminal(pod))
        when, held = now(), budget.get("status") or {}
        status = counted(budget, pods, self._expected(budget, pods), when)
        conditions = held.get("conditions") or []
        status["conditions"] = [allowed_condition({**status, "conditions": conditions}, stamp(when))]
        if status != held:
            change = {"status": {**dict.fromkeys(held), **status, "disruptedPods": _replaced(held, status)}}
            self._client.patch(BUDGETS, *key, change, subresource="status")
        until = [(moment(at) + PATIENCE - when).total_seconds() for at in status.get("disruptedPods", {}).values()]
        return max(min(until), 1.0) if until else None

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


def _replaced(held: Obj, status: Obj) -> Obj | None:
    """A merge patch of the pods that are waited for."""
    going = status.get("disruptedPods")
    return {**dict.fromkeys(held.get("disruptedPods") or ()), **going} if going else None
