"""Events of controllers and the kubelet: one object for each story, its count raised on repeats."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from typing import Any, Protocol

from devplane.errors import ApiError
from devplane.resources.metadata import timestamp

Obj = dict[str, Any]
Story = tuple[str, str, str, str, str]


class Objects(Protocol):
    """What a recorder needs of a client."""

    def get(self, resource: str, ns: str, name: str) -> Obj | None: ...

    def create(self, resource: str, ns: str, obj: Obj) -> Obj: ...

    def patch(self, resource: str, ns: str, name: str, patch: Obj) -> Obj: ...


class EventRecorder:
    """Remembers the name of each event that was posted, as client-go's recorder does."""

    def __init__(self, client: Objects) -> None:
        self._client = client
        self._posted: dict[Story, str] = {}

    def note(self, about: Obj, kind: str, reason: str, message: str, component: str, action: str) -> None:
        """An event of the newer form, as the scheduler posts them: with an `action`, and without a count."""
        namespace = about["metadata"].get("namespace") or "default"
        event = self._event(about, namespace, (kind, reason, message, component))
        for field in ("source", "firstTimestamp", "lastTimestamp", "count"):
            del event[field]
        when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        event |= {"action": action, "eventTime": when, "reportingInstance": f"{component}-devplane"}
        with contextlib.suppress(ApiError):
            self._client.create("events", namespace, event)

    def post(self, about: Obj, kind: str, reason: str, message: str, component: str) -> None:
        metadata = about["metadata"]
        namespace = metadata.get("namespace") or "default"
        story = (metadata["uid"] + about.get("fieldPath", ""), kind, reason, message, component)
        if (name := self._posted.get(story)) and self._repeat(namespace, name):
            return
        event = self._event(about, namespace, (kind, reason, message, component))
        try:
            self._posted[story] = self._client.create("events", namespace, event)["metadata"]["name"]
        except ApiError as error:
            if error.code not in (403, 404):  # the namespace is going away, and its events with it
                raise

    def _repeat(self, namespace: str, name: str) -> bool:
        last = self._client.get("events", namespace, name)
        if last is None:
            return False
        change = {"count": last.get("count", 1) + 1, "lastTimestamp": timestamp(datetime.now(UTC))}
        self._client.patch("events", namespace, name, change)
        return True

    def _event(self, about: Obj, namespace: str, said: tuple[str, str, str, str]) -> Obj:
        kind, reason, message, component = said
        metadata, now = about["metadata"], timestamp(datetime.now(UTC))
        subject = {
            "kind": about["kind"],
            "apiVersion": about["apiVersion"],
            "namespace": metadata.get("namespace", ""),
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
            "fieldPath": about.get("fieldPath", ""),
        }
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata['name'][:200]}.{time.time_ns():x}", "namespace": namespace},
            "involvedObject": {key: value for key, value in subject.items() if value},
            "reason": reason,
            "message": message[:1024],
            "type": kind,
            "source": {"component": component, **({"host": about["host"]} if "host" in about else {})},
            "reportingComponent": component,
            "reportingInstance": about.get("host", ""),
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
