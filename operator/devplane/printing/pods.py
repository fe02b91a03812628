"""The cells of a pod: why it waits, how it ended, how often it was restarted. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from devplane.printing.times import age, since

Obj = dict[str, Any]

POD_COLUMNS = ("Name", "Ready", "Status", "Restarts", "Age", "+IP", "+Node", "+Nominated Node", "+Readiness Gates")
_NONE = "<none>"


def pod_cells(pod: Obj, now: datetime) -> list[Any]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    statuses = status.get("containerStatuses") or []
    sidecars = _sidecars(spec, status)
    counted = [*statuses, *sidecars]
    total = len(spec.get("containers") or ()) + sum(map(_is_sidecar, spec.get("initContainers") or ()))
    ready = sum(1 for one in counted if one.get("ready"))
    return [pod["metadata"]["name"], f"{ready}/{total}", pod_reason(pod), _restarts(counted, now), age(pod, now),
            status.get("podIP") or _NONE, spec.get("nodeName") or _NONE,
            status.get("nominatedNodeName") or _NONE, _NONE]  # fmt: skip


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
    reason = status.get("reason") or status.get("phase") or "Unknown"
    initial = _init_reason(pod)
    reason = initial or _container_reason(status, reason)
    if pod["metadata"].get("deletionTimestamp"):
        return "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return str(reason)


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
        conditions = {one["type"]: one["status"] for one in status.get("conditions") or ()}
        return "Running" if conditions.get("Ready") == "True" else "NotReady"
    return reason
