"""Paths to fields, as selectable fields and rules name them: ``.spec.size``, ``.map['a key']``. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from devplane.schemas.types import Obj

_TOKEN = re.compile(r"'(?:\\.|[^'\\])*'|[.\[\]]|[^.\[\]']+")


class FieldPathError(ValueError):
    """No path, or to no field; the message is why."""


def field_at(path: str, schema: Obj, *, allows_keys: bool = True) -> tuple[Sequence[str], Obj]:
    """The names on the way and the schema that a path leads to."""
    tokens = _TOKEN.findall(path)
    names: list[str] = []
    while tokens:
        match tokens.pop(0):
            case "[":
                names.append(_key(tokens, allows_keys=allows_keys))
            case ".":
                names.append(_next(tokens))
            case other:
                raise FieldPathError(f"expected [ or . but got: {other}")
        schema = _below(schema, names[-1])
    return names, schema


def _next(tokens: list[str]) -> str:
    if not tokens:
        raise FieldPathError("unexpected end of JSON path")
    return tokens.pop(0)


def _key(tokens: list[str], *, allows_keys: bool) -> str:
    if not allows_keys:
        raise FieldPathError("array notation is not allowed")
    quoted = _next(tokens)
    if len(quoted) < 2 or quoted[0] != "'" or quoted[-1] != "'":
        raise FieldPathError(f"expected single quoted string but got {quoted}")
    if (closing := _next(tokens)) != "]":
        raise FieldPathError(f"expected ] but got {closing}")
    return re.sub(r"\\(.)", r"\1", quoted[1:-1])


def _below(schema: Obj, name: str) -> Obj:
    properties, extra = schema.get("properties"), schema.get("additionalProperties")
    found = (properties or {}).get(name) if properties else extra
    if not isinstance(found, dict):
        raise FieldPathError("does not refer to a valid field")
    return found
