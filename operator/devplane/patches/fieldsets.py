"""Sets of fields as `metadata.managedFields` writes them (FieldsV1), and how they are computed from objects. Pure.

A set is a trie: ``{"f:spec": {"f:size": {}}}``. An empty node is a member; one with children is, if it has ``"."``.
Path elements are ``f:NAME``, ``k:{"key":value}`` (an item of a list map) and ``v:VALUE`` (an item of a list set).
Sets are never changed in place. The rules are those of structured-merge-diff, which the API server uses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from devplane.schemas.types import ANY, Obj, TypeNode

Fields = dict[str, Any]
SELF = "."


def is_member(node: Fields) -> bool:
    return not node or SELF in node


def _node(children: Fields, *, member: bool) -> Fields | None:
    """A node of these children; None if nothing is left of it."""
    if not children:
        return {} if member else None
    return {SELF: {}, **children} if member else children


def _children(node: Fields) -> Fields:
    return {key: child for key, child in node.items() if key != SELF}


def union(one: Fields, other: Fields) -> Fields:
    """Members of either. Both are roots, or nodes of the same path."""
    merged = dict(one)
    for key, node in other.items():
        merged[key] = _union_nodes(merged[key], node) if key in merged else node
    return merged


def _union_nodes(one: Fields, other: Fields) -> Fields:
    if one == other:
        return one
    merged = union(one, other)
    if (is_member(one) or is_member(other)) and merged:
        merged[SELF] = {}
    return merged


def difference(one: Fields, other: Fields) -> Fields:
    """Members of `one` that are not members of `other`."""
    left: Fields = {}
    for key, node in one.items():
        if key == SELF:
            continue
        if key not in other:
            left[key] = node
            continue
        kept = _node(difference(node, other[key]), member=is_member(node) and not is_member(other[key]))
        if kept is not None:
            left[key] = kept
    return left


def intersection(one: Fields, other: Fields) -> Fields:
    """Members of both."""
    left: Fields = {}
    for key, node in one.items():
        if key == SELF or key not in other:
            continue
        kept = _node(intersection(node, other[key]), member=is_member(node) and is_member(other[key]))
        if kept is not None:
            left[key] = kept
    return left


def paths(fields: Fields, prefix: str = "") -> Iterator[str]:
    """Members as messages show them, sorted: ``.spec.ports[port=80,protocol="TCP"].name``."""
    for key in sorted(key for key in fields if key != SELF):
        path = prefix + _shown(key)
        if is_member(fields[key]):
            yield path
        yield from paths(fields[key], path)


def _shown(element: str) -> str:
    kind, value = element[:2], element[2:]
    if kind == "f:":
        return f".{value}"
    if kind == "v:":
        return f"[={value}]"
    return f"[{','.join(f'{key}={_text(one)}' for key, one in json.loads(value).items())}]"


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def element_of(item: Any, types: TypeNode) -> str | None:
    """The path element of a list's item; None when the item has no key."""
    if types.list_type == "set":
        return f"v:{_text(item)}"
    if not isinstance(item, dict):
        return None
    found = {key: item.get(key, types.key_default(key)) for key in types.keys}
    if any(value is None for value in found.values()):
        found = {key: value for key, value in found.items() if value is not None}
    return f"k:{_text(dict(sorted(found.items())))}" if found else None


def items_of(value: list[Any], types: TypeNode) -> dict[str, Any]:
    """A list's items by path element, in their order; of duplicates the first."""
    found: dict[str, Any] = {}
    for item in value:
        element = element_of(item, types)
        if element is not None:
            found.setdefault(element, item)
    return found


def is_leaf(value: Any, types: TypeNode) -> bool:
    """Owned as a whole: scalars, atomic lists and maps, and what is empty."""
    if isinstance(value, dict):
        return types.atomic or not value
    if isinstance(value, list):
        return not value or types.shape == "any" or types.atomic
    return True


def fields_of(value: Any, types: TypeNode) -> Fields:
    """What an applied object sets: leaves, and items of list maps themselves. A leaf is the empty set."""
    if is_leaf(value, types):
        return {}
    if isinstance(value, dict):
        return {f"f:{name}": fields_of(one, types.child(name) or ANY) for name, one in value.items()}
    if types.list_type == "set":
        return {element: {} for element in items_of(value, types)}
    return {key: _item(fields_of(item, types.element)) for key, item in items_of(value, types).items()}


def _item(fields: Fields) -> Fields:
    return {SELF: {}, **fields} if fields else fields


