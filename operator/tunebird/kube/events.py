"""core/v1 Events with deterministic names, so that a repetition raises a count and makes no new object. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tunebird.kube.client import Event
from tunebird.kube.conditions import timestamp
from tunebird.kube.meta import Manifest, content_hash

COMPONENT = "tunebird"
MESSAGE_LIMIT = 1024
NAME_LIMIT = 253


def manifest(event: Event, now: datetime) -> dict[str, Any]:
    """The Event as it is recorded the first time."""
    about = event.about["metadata"]
    message = event.message if len(event.message) <= MESSAGE_LIMIT else f"{event.message[: MESSAGE_LIMIT - 1]}…"
    digest = content_hash([about["uid"], event.type, event.reason, message], length=16)
    moment = timestamp(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{about['name'][: NAME_LIMIT - len(digest) - 1]}.{digest}",
            "namespace": about["namespace"],
        },
        "involvedObject": {
            "apiVersion": event.about["apiVersion"],
            "kind": event.about["kind"],
            "namespace": about["namespace"],
            "name": about["name"],
            "uid": about["uid"],
            "resourceVersion": about.get("resourceVersion", ""),
        },
        "reason": event.reason,
        "message": message,
        "type": event.type,
        "count": 1,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": "",
    }


def repeated(before: Manifest, now: datetime) -> dict[str, Any]:
    """The merge patch that says: it happened again."""
    return {"count": before.get("count", 1) + 1, "lastTimestamp": timestamp(now)}
