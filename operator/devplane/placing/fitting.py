"""Which node a pod fits on, in kube-scheduler's order and words; how much tolerations bear. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from devplane.objects import Obj, is_terminal, name_of, quantity, requests
from devplane.placing.neighbours import NO_PORTS, Namespaces, Neighbourhood, Place, lacks_ports

NO_VICTIMS = "No preemption victims found for incoming pod."
NO_HELP = "Preemption is not helpful for scheduling."
UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


@dataclass(frozen=True, slots=True)
class Room:
    """What a node offers, and what its pods have taken."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Obj, ...]
    is_cordoned: bool
    total: Mapping[str, Decimal]
    used: Mapping[str, Decimal]
    pods: tuple[Obj, ...] = ()

    def lacking(self, wanted: Mapping[str, Decimal]) -> list[str]:
        """Why `wanted` does not fit, in the scheduler's order."""
        reasons = []
        if self.used.get("pods", Decimal(0)) + 1 > self.total.get("pods", Decimal(0)):
            reasons.append("Too many pods")
        for resource, amount in wanted.items():
            if amount and self.used.get(resource, Decimal(0)) + amount > self.total.get(resource, Decimal(0)):
                reasons.append(f"Insufficient {resource}")
        return reasons

    def fullness(self, wanted: Mapping[str, Decimal]) -> Decimal:
        """How full its CPU, memory and whatever else `wanted` names would be on average, from 0 to 1."""
        names = {"cpu", "memory", *wanted} & {name for name, total in self.total.items() if total}
        shares = [(self.used.get(one, Decimal(0)) + wanted.get(one, Decimal(0))) / self.total[one] for one in names]
        return sum(shares, Decimal(0)) / max(len(shares), 1)


def room(node: Obj, pods: Iterable[Obj]) -> Room:
    """`pods` are those bound to the node; ended ones take nothing."""
    used: dict[str, Decimal] = {}
    living = tuple(pod for pod in pods if not is_terminal(pod))
    for pod in living:
        for resource, amount in {**requests(pod), "pods": Decimal(1)}.items():
            used[resource] = used.get(resource, Decimal(0)) + amount
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    return Room(
        name_of(node),
        node["metadata"].get("labels") or {},
        tuple(node["spec"].get("taints") or ()),
        bool(node["spec"].get("unschedulable")),
        {resource: quantity(amount) for resource, amount in allocatable.items()},
        used,
        living,
    )


def _unlabelled(_: str) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why one node is not for a pod; `helpless` where no other pod's end would change it."""

    reasons: tuple[str, ...]
    helpless: bool = True


def neighbourhood(pod: Mapping[str, Any], nodes: Sequence[Room], namespaces: Namespaces) -> Neighbourhood:
    """Nodes that the pod's own selector refuses don't count for its spread."""

    def is_eligible(place: Place) -> bool:
        return isinstance(place, Room) and suits(pod["spec"], place)

    return Neighbourhood(pod, nodes, namespaces, is_eligible)


