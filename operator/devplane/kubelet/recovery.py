"""Containers as an earlier life of this process left them. Pure but for the clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from devplane.kubelet.status import LOST, LOST_MESSAGE, ContainerView, Terminated
from devplane.objects import moment, now


def earlier(pod: Mapping[str, Any], fresh: ContainerView) -> ContainerView:
    """A container as an earlier life of this process left it: what ran then is lost."""
    status = pod.get("status") or {}
    key = "initContainerStatuses" if fresh.is_init else "containerStatuses"
    found = next((one for one in status.get(key) or () if one["name"] == fresh.name), None)
    if found is None or not (found["state"].keys() & {"running", "terminated"} or found.get("lastState")):
        return fresh
    last = found["state"].get("terminated") or (found.get("lastState") or {}).get("terminated")
    state: Terminated
    if running := found["state"].get("running"):
        state = Terminated(137, LOST, LOST_MESSAGE, moment(running["startedAt"]), now(), found.get("containerID", ""))
    elif last:
        state = _read(last)
    else:
        return fresh
    return ContainerView(
        fresh.spec,
        state,
        last=_read(last) if last and running else None,
        restarts=int(found.get("restartCount", 0)),
        container_id=found.get("containerID", ""),
        seen_image=True,
        is_init=fresh.is_init,
    )


def _read(found: Mapping[str, Any]) -> Terminated:
    return Terminated(
        int(found["exitCode"]),
        found.get("reason", ""),
        found.get("message", ""),
        _time(found.get("startedAt")),
        _time(found.get("finishedAt")),
        found.get("containerID", ""),
    )


def _time(text: str | None) -> datetime:
    return moment(text) if text else now()
