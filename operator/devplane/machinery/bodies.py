"""What of a sent object counts: its kind, its namespace, its identity, the half of it that a write may change. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from devplane.errors import ApiError, Cause, cannot_handle, not_registered, wrong_kind
from devplane.machinery.schemas import Schema
from devplane.machinery.targets import CRDS, Target, Write
from devplane.resources.registry import Resource
from devplane.storage.store import copied

Obj = dict[str, Any]

FOREIGN = (
    "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "managedFields", "uid",
    "creationTimestamp",
)  # fmt: skip
SERVER_OWNED = (
    "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion",
    "generateName", "selfLink",
)  # fmt: skip
NAMESPACE_MISMATCH = "the namespace of the provided object does not match the namespace sent on the request"


def decoded(resource: Resource, body: Obj, schema: Schema, write: Write) -> Obj:
    """`body` with its kind checked, wrong types refused and unknown fields refused, warned of or dropped."""
    if not isinstance(body, dict):
        raise ApiError.bad_request(f"the object provided is unrecognized (must be of type {resource.kind})")
    api_version = body.setdefault("apiVersion", resource.api_version)
    kind = body.setdefault("kind", resource.kind)
    for key, value in (("apiVersion", api_version), ("kind", kind)):
        if not isinstance(value, str):
            raise ApiError.bad_request(cannot_handle(resource, f"{key} is not a string"))
    if (api_version, kind) != (resource.api_version, resource.kind):
        raise _another(resource, body, api_version, kind)
    if not isinstance(body.setdefault("metadata", {}), dict):
        raise ApiError.bad_request(cannot_handle(resource, "metadata is not an object"))
    if problems := schema.decode_errors(body):
        raise ApiError.bad_request(cannot_handle(resource, problems[0]))
    unknown = [f'unknown field "{path}"' for path in schema.prune(body)]
    if unknown and write.field_validation == "Strict":
        raise ApiError.bad_request(cannot_handle(resource, f"strict decoding error: {', '.join(unknown)}"))
    if write.field_validation == "Warn":
        write.warnings.extend(unknown)
    return body


def _another(resource: Resource, body: Obj, api_version: str, kind: str) -> ApiError:
    if not resource.crd:
        return ApiError.bad_request(_foreign(resource, api_version, kind))
    if api_version != resource.api_version:
        expected = f"does not match the expected API version ({resource.api_version})"
        return ApiError.bad_request(f"the API version in the data ({api_version}) {expected}")
    metadata = body.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    cause = Cause.invalid("kind", kind, f"must be {resource.kind}")
    return ApiError.invalid(f"{kind}.{resource.group}", name, [cause])


def _foreign(resource: Resource, api_version: str, kind: str) -> str:
    """Another kind than the URL's: one that is known, or one that no server has heard of."""
    from devplane.kinds.builtins import builtin

    if builtin(api_version, kind) is not None:
        return wrong_kind(resource, api_version, kind)
    version = api_version.rpartition("/")[2]
    return f'{kind} in version "{version}" cannot be handled as a {resource.kind}: {not_registered(api_version, kind)}'


def typed(body: Any, api_version: str, kind: str) -> Obj:
    """`body` of what is posted and not stored (a review, a binding, a Scale, DeleteOptions): of the kind's types."""
    from devplane.kinds.builtins import builtin

    if not isinstance(body, dict):
        raise ApiError.bad_request(f"the object provided is unrecognized (must be of type {kind})")
    known = builtin(api_version, kind)
    assert known is not None
    if problems := known.decode_errors(body):
        version = api_version.rpartition("/")[2]
        raise ApiError.bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {problems[0]}')
    return body


def place(resource: Resource, namespace: str, new: Obj) -> None:
    """Fill in or check the namespace of the URL."""
    metadata = new["metadata"]
    if not resource.namespaced:
        if metadata.pop("namespace", None):
            raise ApiError.bad_request(NAMESPACE_MISMATCH)
        return
    if metadata.setdefault("namespace", namespace) != namespace:
        raise ApiError.bad_request(NAMESPACE_MISMATCH)


def forget_identity(new: Obj) -> None:
    """Metadata that the server alone writes is not taken from a client."""
    metadata = new["metadata"]
    for key in FOREIGN:
        metadata.pop(key, None)
    if metadata.pop("resourceVersion", ""):
        message = "resourceVersion should not be set on objects to be created"
        raise ApiError(500, "", message)


def keep_identity(old: Obj, new: Obj) -> None:
    """What a client can not change is as it was, whether the client sent it or not."""
    now, before = new["metadata"], old["metadata"]
    for key in SERVER_OWNED:
        if key in before:
            now[key] = before[key]
        else:
            now.pop(key, None)
    if "managedFields" not in now and "managedFields" in before:
        now["managedFields"] = before["managedFields"]


