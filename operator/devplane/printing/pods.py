"""The cells of a pod: why it waits, how it ended, how often it was restarted. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from devplane.printing.times import age, since

Obj = dict[str, Any]

_NONE = "<none>"
GATED = "SchedulingGated"


def pod_cells(pod: Obj, now: datetime) -> list[Any]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    statuses = status.get("containerStatuses") or []
    sidecars = _sidecars(spec, status)
    total = len(spec.get("containers") or ()) + sum(map(_is_sidecar, spec.get("initContainers") or ()))
    ready = sum(1 for one in (*statuses, *sidecars) if one.get("ready"))
    starting = status.get("initContainerStatuses") or [] if _is_initializing(pod) else [*statuses, *sidecars]
    return [pod["metadata"]["name"], f"{ready}/{total}", pod_reason(pod), _restarts(starting, now), age(pod, now),
            status.get("podIP") or _NONE, spec.get("nodeName") or _NONE,
            status.get("nominatedNodeName") or _NONE, _gates(spec, status)]  # fmt: skip


def _gates(spec: Obj, status: Obj) -> str:
    """How many readiness gates are open."""
    gates = [one["conditionType"] for one in spec.get("readinessGates") or ()]
    held = _conditions(status)
    return f"{sum(held.get(one) == 'True' for one in gates)}/{len(gates)}" if gates else _NONE


def _conditions(status: Obj) -> dict[str, str]:
    return {one["type"]: one["status"] for one in status.get("conditions") or ()}


def _is_initializing(pod: Obj) -> bool:
    return bool(_init_reason(pod)) and _conditions(pod.get("status") or {}).get("Initialized") != "True"


def _is_sidecar(container: Obj) -> bool:
    return container.get("restartPolicy") == "Always"


def _sidecars(spec: Obj, status: Obj) -> list[Obj]:
    names = {one["name"] for one in spec.get("initContainers") or () if _is_sidecar(one)}
    return [one for one in status.get("initContainerStatuses") or () if one["name"] in names]


def _restarts(statuses: Iterable[Obj], now: datetime) -> str:
    found = list(statuses)
    count = sum(one.get("restartCount", 0) for one in found)
    ends = [ended for one in found if (ended := (one.get("lastState", {}).get("terminated") or {}).get("finishedAt"))]
    return f"{count} ({since(max(ends), now)} ago)" if count and ends else str(count)


def pod_reason(pod: Obj) -> str:
    """The STATUS column."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if status.get("phase") not in ("Succeeded", "Failed"):
            return "Terminating"
    initial = _init_reason(pod)
    if _is_initializing(pod):
        return initial
    return str(_container_reason(status, initial or _own_reason(status)))


def _own_reason(status: Obj) -> str:
    if any(one.get("reason") == GATED for one in status.get("conditions") or ()):
        return GATED
    return status.get("reason") or status.get("phase") or "Unknown"


def _init_reason(pod: Obj) -> str:
    declared = pod.get("spec", {}).get("initContainers") or []
    sidecars = {one["name"] for one in declared if _is_sidecar(one)}
    for at, one in enumerate(pod.get("status", {}).get("initContainerStatuses") or ()):
        state = one.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated and terminated.get("exitCode") == 0:
            continue
        if one["name"] in sidecars and one.get("started"):
            continue
        if terminated:
            return f"Init:{_ended(terminated)}"
        if waiting and waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"Init:{waiting['reason']}"
        return f"Init:{at}/{len(declared)}"
    return ""


def _ended(terminated: Obj) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode')}"


def _container_reason(status: Obj, reason: str) -> str:
    is_running = False
    for one in reversed(status.get("containerStatuses") or ()):
        state = one.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            reason = state["waiting"]["reason"]
        elif state.get("terminated"):
            reason = _ended(state["terminated"])
        elif one.get("ready") and state.get("running"):
            is_running = True
    if reason == "Completed" and is_running:
        return "Running" if _conditions(status).get("Ready") == "True" else "NotReady"
    return reason
