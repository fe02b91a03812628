"""PATCH: the four kinds of patches, on objects and their subresources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from devplane.errors import ApiError, Cause, cannot_handle
from devplane.machinery import scale
from devplane.machinery.bodies import typed
from devplane.machinery.schemas import Schema
from devplane.machinery.targets import Target, Write
from devplane.machinery.verbs import Api
from devplane.patches.plain import json_patch, merge_patch, strategic_merge
from devplane.wire.requests import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, PATCHES, STRATEGIC_PATCH, media_type
from devplane.wire.texts import apply_body, check_depth, parse_json

Obj = dict[str, Any]


def patch(api: Api, target: Target, body: bytes, content_type: str, write: Write, *, force: bool) -> tuple[int, Obj]:
    """The status code (201 when an apply creates) and the object, or the Scale for that subresource."""
    kind = media_type(content_type)
    _check_type(target, kind)
    if kind == APPLY_PATCH:
        return apply(api, target, apply_body(body) or {}, write, force=force)
    if force:
        cause = Cause.forbidden("force", "may not be specified for non-apply patch")
        raise ApiError.invalid("PatchOptions.meta.k8s.io", "", [cause])
    content = parse_json(body, target.resource.kind)
    if write.subresource == "scale":
        return 200, _patch_scale(api, target, kind, content, write)
    return 200, api.patched(target, _change(kind, content), write)


def _check_type(target: Target, kind: str) -> None:
    if kind not in PATCHES:
        raise ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    if kind == STRATEGIC_PATCH and target.resource.crd:
        raise ApiError.unsupported_media_type(f"{JSON_PATCH}, {MERGE_PATCH}, {APPLY_PATCH}")


def _change(kind: str, content: Any) -> Callable[[Obj, Schema], Obj]:
    def change(old: Obj, schema: Schema) -> Obj:
        if kind == JSON_PATCH:
            patched = json_patch(old, content)
            check_depth(patched)
            return patched
        if not isinstance(content, dict):
            prefix = "error decoding patch: " if kind == MERGE_PATCH else ""
            raise ApiError.bad_request(f"{prefix}{_no_map(content)}")
        if kind == MERGE_PATCH or schema.types is None:
            merged: Obj = merge_patch(old, content)
            return merged
        return strategic_merge(old, content, schema.types)

    return change


def _no_map(value: Any) -> str:
    kind = {list: "array", str: "string", bool: "bool"}.get(type(value), "number")
    return f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"


def _patch_scale(api: Api, target: Target, kind: str, content: Any, write: Write) -> Obj:
    current = scale.read(api, target)
    changed: Obj = json_patch(current, content) if kind == JSON_PATCH else merge_patch(current, content)
    changed = typed(changed, "autoscaling/v1", "Scale")
    return scale.write(api, target, changed, replace(write, subresource=""))


def apply(api: Api, target: Target, applied: Any, write: Write, *, force: bool) -> tuple[int, Obj]:
    """Server-side apply: the fields of `applied` become its manager's."""
    _check_configuration(target, applied)
    resource, schema = target.resource, api.schemas.of(target.resource)
    if schema.types is None:
        raise ApiError.unsupported_media_type(f"{JSON_PATCH}, {MERGE_PATCH}; devplane has no schema of {resource.kind}")
    from devplane.patches.apply import apply as merge_applied
    from devplane.patches.apply import check as check_types

    live = api.find(target)
    _check_kind(target, applied)
    check_types(applied, schema.types)
    _fill_in(target, applied)
    if resource.has_status and not write.subresource:
        applied.pop("status", None)
    if live is not None:
        _check_version(target, applied, live)
    elif write.subresource:
        raise ApiError.not_found(resource.name, target.name)
    _check_fields(target, applied, schema)
    new = merge_applied(
        live,
        applied,
        manager=write.manager,
        force=force,
        types=schema.types,
        subresource=write.subresource,
        now=api.now(),
    )
    if live is None:
        return 201, api.create_applied(resource, target.namespace, new, write)
    return 200, api.replace_applied(target, live, new, write)


def _check_configuration(target: Target, applied: Any) -> None:
    if not isinstance(applied, dict):
        raise ApiError.bad_request(
            f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {_no_map(applied)}"
        )
    metadata = applied.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise ApiError.bad_request(cannot_handle(target.resource, "metadata is not an object"))
    if metadata.get("managedFields"):
        raise ApiError.bad_request("metadata.managedFields must be nil")
    name = metadata.get("name", target.name)
    if name != target.name:
        message = f"the name of the object ({name}) does not match the name on the URL ({target.name})"
        raise ApiError.bad_request(message)


def _check_kind(target: Target, applied: Obj) -> None:
    """An apply configuration says of which kind it is."""
    version, kind = applied.get("apiVersion") or "", applied.get("kind") or ""
    if (version, kind) != (target.resource.api_version, target.resource.kind):
        group = version if "/" in str(version) else f"/{version}"
        raise ApiError.bad_request(f"invalid object type: {group}, Kind={kind}")


def _fill_in(target: Target, applied: Obj) -> None:
    """An apply configuration names what it is about; what it leaves out is that of the URL."""
    metadata = applied["metadata"]
    metadata["name"] = target.name
    if target.resource.namespaced:
        metadata.setdefault("namespace", target.namespace)


def _check_version(target: Target, applied: Obj, live: Obj) -> None:
    uid, asked = applied["metadata"].get("uid"), applied["metadata"].get("resourceVersion")
    if uid and uid != live["metadata"]["uid"]:
        cause = Cause.invalid("metadata.uid", uid, "field is immutable")
        raise ApiError.invalid(target.resource.kind_name, target.name, [cause])
    if asked and asked != live["metadata"]["resourceVersion"]:
        raise ApiError.conflict(target.resource.name, target.name)


def _check_fields(target: Target, applied: Obj, schema: Schema) -> None:
    """Unknown fields are an error in an apply configuration: nobody could own them."""
    resource = target.resource
    if problems := schema.decode_errors(applied):
        raise ApiError.bad_request(cannot_handle(resource, problems[0]))
    if unknown := schema.prune(applied):
        group_version_kind = f"{resource.api_version}, Kind={resource.kind}"
        where = f"{applied['metadata'].get('namespace', '') if not resource.crd else ''}/{target.name}"
        message = f"failed to create typed patch object ({where}; {group_version_kind})"
        raise ApiError(500, "", f"{message}: .{unknown[0]}: field not declared in schema")


def missing_manager() -> ApiError:
    cause = Cause.required("fieldManager", "is required for apply patch")
    return ApiError.invalid("PatchOptions.meta.k8s.io", "", [cause])
