"""The three patches that are not server-side apply: merge (RFC 7386), JSON (RFC 6902) and strategic merge. Pure.

No function changes its arguments. The strategic rules are in the API conventions of Kubernetes ("Strategic merge
patch"): lists merge by the key that the field's schema names, and directives start with `$`.
"""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import orjson

from devplane.errors import ApiError
from devplane.schemas.types import ANY, Obj, TypeNode

MOST_OPERATIONS = 10_000
MOST_COPIED = 3 * 1024 * 1024
"""The bounds of a JSON patch, as the API server has them."""
PATCH = "$patch"
RETAIN_KEYS = "$retainKeys"
SET_ORDER = "$setElementOrder/"
DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def json_patch(target: Obj, ops: Any) -> Obj:
    """RFC 6902. 400 for what is not a list of operations, 422 for one that does not apply (a failed test too)."""
    if not isinstance(ops, list):
        kind = "object" if isinstance(ops, dict) else "string"
        message = f"error decoding patch: json: cannot unmarshal {kind} into Go value of type jsonpatch.Patch"
        raise ApiError.bad_request(message)
    if len(ops) > MOST_OPERATIONS:
        raise ApiError(413, "RequestEntityTooLarge", f"The allowed maximum operations in a JSON patch is"
                       f" {MOST_OPERATIONS}, got {len(ops)}")  # fmt: skip
    try:
        patched: Obj = _applied(target, ops)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError, AttributeError, KeyError) as error:
        raise ApiError.unprocessable() from error
    return patched


def _applied(target: Obj, ops: list[Any]) -> Any:
    """One operation after the other; copies of copies may not grow without bounds."""
    patched: Any = target
    copies = 0
    for op in ops:
        if isinstance(op, dict) and op.get("op") == "copy":
            copied = jsonpatch.JsonPointer(op["from"]).resolve(patched)
            copies += len(orjson.dumps(copied))
            if copies > MOST_COPIED:
                message = f"Unable to complete the copy, the accumulated size increase of copy is {copies}"
                raise ApiError(413, "RequestEntityTooLarge", f"{message}, exceeding the limit {MOST_COPIED}")
        patched = jsonpatch.JsonPatch([op]).apply(patched, in_place=patched is not target)
    return patched


def strategic_merge(target: Obj, patch: Obj, types: TypeNode) -> Obj:
    """`patch` merged into `target` as the schema of the kind says."""
    return _merge_map(copy.deepcopy(target), copy.deepcopy(patch), types)


def _merge_map(target: Obj, patch: Obj, types: TypeNode) -> Obj:
    directive = patch.pop(PATCH, None)
    if directive == "replace":
        replaced: Obj = _without_directives(patch)
        return replaced
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise ApiError.bad_request(f"Unknown patch type found: {directive}")
    _retain_keys(target, patch)
    orders = {key.removeprefix(SET_ORDER): patch.pop(key) for key in list(patch) if key.startswith(SET_ORDER)}
    _delete_primitives(target, patch)
    for key, value in patch.items():
        _merge_key(target, key, value, types.child(key) or ANY)
    for key, order in orders.items():
        _reorder(target, key, order, types.child(key) or ANY)
    return target


def _merge_key(target: Obj, key: str, value: Any, types: TypeNode) -> None:
    live = target.get(key)
    if value is None:
        target.pop(key, None)
    elif isinstance(live, dict) and isinstance(value, dict):
        target[key] = _merge_map(live, value, types) if "replace" not in types.strategies else value
    elif isinstance(live, list) and isinstance(value, list) and "merge" in types.strategies:
        target[key] = _merge_list(live, value, types)
    elif isinstance(value, dict) and value.get(PATCH) == "delete":
        target.pop(key, None)
    else:
        target[key] = _without_directives(value)


def _retain_keys(target: Obj, patch: Obj) -> None:
    """`$retainKeys` of a union: everything that it doesn't name goes."""
    retained = patch.pop(RETAIN_KEYS, None)
    if retained is None:
        return
    _must_be_list(RETAIN_KEYS, retained)
    if stray := [key for key in patch if not key.startswith("$") and key not in retained]:
        raise ApiError.bad_request(f"{RETAIN_KEYS}: field {stray[0]} is in the patch but not in the list")
    for key in [key for key in target if key not in retained]:
        del target[key]


