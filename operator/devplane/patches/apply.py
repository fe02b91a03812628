"""Who owns which field: server-side apply, and ownership after every other write. Pure.

The algorithm is that of structured-merge-diff (merge, prune what the manager dropped and nobody else owns, conflicts)
and of the API server's field managers (which entry a write belongs to, which fields are never owned).
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any

from devplane.errors import ApiError, Cause
from devplane.patches import merging
from devplane.patches.fieldsets import Fields, compare, difference, fields_of, intersection, paths, union
from devplane.schemas.types import Obj, TypeNode

APPLY, UPDATE = "Apply", "Update"
KUBECTL = "kubectl"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
UNOWNED: Fields = {
    "f:apiVersion": {},
    "f:kind": {},
    "f:metadata": {
        ".": {}, "f:name": {}, "f:namespace": {}, "f:creationTimestamp": {}, "f:selfLink": {}, "f:uid": {},
        "f:clusterName": {}, "f:generation": {}, "f:managedFields": {}, "f:resourceVersion": {},
        "f:deletionTimestamp": {}, "f:deletionGracePeriodSeconds": {},
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Manager:
    """Whose write it was: one entry of managedFields. Appliers are the same manager in every API version."""

    name: str
    operation: str
    api_version: str
    subresource: str

    @classmethod
    def of(cls, entry: Obj) -> Manager:
        operation = entry.get("operation", UPDATE)
        version = entry.get("apiVersion", "")
        return cls(entry.get("manager", ""), operation, version, entry.get("subresource", ""))

    @property
    def identity(self) -> tuple[str, str, str, str]:
        version = "" if self.operation == APPLY else self.api_version
        return self.name, self.operation, version, self.subresource

    def __str__(self) -> str:
        shown = f'"{self.name}"'
        if self.subresource:
            shown += f' with subresource "{self.subresource}"'
        return f"{shown} using {self.api_version}" if self.operation == UPDATE else shown


@dataclass(frozen=True, slots=True)
class Owned:
    """What a manager owns, and since when its set is what it is."""

    manager: Manager
    fields: Fields
    time: str

    def entry(self) -> Obj:
        written: Obj = {
            "manager": self.manager.name,
            "operation": self.manager.operation,
            "apiVersion": self.manager.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields,
        }
        if not self.time:
            del written["time"]
        if self.manager.subresource:
            written["subresource"] = self.manager.subresource
        return written


Ownership = dict[tuple[str, str, str, str], Owned]


def ownership(obj: Obj | None) -> Ownership:
    """The managers of an object; entries that can not be read are left out."""
    found: Ownership = {}
    for entry in ((obj or {}).get("metadata") or {}).get("managedFields") or ():
        if isinstance(entry, dict) and isinstance(entry.get("fieldsV1"), dict):
            manager = Manager.of(entry)
            found[manager.identity] = Owned(manager, entry["fieldsV1"], entry.get("time", ""))
    return found


def record(obj: Obj, owners: Ownership) -> None:
    """Write `metadata.managedFields`: appliers first, then by time, by name."""
    entries = [owned.entry() for owned in owners.values() if owned.fields]
    entries.sort(key=lambda one: (one["operation"], one.get("time", ""), one["manager"], one["apiVersion"]))
    if entries:
        obj["metadata"]["managedFields"] = entries
    else:
        obj["metadata"].pop("managedFields", None)


def track(old: Obj | None, new: Obj, *, manager: str, types: TypeNode, subresource: str, now: str) -> None:
    """Record in `new` that `manager` wrote what differs from `old` (None: a create)."""
    owners = _before(old, new, subresource)
    changed, removed = compare(types.zero() if old is None else _unmanaged(old), _unmanaged(new), types)
    changed = difference(changed, UNOWNED)
    lost = union(changed, removed)
    if lost:
        owners = {key: _deprived(owned, lost) for key, owned in owners.items()}
    if changed:
        mine = Manager(manager, UPDATE, new.get("apiVersion", ""), subresource)
        before = owners.get(mine.identity)
        fields = union(before.fields, changed) if before is not None else changed
        owners[mine.identity] = Owned(mine, fields, now)
    record(new, owners)


def _before(old: Obj | None, new: Obj, subresource: str) -> Ownership:
    """A client may rewrite managedFields through the object itself; ``[{}]`` forgets everything."""
    sent = new.get("metadata", {}).get("managedFields")
    if subresource or not sent:
        return ownership(old)
    return {} if sent == [{}] else ownership(new) or ownership(old)


def _unmanaged(obj: Obj) -> Obj:
    metadata = {key: value for key, value in (obj.get("metadata") or {}).items() if key != "managedFields"}
    return {**obj, "metadata": metadata}


def _deprived(owned: Owned, lost: Fields) -> Owned:
    kept = difference(owned.fields, lost)
    return owned if kept == owned.fields else Owned(owned.manager, kept, owned.time)


def apply(
    live: Obj | None, applied: Obj, *, manager: str, force: bool, types: TypeNode, subresource: str, now: str
) -> Obj:
    """The object after `manager` applied `applied`; 409 when it would change what others own and `force` is not set.

    `live` None creates. The result has its new managedFields; where nothing changes it equals `live`.
    """
    check(applied, types)
    applied = _own_half(applied, subresource)
    base = _unmanaged(live) if live is not None else _blank(applied)
    owners = ownership(live)
    me = Manager(manager, APPLY, applied.get("apiVersion", ""), subresource)
    last = owners.get(me.identity)
    named = fields_of(_unmanaged(applied), types)
    wanted = difference(named, UNOWNED)
    merged: Obj = merging.merge(copy.deepcopy(base), copy.deepcopy(_unmanaged(applied)), types)
    others = {key: owned.fields for key, owned in owners.items() if key != me.identity}
    if last is not None:
        merged = merging.pruned(merged, last.fields, [named, *others.values()], types)
    changed, removed = compare(base, merged, types)
    conflicts = {key: intersection(fields, changed) for key, fields in others.items()}
    conflicts = {key: fields for key, fields in conflicts.items() if fields}
    if conflicts and not force:
        _refuse({owners[key].manager: fields for key, fields in conflicts.items()}, manager, base, types)
    owners = {key: _deprived(owned, union(conflicts.get(key, {}), removed)) for key, owned in owners.items()}
    owners[me.identity] = Owned(me, wanted, _time(last, now, is_changed=bool(changed or removed) or live is None))
    record(merged, owners)
    return merged


def _refuse(conflicts: dict[Manager, Fields], manager: str, live: Obj, types: TypeNode) -> None:
    """Raise the conflicts; kubectl may have what its client-side apply wrote, and nobody changed since.

    As `lastAppliedManager` of the API server does, so that a first ``kubectl apply --server-side`` succeeds.
    """
    if manager == KUBECTL:
        allowed = _last_applied(live, types)
        conflicts = {who: left for who, fields in conflicts.items() if (left := difference(fields, allowed))}
    if conflicts:
        raise _conflict(conflicts)


def _last_applied(live: Obj, types: TypeNode) -> Fields:
    """The fields that kubectl's annotation names and that are still as it says."""
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED, "")
    try:
        applied = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(applied, dict) or applied.get("apiVersion") != live.get("apiVersion"):
        return {}
    if any(merging.problems(applied, types)):
        return {}
    changed, removed = compare(applied, live, types)
    return difference(fields_of(_unmanaged(applied), types), union(changed, removed))


