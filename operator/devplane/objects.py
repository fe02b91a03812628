"""Reading Kubernetes objects: times, owners, conditions, pods, quantities. Pure; no client, no clock but `now`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any

Obj = dict[str, Any]


def now() -> datetime:
    return datetime.now(UTC)


def stamp(when: datetime) -> str:
    """As the API writes times: UTC, whole seconds."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def namespace_of(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"].get("namespace", ""))


def name_of(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"]["name"])


def uid_of(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"]["uid"])


def is_deleting(obj: Mapping[str, Any]) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def finalizers(obj: Mapping[str, Any]) -> list[str]:
    return list(obj["metadata"].get("finalizers") or ())


def controller_of(obj: Mapping[str, Any]) -> Obj | None:
    """The owner reference with ``controller: true``."""
    return next((owner for owner in obj["metadata"].get("ownerReferences") or () if owner.get("controller")), None)


def is_controlled_by(obj: Mapping[str, Any], uid: str) -> bool:
    owner = controller_of(obj)
    return owner is not None and owner["uid"] == uid


def controller_reference(owner: Mapping[str, Any], api_version: str, kind: str) -> Obj:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def condition(obj: Mapping[str, Any], type_: str) -> Obj | None:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == type_), None)


def has_condition(obj: Mapping[str, Any], type_: str) -> bool:
    found = condition(obj, type_)
    return found is not None and found["status"] == "True"


def with_condition(obj: Mapping[str, Any], found: Mapping[str, Any]) -> list[Obj]:
    """The object's conditions with `found` in its old place, or at the end; a new status has a new time."""
    held = (obj.get("status") or {}).get("conditions") or []
    before = condition(obj, found["type"])
    is_same = before is not None and before["status"] == found["status"]
    since = before.get("lastTransitionTime") if before is not None and is_same else None
    merged = {**found, "lastTransitionTime": since or stamp(now())}
    return [merged if one is before else one for one in held] if before is not None else [*held, merged]


def phase(pod: Mapping[str, Any]) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def is_terminal(pod: Mapping[str, Any]) -> bool:
    return phase(pod) in {"Succeeded", "Failed"}


def is_active(pod: Mapping[str, Any]) -> bool:
    return not is_terminal(pod) and not is_deleting(pod)


def is_ready(pod: Mapping[str, Any]) -> bool:
    return has_condition(pod, "Ready")


def ready_since(pod: Mapping[str, Any]) -> datetime | None:
    found = condition(pod, "Ready")
    return moment(found["lastTransitionTime"]) if found is not None and found["status"] == "True" else None


def created(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"]["creationTimestamp"])


def containers(pod: Mapping[str, Any]) -> list[Obj]:
    return [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]


def container_statuses(pod: Mapping[str, Any]) -> list[Obj]:
    status = pod.get("status") or {}
    return [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]


def pod_from_template(
    template: Mapping[str, Any], owner: Obj, generate_name: str, extra_finalizers: Iterable[str]
) -> Obj:
    """A pod to create from a template, with its controller reference."""
    given = template.get("metadata") or {}
    metadata: Obj = {
        "generateName": generate_name,
        "labels": dict(given.get("labels") or {}),
        "annotations": dict(given.get("annotations") or {}),
        "ownerReferences": [owner],
        "finalizers": [*(given.get("finalizers") or ()), *extra_finalizers],
    }
    metadata = {key: value for key, value in metadata.items() if value}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": dict(template["spec"])}


_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
    "Ei": Decimal(2) ** 60,
}


def quantity(text: str | float) -> Decimal:
    """A Kubernetes quantity, e.g. ``500m`` → 0.5, ``1Gi`` → 1073741824, ``1e3`` → 1000."""
    raw = str(text).strip()
    try:
        return Decimal(raw)
    except InvalidOperation:
        pass
    number = raw.rstrip("numkKMGTPEi")
    return Decimal(number) * _SUFFIXES[raw[len(number) :]]


def whole(amount: Decimal) -> int:
    """Rounded up, as requests are."""
    return int(amount.to_integral_value(ROUND_CEILING))


def requests(pod: Mapping[str, Any]) -> dict[str, Decimal]:
    """What the scheduler counts for a pod: its containers and sidecars together, or a larger init container."""
    total: dict[str, Decimal] = {}
    for container in pod["spec"]["containers"]:
        _add(total, container_requests(container))
    largest: dict[str, Decimal] = {}
    for container in pod["spec"].get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            _add(total, container_requests(container))
        else:
            _raise(largest, container_requests(container))
    _raise(total, largest)
    _add(total, {key: quantity(value) for key, value in (pod["spec"].get("overhead") or {}).items()})
    return total


def container_requests(container: Mapping[str, Any]) -> dict[str, Decimal]:
    """A limit without a request counts as the request."""
    resources = container.get("resources") or {}
    wanted = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {key: quantity(value) for key, value in wanted.items()}


def _add(total: dict[str, Decimal], more: Mapping[str, Decimal]) -> None:
    for key, value in more.items():
        total[key] = total.get(key, Decimal(0)) + value


def _raise(total: dict[str, Decimal], least: Mapping[str, Decimal]) -> None:
    for key, value in least.items():
        total[key] = max(total.get(key, Decimal(0)), value)
