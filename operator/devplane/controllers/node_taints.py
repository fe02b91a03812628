"""The taints that follow from a node's conditions and cordon. Pure but for the time."""

from __future__ import annotations

from collections.abc import Iterable

from devplane.objects import Obj, condition, now, stamp
from devplane.placing.fitting import UNSCHEDULABLE

UNREACHABLE = "node.kubernetes.io/unreachable"
NOT_READY = "node.kubernetes.io/not-ready"
OF_READY = {"False": NOT_READY, "Unknown": UNREACHABLE}
OF_CONDITIONS = {
    "Ready": OF_READY,
    "MemoryPressure": {"True": "node.kubernetes.io/memory-pressure"},
    "DiskPressure": {"True": "node.kubernetes.io/disk-pressure"},
    "NetworkUnavailable": {"True": "node.kubernetes.io/network-unavailable"},
    "PIDPressure": {"True": "node.kubernetes.io/pid-pressure"},
}
OWN = frozenset({UNSCHEDULABLE["key"], *(key for of in OF_CONDITIONS.values() for key in of.values())})


def no_schedule(node: Obj) -> list[Obj]:
    """The node's taints with those of effect NoSchedule brought up to date."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    keys = (OF_CONDITIONS.get(one["type"], {}).get(one["status"]) for one in conditions)
    wanted = [key for key in keys if key]
    if node["spec"].get("unschedulable"):
        wanted.append(UNSCHEDULABLE["key"])
    return _swapped(node, "NoSchedule", wanted, OWN)


def no_execute(node: Obj) -> list[Obj]:
    """The node's taints with those of effect NoExecute brought up to date; without a condition they stay."""
    ready = condition(node, "Ready")
    if ready is None:
        return node["spec"].get("taints") or []
    key = OF_READY.get(ready["status"])
    return _swapped(node, "NoExecute", [key] if key else [], frozenset(OF_READY.values()))


def _swapped(node: Obj, effect: str, wanted: Iterable[str], own: frozenset[str]) -> list[Obj]:
    """Others stay where they are, new ones come last."""
    held = node["spec"].get("taints") or []
    kept = [one for one in held if one["effect"] != effect or one["key"] not in own or one["key"] in wanted]
    known = {one["key"] for one in kept if one["effect"] == effect}
    added = [key for key in dict.fromkeys(wanted) if key not in known]
    return [*kept, *({"key": key, "effect": effect, "timeAdded": stamp(now())} for key in added)]
