"""A user's PodTemplateSpec merged onto ours, as a strategic merge patch does it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]

# Lists that are maps by this key; every other list is replaced.
MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
    "tolerations": "key",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}


def merged(ours: Json, theirs: Json) -> dict[str, Any]:
    """`ours` with what `theirs` sets; null removes."""
    result = dict(ours)
    for key, value in theirs.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged_value(result.get(key), value, key)
    return result


def _merged_value(ours: Any, theirs: Any, key: str) -> Any:
    if isinstance(theirs, Mapping):
        return merged(ours if isinstance(ours, Mapping) else {}, theirs)
    if key in MERGE_KEYS and isinstance(ours, Sequence) and isinstance(theirs, Sequence):
        return _merged_list(ours, theirs, MERGE_KEYS[key])
    return theirs


def _merged_list(ours: Sequence[Json], theirs: Sequence[Json], key: str) -> list[Json]:
    patches = {item.get(key): item for item in theirs}
    names = {item.get(key) for item in ours}
    changed = [merged(item, patches[item.get(key)]) if item.get(key) in patches else item for item in ours]
    return [*changed, *(item for item in theirs if item.get(key) not in names)]
