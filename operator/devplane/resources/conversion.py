"""Between the version that is stored and the version that is asked for. Pure."""

from __future__ import annotations

from typing import Any

from devplane.resources.registry import Resource

Obj = dict[str, Any]

# core/v1 Event field → events.k8s.io/v1 Event field
_EVENT_FIELDS = {
    "involvedObject": "regarding",
    "message": "note",
    "reportingComponent": "reportingController",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
}
_CORE_FIELDS = {new: old for old, new in _EVENT_FIELDS.items()}


def to_version(obj: Obj, resource: Resource) -> Obj:
    """A stored object as a reader of `resource` sees it; shares what it does not change."""
    if obj["apiVersion"] == resource.api_version:
        return obj
    return {**_renamed(obj, _EVENT_FIELDS if resource.key == "events" else {}), "apiVersion": resource.api_version}


def to_storage(obj: Obj, resource: Resource, storage: Resource) -> Obj:
    """An object of `resource` as it is stored, in the version of `storage`."""
    if resource.api_version == storage.api_version:
        return obj
    return {**_renamed(obj, _CORE_FIELDS if resource.key == "events" else {}), "apiVersion": storage.api_version}


def _renamed(obj: Obj, names: dict[str, str]) -> Obj:
    return {names.get(key, key): value for key, value in obj.items()}