def _must_be_list(directive: str, value: Any) -> None:
    if not isinstance(value, list):
        raise ApiError.bad_request(f"{directive}: must be a list, not {value!r}")


def _delete_primitives(target: Obj, patch: Obj) -> None:
    for key in [key for key in patch if key.startswith(DELETE_PRIMITIVES)]:
        removed = patch.pop(key)
        _must_be_list(key, removed)
        field = key.removeprefix(DELETE_PRIMITIVES)
        if isinstance(target.get(field), list):
            target[field] = [one for one in target[field] if one not in removed]


def _merge_list(live: list[Any], patch: list[Any], types: TypeNode) -> list[Any]:
    if not any(isinstance(item, dict) for item in (*live, *patch)):
        merged = live + [one for one in patch if one not in live]
        return _ordered(merged, patch, live, None)
    key = types.merge_key
    if key is None:
        raise ApiError.bad_request("cannot merge lists without merge key")
    base, items = _without_special(live, patch, key)
    if base is None:
        return [_without_directives(item) for item in items]
    return _ordered(_merge_items(base, items, key, types), items, live, key)


def _merge_items(base: list[Any], items: list[Any], key: str, types: TypeNode) -> list[Any]:
    merged = list(base)
    for item in items:
        at = next((i for i, one in enumerate(merged) if one.get(key) == item[key]), None)
        if at is None:
            merged.append(_without_directives(item))
        else:
            merged[at] = _merge_map(merged[at], dict(item), types.element)
    return merged


def _without_special(live: list[Any], patch: list[Any], key: str) -> tuple[list[Any] | None, list[Any]]:
    """`$patch` items applied: what is left of the live list (None: it is replaced) and of the patch."""
    kept: list[Any] | None = live
    items = []
    for item in patch:
        directive = item.get(PATCH)
        if directive == "replace" and len(item) == 1:
            kept = None
            continue
        if key not in item:
            raise ApiError.bad_request(f"map: {item} does not contain declared merge key: {key}")
        if directive == "delete":
            kept = None if kept is None else [one for one in kept if one.get(key) != item[key]]
        else:
            items.append(item)
    return kept, items


def _reorder(target: Obj, field: str, order: list[Any], types: TypeNode) -> None:
    """`$setElementOrder`: named items in that order, the others where they stood relative to them."""
    _must_be_list(f"{SET_ORDER}{field}", order)
    merged = target.get(field)
    if isinstance(merged, list) and merged:
        key = types.merge_key if isinstance(merged[0], dict) else None
        target[field] = _ordered(merged, order, merged, key)


def _ordered(merged: list[Any], order: list[Any], live: list[Any], key: str | None) -> list[Any]:
    """Items of `order` in its order, mixed with the server's own, which keep their places relative to `live`."""
    wanted = [_identity(one, key) for one in order]
    before = [_identity(one, key) for one in live]
    named = [one for one in merged if _identity(one, key) in wanted]
    named.sort(key=lambda one: wanted.index(_identity(one, key)))
    own = [one for one in merged if _identity(one, key) not in wanted]
    result = []
    while own and named:
        mine, theirs = _identity(own[0], key), _identity(named[0], key)
        known = mine in before and theirs in before
        result.append((own if known and before.index(mine) < before.index(theirs) else named).pop(0))
    return result + own + named


def _identity(item: Any, key: str | None) -> Any:
    return item.get(key) if key is not None and isinstance(item, dict) else item


def _without_directives(value: Any) -> Any:
    """A value that is new to the object: its directives have nothing to act on."""
    if isinstance(value, list):
        return [_without_directives(one) for one in value if not (isinstance(one, dict) and PATCH in one)]
    if not isinstance(value, dict):
        return value
    return {key: _without_directives(one) for key, one in value.items() if not _is_directive(key) and one is not None}


def _is_directive(key: str) -> bool:
    return key in (PATCH, RETAIN_KEYS) or key.startswith((SET_ORDER, DELETE_PRIMITIVES))