def isolated(resource: Resource, old: Obj, new: Obj, write: Write) -> Obj:
    """`new` with the other half of the object as it was: status is written by itself, or not at all.

    Labels, annotations and finalizers of built-in kinds may be written with either half.
    """
    if not resource.has_status:
        return new
    if write.subresource == "status":
        kept = copied({**old, "metadata": _metadata_with_status(resource, old, new)})
        kept.pop("status", None)
        return {**kept, "status": new["status"]} if "status" in new else kept
    new.pop("status", None)
    if "status" in old:
        new["status"] = copied(old["status"]) if old["status"] else old["status"]
    return new


def _metadata_with_status(resource: Resource, old: Obj, new: Obj) -> Obj:
    before, after = old["metadata"], new["metadata"]
    if resource.crd or resource.key == "apiservices.apiregistration.k8s.io":
        return {**before, "managedFields": after.get("managedFields", [])}
    kept = _NOT_WITH_STATUS.get(resource.key, "")
    metadata: Obj = {key: value for key, value in after.items() if key != kept}
    return {**metadata, kept: before[kept]} if kept in before else metadata


_NOT_WITH_STATUS = {"deployments.apps": "labels", "pods": "ownerReferences"}


def check_unchanged(target: Target, old: Obj, new: Obj) -> None:
    """Optimistic locking: 409 where the client has seen another object than the stored one."""
    asked = new["metadata"].get("resourceVersion") or ""
    if not asked.isdecimal() and asked:
        raise ApiError(500, "", f'strconv.ParseUint: parsing "{asked}": invalid syntax')
    if asked not in ("", "0") and asked != old["metadata"]["resourceVersion"]:
        raise ApiError.conflict(target.resource.name, target.name)
    uid = new["metadata"].get("uid") or ""
    if uid and uid != old["metadata"]["uid"]:
        had = old["metadata"]["uid"]
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {had}"
        raise ApiError.conflict(target.resource.name, target.name, why)


def check_versioned(target: Target, new: Obj) -> None:
    """A custom resource, or a definition of one, is replaced as it was seen and not otherwise."""
    is_custom = target.resource.crd or target.resource.key == CRDS
    if is_custom and new["metadata"].get("resourceVersion") in (None, "", "0"):
        cause = Cause("FieldValueInvalid", "Invalid value: 0x0: must be specified for an update", _VERSION)
        raise ApiError.invalid(target.resource.name, target.name, [cause])


_VERSION = "metadata.resourceVersion"


def check_name(target: Target, new: Obj) -> None:
    """The object that is sent is that of the URL, and says so."""
    name = new["metadata"].get("name")
    if not name:
        why = f"the name of the object ({target.name} based on URL) was undeterminable: name must be provided"
        raise ApiError.bad_request(why)
    if name != target.name:
        message = f"the name of the object ({name}) does not match the name on the URL ({target.name})"
        raise ApiError.bad_request(message)


def patched(resource: Resource, draft: Obj, schema: Schema, write: Write) -> Obj:
    """`draft`, which a patch made, decoded; what it can't be is the patch's fault, and shown whole."""
    version = draft.get("apiVersion")
    if resource.crd and isinstance(version, str) and version != resource.api_version:
        cause = Cause.invalid("apiVersion", version, f"must be {resource.api_version}")
        raise ApiError.invalid(resource.kind_name, draft["metadata"].get("name", ""), [cause])
    try:
        return decoded(resource, draft, schema, write)
    except ApiError as error:
        why = error.message.partition(f"cannot be handled as a {resource.kind}: ")[2]
        if not why:
            raise
        shown = orjson.dumps(draft, option=orjson.OPT_SORT_KEYS).decode()
        raise ApiError.invalid("", "", [Cause.invalid("patch", shown, why)]) from None


def same(old: Obj, new: Obj) -> bool:
    """Nothing changed but, at most, times in managedFields. To Python alone true is 1: bytes decide what is equal."""
    before, after = _comparable(old), _comparable(new)
    return before == after and _sorted_bytes(before) == _sorted_bytes(after)


def _sorted_bytes(obj: Obj) -> bytes:
    return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)


def _comparable(obj: Obj) -> Obj:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    fields = metadata.get("managedFields") or []
    metadata["managedFields"] = [{key: value for key, value in one.items() if key != "time"} for one in fields]
    return {**obj, "metadata": metadata}


def is_released(resource: Resource, obj: Obj) -> bool:
    """Being deleted, and nothing holds it any longer."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if resource.key == "namespaces":
        return not obj.get("spec", {}).get("finalizers")
    return not metadata.get("deletionGracePeriodSeconds")
