"""Whether a kubelet takes a pod that is bound to its node: what the scheduler looked at is looked at again, since not
every pod comes from the scheduler. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from devplane.objects import Obj, is_terminal, requests
from devplane.placing.fitting import Room, room, suits, tolerates
from devplane.placing.neighbours import NO_PORTS, lacks_ports

BASIC = ("pods", "cpu", "memory", "ephemeral-storage")
UNSUITABLE = "node(s) didn't match Pod's node affinity/selector"
UNTOLERATED = "node(s) had taints that the pod didn't tolerate"


@dataclass(frozen=True, slots=True)
class Refusal:
    """As the kubelet says it; `message` is the event's."""

    reason: str
    message: str

    @property
    def status(self) -> Obj:
        return {"phase": "Failed", "reason": self.reason, "message": f"Pod was rejected: {self.message}"}


def refusal(pod: Obj, node: Obj, others: Iterable[Obj]) -> Refusal | None:
    """Why the node does not take the pod; `others` are on it already."""
    place = room(node, [one for one in others if not is_terminal(one)])
    if (lacking := _lacking(pod, place)) is not None:
        return lacking
    if not suits(pod["spec"], place):
        return _failed("NodeAffinity", UNSUITABLE)
    if lacks_ports(pod, place):
        return _failed("NodePorts", NO_PORTS)
    return None if _tolerates_all(pod, place) else _failed("TaintToleration", UNTOLERATED)


def _failed(predicate: str, why: str) -> Refusal:
    return Refusal(predicate, f"Predicate {predicate} failed: {why}")


def _tolerates_all(pod: Obj, place: Room) -> bool:
    """A taint against new pods alone is the scheduler's business."""
    tolerations = pod["spec"].get("tolerations") or ()
    taints = [one for one in place.taints if one["effect"] == "NoExecute"]
    return all(any(tolerates(one, taint) for one in tolerations) for taint in taints)


def _lacking(pod: Obj, place: Room) -> Refusal | None:
    """The first resource of which too little is left. One that the node does not know is not its to give."""
    wanted = {"pods": Decimal(1), **requests(pod)}
    for name in (*BASIC, *(one for one in wanted if one not in BASIC)):
        amount, used, total = wanted.get(name), place.used.get(name, Decimal(0)), place.total.get(name)
        if amount and (total is not None or name in BASIC) and used + amount > (total or 0):
            return Refusal(f"OutOf{name}", _words(name, {"requested": amount, "used": used, "capacity": total or 0}))
    return None


def _words(name: str, amounts: Mapping[str, Decimal | int]) -> str:
    """CPU is told in thousandths."""
    unit = 1000 if name == "cpu" else 1
    figures = ", ".join(f"{what}: {int(amount * unit)}" for what, amount in amounts.items())
    return f"Node didn't have enough resource: {name}, {figures}"
