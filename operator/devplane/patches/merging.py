"""The objects of server-side apply: merging what is applied, and removing what its manager no longer applies. Pure."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from functools import reduce
from typing import Any

from devplane.patches.fieldsets import (
    Fields,
    all_fields,
    difference,
    element_of,
    intersection,
    is_leaf,
    items_of,
    union,
    with_named_fields,
    without,
)
from devplane.schemas.types import ANY, Obj, TypeNode


def merge(live: Any, applied: Any, types: TypeNode) -> Any:
    """`applied` over `live`: maps and list maps merge, the rest is replaced."""
    if isinstance(live, dict) and isinstance(applied, dict) and not types.atomic:
        merged = dict(live)
        for name, value in applied.items():
            merged[name] = merge(live[name], value, types.child(name) or ANY) if name in live else value
        return merged
    if isinstance(live, list) and isinstance(applied, list) and live and not is_leaf(live, types):
        return _merge_lists(items_of(live, types), items_of(applied, types), types.element)
    if applied is None and isinstance(live, dict | list):
        return live
    return applied


def _merge_lists(live: dict[str, Any], applied: dict[str, Any], item_type: TypeNode) -> list[Any]:
    """Applied items in their order; items that only live has keep their place relative to those that both have."""
    shared = [element for element in applied if element in live]
    ours, theirs = list(live), list(applied)
    result = []
    while ours or theirs:
        if ours and ours[0] not in applied:
            result.append(live[ours.pop(0)])
        elif ours and (not theirs or (shared and shared[0] != ours[0])):
            ours.pop(0)
        else:
            element = theirs.pop(0)
            shared = [one for one in shared if one != element]
            ours = ours[1:] if ours and ours[0] == element else ours
            result.append(merge(live[element], applied[element], item_type) if element in live else applied[element])
    return result


def pruned(merged: Obj, last: Fields, managed: Iterable[Fields], types: TypeNode) -> Obj:
    """`merged` without what was applied last time (`last`), unless any manager owns it now or something below it."""
    everything = with_named_fields(all_fields(merged, types), types)
    before = with_named_fields(last, types)
    kept = copy.deepcopy(without(merged, before, types) or {})
    owned = with_named_fields(reduce(union, managed, {}), types)
    remaining = union(with_named_fields(all_fields(kept, types), types), owned)
    kept = without(merged, difference(everything, remaining), types) or {}
    left = with_named_fields(all_fields(kept, types), types)
    gone = intersection(difference(everything, left), before)
    result: Obj = without(merged, gone, types) or {}
    return result


def problems(applied: Any, types: TypeNode, path: str = "") -> Iterator[str]:
    """Why a patch is not an object of its type: unknown fields, items without their key, duplicates, wrong kinds."""
    if applied is None or types.shape == "any":
        return
    if types.shape == "map":
        yield from _map_problems(applied, types, path)
    elif types.shape == "list":
        yield from _list_problems(applied, types, path)
    elif isinstance(applied, dict | list):
        kind = types.schema.get("type", "scalar")
        yield f"{path}: expected {_article(kind)}, got &{_go(applied)}"
    elif types.is_text and not isinstance(applied, str):
        yield f"{path}: expected string, got &value.valueUnstructured{{Value:{_plain(applied)}}}"
    elif _is_number(types) and (isinstance(applied, str | bool)):
        yield f"{path}: expected numeric (int or float), got {'bool' if isinstance(applied, bool) else 'string'}"


def _is_number(types: TypeNode) -> bool:
    is_open = types.schema.get("x-kubernetes-int-or-string") or types.is_quantity
    return types.schema.get("type") in ("integer", "number") and not is_open


def _map_problems(applied: Any, types: TypeNode, path: str) -> Iterator[str]:
    if not isinstance(applied, dict):
        yield f"{path}: expected map, got &{_go(applied)}"
        return
    for name in sorted(applied):
        child = types.child(name)
        if child is None:
            yield f"{path}.{name}: field not declared in schema"
        else:
            yield from problems(applied[name], child, f"{path}.{name}")


def _list_problems(applied: Any, types: TypeNode, path: str) -> Iterator[str]:
    if not isinstance(applied, list):
        yield f"{path}: expected list, got &{_go(applied)}"
        return
    seen = set()
    for at, item in enumerate(applied):
        where = f"{path}[{at}]"
        if not types.atomic:
            yield from _key_problems(item, types, path, at)
            element = element_of(item, types)
            if element in seen:
                yield f"{path}: duplicate entries for key {_key_text(item, types)}"
            seen.add(element)
            where = f"{path}{_key_text(item, types)}"
        yield from problems(item, types.element, where)


def _key_problems(item: Any, types: TypeNode, path: str, at: int) -> Iterator[str]:
    for key in types.keys:
        if isinstance(item, dict) and item.get(key, types.key_default(key)) is None:
            words = "associative list with keys has an element that omits key field"
            yield f'{path}: element {at}: {words} "{key}" (and doesn\'t have default value)'


def _key_text(item: Any, types: TypeNode) -> str:
    from devplane.patches.fieldsets import paths

    element = element_of(item, types)
    return next(paths({element: {}})) if element else "[]"


def _article(kind: str) -> str:
    return {"integer": "numeric (int or float)", "number": "numeric (int or float)"}.get(kind, kind)


def _go(value: Any) -> str:
    return f"{{{_plain(value)}}}"


def _plain(value: Any) -> str:
    """A value as Go prints it with %v."""
    if isinstance(value, list):
        return f"[{' '.join(_plain(one) for one in value)}]"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_plain(one)}' for key, one in sorted(value.items()))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "<nil>" if value is None else str(value)