def unfit(pod: Mapping[str, Any], node: Room, around: Neighbourhood) -> Unfit | None:
    """The first filter that refuses decides, as in kube-scheduler."""
    spec = pod["spec"]
    tolerations = spec.get("tolerations") or ()
    if node.is_cordoned and not any(tolerates(one, UNSCHEDULABLE) for one in tolerations):
        return Unfit(("node(s) were unschedulable",))
    for taint in node.taints:
        if taint["effect"] != "PreferNoSchedule" and not any(tolerates(one, taint) for one in tolerations):
            return Unfit((f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value') or ''}}}",))
    if not suits(spec, node):
        return Unfit(("node(s) didn't match Pod's node affinity/selector",))
    if lacks_ports(pod, node):
        return Unfit((NO_PORTS,), helpless=False)
    if lacking := node.lacking(requests(pod)):
        return Unfit(tuple(lacking), helpless=False)
    found = around.objection(node)
    return None if found is None else Unfit((found.reason,), found.helpless)


def suits(spec: Mapping[str, Any], node: Room) -> bool:
    """Whether the pod's own selector and affinity want the node."""
    return _selected(spec, node) and _has_affinity(spec, node)


def _selected(spec: Mapping[str, Any], node: Room) -> bool:
    return all(node.labels.get(key) == value for key, value in (spec.get("nodeSelector") or {}).items())


def _has_affinity(spec: Mapping[str, Any], node: Room) -> bool:
    """Any of the required terms; an empty term matches nothing."""
    wanted = _node_affinity(spec).get("requiredDuringSchedulingIgnoredDuringExecution")
    return wanted is None or any(term_matches(one, node) for one in wanted.get("nodeSelectorTerms") or ())


def _node_affinity(spec: Mapping[str, Any]) -> Obj:
    return (spec.get("affinity") or {}).get("nodeAffinity") or {}


def term_matches(term: Mapping[str, Any], node: Room) -> bool:
    labels, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not labels and not fields:
        return False
    return all(_holds(one, node.labels) for one in labels) and all(
        _holds(one, {"metadata.name": node.name}) for one in fields
    )


def _holds(requirement: Mapping[str, Any], known: Mapping[str, str]) -> bool:
    value, values = known.get(requirement["key"]), list(requirement.get("values") or ())
    match requirement["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return _is_number(value) and int(str(value)) > int(values[0])
        case _:
            return _is_number(value) and int(str(value)) < int(values[0])


def _is_number(text: str | None) -> bool:
    return text is not None and re.fullmatch("-?[0-9]{1,19}", text) is not None


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """No effect tolerates every effect, no key (with Exists) every key."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def patience(pod: Mapping[str, Any], taints: Sequence[Obj]) -> float | None:
    """For how many seconds a pod bears NoExecute taints; None is for ever, 0 not at all."""
    borne: list[float] = []
    for taint in taints:
        matching = [one for one in pod["spec"].get("tolerations") or () if tolerates(one, taint)]
        if not matching:
            return 0
        borne += [float(one["tolerationSeconds"]) for one in matching if one.get("tolerationSeconds") is not None]
    return max(min(borne), 0) if borne else None


def refusal(pod: Mapping[str, Any], nodes: Sequence[Room], namespaces: Namespaces = _unlabelled) -> str:
    """Why `pod` fits nowhere, as kube-scheduler puts it; empty where it fits."""
    around = neighbourhood(pod, nodes, namespaces)
    found = [why for why in (unfit(pod, node, around) for node in nodes) if why is not None]
    if len(found) < len(nodes):
        return ""
    if not nodes:
        return "no nodes available to schedule pods"
    return no_node(
        Counter(reason for why in found for reason in why.reasons),
        Counter(NO_HELP if why.helpless else NO_VICTIMS for why in found),
        len(nodes),
    )


def no_node(reasons: Mapping[str, int], preemption: Mapping[str, int], count: int) -> str:
    """A sentence for each node's reasons and one for preemption: ``0/2 nodes are available: 2 Insufficient cpu.``"""
    why = ", ".join(sorted(f"{times} {reason}" for reason, times in reasons.items()))
    help_ = ", ".join(sorted(f"{times} {reason.rstrip('.')}" for reason, times in preemption.items()))
    return f"0/{count} nodes are available: {why}. preemption: 0/{count} nodes are available: {help_}."


def best(pod: Mapping[str, Any], nodes: Sequence[Room], namespaces: Namespaces = _unlabelled) -> Room | None:
    """The node that is preferred, then the one that is least full: the scheduler's default spreads."""
    around = neighbourhood(pod, nodes, namespaces)
    fitting = [node for node in nodes if unfit(pod, node, around) is None]
    return max(fitting, key=lambda node: _score(pod, node), default=None)


def _score(pod: Mapping[str, Any], node: Room) -> tuple[int, int, Decimal, Decimal]:
    preferred = _node_affinity(pod["spec"]).get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    liked = sum(int(one["weight"]) for one in preferred if term_matches(one["preference"], node))
    tolerations = pod["spec"].get("tolerations") or ()
    disliked = sum(
        one["effect"] == "PreferNoSchedule" and not any(tolerates(own, one) for own in tolerations)
        for one in node.taints
    )
    return liked, -disliked, -node.fullness(requests(pod)), -node.used.get("pods", Decimal(0))