def _time(last: Owned | None, now: str, *, is_changed: bool) -> str:
    """When the manager last changed the object: who only joins others, or leaves them, has never done so."""
    if is_changed:
        return now
    return "" if last is None else last.time


def _own_half(applied: Obj, subresource: str) -> Obj:
    """Through `status` nothing else is applied, whatever the body says."""
    if subresource != "status":
        return applied
    named = {key: value for key, value in applied.get("metadata", {}).items() if key in ("name", "namespace")}
    status = {"status": applied["status"]} if "status" in applied else {}
    return {"apiVersion": applied.get("apiVersion"), "kind": applied.get("kind"), "metadata": named, **status}


def _blank(applied: Obj) -> Obj:
    return {"apiVersion": applied.get("apiVersion"), "kind": applied.get("kind"), "metadata": {}}


def check(applied: Obj, types: TypeNode) -> None:
    """Raises what an apply configuration can't be: fields and values that its kind doesn't have."""
    if (applied.get("metadata") or {}).get("managedFields") is not None:
        raise ApiError.bad_request("metadata.managedFields must be nil")
    problems = list(merging.problems(applied, types))
    if not problems:
        return
    metadata = applied.get("metadata") or {}
    api_version = applied.get("apiVersion", "")
    api_version = api_version if "/" in api_version else f"/{api_version}"
    described = (
        f"{metadata.get('namespace', '')}/{metadata.get('name', '')}; {api_version}, Kind={applied.get('kind', '')}"
    )
    text = problems[0] if len(problems) == 1 else "\n  ".join(["errors:", *problems])
    raise ApiError(500, "", f"failed to create typed patch object ({described}): {text}")


def _conflict(found: dict[Manager, Fields]) -> ApiError:
    lines = [(str(manager), path) for manager, fields in found.items() for path in paths(fields)]
    lines.sort()
    causes = [Cause("FieldManagerConflict", f"conflict with {who}", path) for who, path in lines]
    if len(lines) == 1:
        who, path = lines[0]
        return ApiError.apply_conflict(f"Apply failed with 1 conflict: conflict with {who}: {path}", causes)
    texts = []
    for who in dict.fromkeys(who for who, _ in lines):
        texts.append(f"conflicts with {who}:")
        texts += [f"- {path}" for one, path in lines if one == who]
    return ApiError.apply_conflict(f"Apply failed with {len(lines)} conflicts: " + "\n".join(texts), causes)


def unmanaged(obj: Obj) -> Obj:
    """`obj` without its managedFields, for comparison."""
    return _unmanaged(obj)


def same_but_for_times(one: Any, other: Any) -> bool:
    """Whether two lists of managedFields say the same, whenever it was written."""
    strip = [
        [{key: value for key, value in entry.items() if key != "time"} for entry in side or ()] for side in (one, other)
    ]
    return bool(strip[0] == strip[1])
