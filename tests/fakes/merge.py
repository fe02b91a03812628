"""Merges of the API server, as far as tests of the operator need them: RFC 7386 and a small server-side apply."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

# Lists that are maps on the server; every other list is atomic.
LIST_KEYS = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("containerPort", "port", "protocol"),
    "ownerReferences": ("uid",),
    "conditions": ("type",),
}


def merged(live: Any, patch: Any) -> Any:
    """A merge patch: null removes, lists are replaced."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(copy.deepcopy(live)) if isinstance(live, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def applied(live: Any, wanted: Any, owned: Any, field: str = "") -> Any:
    """`live` after an apply of `wanted` by a manager that applied `owned` before: what it dropped goes away."""
    if isinstance(wanted, Mapping):
        return _applied_map(live, wanted, owned)
    if field in LIST_KEYS and isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return _applied_list(live or [], wanted, owned or [], field)
    return copy.deepcopy(wanted)


def _applied_map(live: Any, wanted: Mapping[str, Any], owned: Any) -> dict[str, Any]:
    live = live if isinstance(live, Mapping) else {}
    owned = owned if isinstance(owned, Mapping) else {}
    result = {key: copy.deepcopy(value) for key, value in live.items() if key not in owned or key in wanted}
    for key, value in wanted.items():
        result[key] = applied(live.get(key), value, owned.get(key), key)
    return result


def _applied_list(live: Sequence[Any], wanted: Sequence[Any], owned: Sequence[Any], field: str) -> list[Any]:
    def identity(item: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(item.get(key) for key in LIST_KEYS[field])

    mine = {identity(item): item for item in wanted}
    before = {identity(item): item for item in owned}
    there = {identity(item): item for item in live}
    kept = [item for item in live if identity(item) in mine or identity(item) not in before]
    result = [applied(item, mine.get(identity(item), item), before.get(identity(item))) for item in kept]
    return result + [copy.deepcopy(item) for key, item in mine.items() if key not in there]