def all_fields(value: Any, types: TypeNode) -> Fields:
    """Every path in a value that was not there before, inner ones too."""
    if is_leaf(value, types):
        return {}
    if isinstance(value, dict):
        return {SELF: {}} | {f"f:{name}": all_fields(one, types.child(name) or ANY) for name, one in value.items()}
    return {SELF: {}} | {key: all_fields(item, types.element) for key, item in items_of(value, types).items()}


def compare(old: Any, new: Any, types: TypeNode) -> tuple[Fields, Fields]:
    """(set or changed, removed) going from one object to another of the same type. Equal parts cost one comparison."""
    changed: Fields = {}
    removed: Fields = {}
    if isinstance(new, dict):
        _compare_maps(old or {}, new, types, (changed, removed))
    elif isinstance(new, list):
        _compare_lists(old or [], new, types, (changed, removed))
    return changed, removed


def _compare_maps(old: Obj, new: Obj, types: TypeNode, found: tuple[Fields, Fields]) -> None:
    changed, removed = found
    for name, value in new.items():
        if name not in old:
            changed[f"f:{name}"] = all_fields(value, types.child(name) or ANY)
        elif old[name] != value:
            _compare_values(f"f:{name}", (old[name], value), types.child(name) or ANY, found)
    for name in old:
        if name not in new:
            removed[f"f:{name}"] = all_fields(old[name], types.child(name) or ANY)


def _compare_lists(old: list[Any], new: list[Any], types: TypeNode, found: tuple[Fields, Fields]) -> None:
    changed, removed = found
    before, after = items_of(old, types), items_of(new, types)
    for element, item in after.items():
        if element not in before:
            changed[element] = all_fields(item, types.element)
        elif before[element] != item:
            _compare_values(element, (before[element], item), types.element, found)
    for element in before:
        if element not in after:
            removed[element] = all_fields(before[element], types.element)


def _compare_values(element: str, pair: tuple[Any, Any], types: TypeNode, found: tuple[Fields, Fields]) -> None:
    changed, removed = found
    old, new = pair
    kinds_differ = not _same_kind(old, new)
    if kinds_differ or (is_leaf(old, types) and is_leaf(new, types)):
        changed[element] = {} if is_leaf(new, types) else all_fields(new, types)
        return
    below_changed, below_removed = compare(old, new, types) if new is not None else ({}, all_fields(old, types))
    below_removed.pop(SELF, None)
    if below_changed:
        changed[element] = below_changed
    if below_removed:
        removed[element] = below_removed


def _same_kind(old: Any, new: Any) -> bool:
    """Null stands for an empty value of either kind."""
    for kind in (dict, list):
        if isinstance(old, kind) or isinstance(new, kind):
            return all(one is None or isinstance(one, kind) for one in (old, new))
    return True


def with_named_fields(fields: Fields, types: TypeNode) -> Fields:
    """`fields` and the declared struct fields on the way to them, which no set names by itself."""
    found: Fields = {}
    for key, node in fields.items():
        if key == SELF:
            found[SELF] = node
            continue
        below = with_named_fields(node, type_below(types, key))
        if below and key.startswith("f:") and types.declares(key[2:]):
            below[SELF] = {}
        found[key] = below
    return found


def type_below(types: TypeNode, element: str) -> TypeNode:
    return (types.child(element[2:]) or ANY) if element.startswith("f:") else types.element


def without(value: Any, fields: Fields, types: TypeNode) -> Any:
    """A copy of `value` with the members of `fields` gone; None for what nothing is left of."""
    if isinstance(value, dict) and not types.atomic:
        kept: Any = _map_without(value, fields, types)
    elif isinstance(value, list) and not is_leaf(value, types):
        kept = _list_without(value, fields, types)
    else:
        return None if isinstance(value, dict | list) else value
    return kept or None


def _map_without(value: Obj, fields: Fields, types: TypeNode) -> Obj:
    kept: Obj = {}
    for name, one in value.items():
        node = fields.get(f"f:{name}")
        if node is None:
            kept[name] = one
        elif not is_member(node):
            below = without(one, node, types.child(name) or ANY)
            if below is not None:
                kept[name] = below
    return kept


def _list_without(value: list[Any], fields: Fields, types: TypeNode) -> list[Any]:
    kept = []
    for item in value:
        node = fields.get(element_of(item, types) or "")
        if node is None:
            kept.append(item)
        elif not is_member(node):
            kept.append(without(item, node, types.element))
    return kept
