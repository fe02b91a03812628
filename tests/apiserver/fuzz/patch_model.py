"""What patches mean, written from the documents alone and as plainly as can be; devplane's own code is not looked at.

JSON patch is RFC 6902, merge patch RFC 7386, strategic merge patch the page "Strategic Merge Patch" of Kubernetes'
community documentation (contributors/devel/sig-api-machinery/strategic-merge-patch.md) with the keys that the API
reference names beside each field ("Patch strategy: merge on key `name`").
"""

from __future__ import annotations

import copy
from typing import Any

Obj = dict[str, Any]


class RefusedError(Exception):
    """The patch does not apply."""


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386, section 2, as its pseudocode says."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


def json_patch(document: Any, operations: list[Obj]) -> Any:
    """RFC 6902: each operation on the result of the one before."""
    document = copy.deepcopy(document)
    for one in operations:
        document = _operation(document, one)
    return document


def _operation(document: Any, one: Obj) -> Any:
    path = _pointer(one["path"])
    match one["op"]:
        case "add":
            return _added(document, path, copy.deepcopy(one["value"]))
        case "remove":
            return _removed(document, path)
        case "replace":
            _at(document, path)
            return copy.deepcopy(one["value"]) if not path else _added(_removed(document, path), path, one["value"])
        case "move":
            source = _pointer(one["from"])
            value = _at(document, source)
            if path == source:
                return document
            if path[: len(source)] == source:
                raise RefusedError("into itself")
            return _added(_removed(document, source), path, value)
        case "copy":
            return _added(document, path, copy.deepcopy(_at(document, _pointer(one["from"]))))
        case "test":
            if not _same(_at(document, path), one["value"]):
                raise RefusedError("test")
            return document
    raise RefusedError(one["op"])


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise RefusedError(text)
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _index(owner: list[Any], step: str, *, end: int) -> int:
    if not (step == "0" or (step.isascii() and step.isdigit() and step[0] != "0")) or int(step) > end:
        raise RefusedError(step)
    return int(step)


def _at(document: Any, path: list[str]) -> Any:
    for step in path:
        if isinstance(document, dict):
            if step not in document:
                raise RefusedError(step)
            document = document[step]
        elif isinstance(document, list):
            document = document[_index(document, step, end=len(document) - 1)]
        else:
            raise RefusedError(step)
    return document


def _added(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    owner, last = _at(document, path[:-1]), path[-1]
    if isinstance(owner, dict):
        owner[last] = value
    elif isinstance(owner, list):
        owner.insert(len(owner) if last == "-" else _index(owner, last, end=len(owner)), value)
    else:
        raise RefusedError(last)
    return document


def _removed(document: Any, path: list[str]) -> Any:
    if not path:
        return None
    _at(document, path)
    owner, last = _at(document, path[:-1]), path[-1]
    del owner[last if isinstance(owner, dict) else int(last)]
    return document


def _same(one: Any, other: Any) -> bool:
    """RFC 6902, 4.6: true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


MERGE_KEYS = {
    "containers": "name", "initContainers": "name", "volumes": "name", "env": "name", "ports": "containerPort",
    "volumeMounts": "mountPath", "imagePullSecrets": "name", "hostAliases": "ip", "ownerReferences": "uid",
    "topologySpreadConstraints": "topologyKey",
}  # fmt: skip
"""Lists of objects of a pod that merge, with their key. `ports` of a Service merge by `port` (not asked here)."""
MERGED_PRIMITIVES = ("finalizers",)
RETAIN_KEYS = ("volumes", "strategy")


def strategic(live: Any, patch: Obj) -> Obj:
    """The merge of an object; `live` is None where there is none yet."""
    if patch.get("$patch") == "delete":
        return {}
    if patch.get("$patch") == "replace":
        return _plain(patch)
    result: Obj = dict(live) if isinstance(live, dict) else {}
    if "$retainKeys" in patch:
        result = {key: value for key, value in result.items() if key in patch["$retainKeys"]}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.split("/", 1)[1]
            if field in result:
                result[field] = [one for one in result[field] if one not in value]
    for key, value in patch.items():
        if not key.startswith("$"):
            _merge_field(result, key, value)
    return result


def _merge_field(result: Obj, key: str, value: Any) -> None:
    if value is None:
        result.pop(key, None)
    elif isinstance(value, dict):
        merged = strategic(result.get(key), value)
        if value.get("$patch") == "delete":
            result.pop(key, None)
        else:
            result[key] = merged
    elif isinstance(value, list) and key in MERGE_KEYS:
        result[key] = _merge_items(result.get(key) or [], value, MERGE_KEYS[key])
    elif isinstance(value, list) and key in MERGED_PRIMITIVES:
        result[key] = (result.get(key) or []) + [one for one in value if one not in (result.get(key) or [])]
    else:
        result[key] = value


def _merge_items(live: list[Obj], patch: list[Obj], key: str) -> list[Obj]:
    if {"$patch": "replace"} in patch:
        return [_plain(one) for one in patch if "$patch" not in one]
    gone = [one[key] for one in patch if one.get("$patch") == "delete"]
    found = [one for one in live if one[key] not in gone]
    for item in patch:
        if item.get("$patch") == "delete":
            continue
        at = next((at for at, one in enumerate(found) if one[key] == item[key]), None)
        if at is None:
            found.append(strategic(None, item))
        else:
            found[at] = strategic(found[at], item)
    return found


def _plain(value: Obj) -> Obj:
    return {key: one for key, one in value.items() if not key.startswith("$") and one is not None}
