"""What a value breaks of its schema, in the API server's words. Slow and exact: asked only of invalid objects. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from devplane.errors import Cause, go_value
from devplane.schemas.formats import is_format
from devplane.schemas.structure import ABSENT, Node, below, build, children, correlated
from devplane.schemas.types import Obj


def violations(value: Any, node: Node, path: str, old: Any = ABSENT) -> Iterator[Cause]:
    """Causes in `value` and below. What is as it was before (`old`) is left alone, as ratcheting has it."""
    if old is not ABSENT and value == old:
        return
    if value is None and (node.is_nullable or not node.kind):
        return
    if wrong := _wrong_type(value, node):
        text = f'{path} in body must be of type {wrong}: "{json_kind(value)}"'
        yield Cause("FieldValueTypeInvalid", f'Invalid value: "{json_kind(value)}": {text}', path)
        yield from _enumerated(value, node.schema, path)
        yield from _ranged(value, node.schema, path)
        return
    yield from _own(value, node.schema, path)
    yield from _combined(value, node.schema, path)
    for step, one, child in children(value, node):
        yield from violations(one, child, below(path, step), correlated(old, value, step, node))


def is_valid(value: Any, schema: Obj) -> bool:
    """Whether a value satisfies a schema of `allOf`, `anyOf`, `oneOf` or `not`."""
    return next(violations(value, build(schema), ""), None) is None


def json_kind(value: Any) -> str:
    """The JSON type of a value, as messages name it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if -(2**63) <= value < 2**63 else "number"
    if isinstance(value, float):
        return "integer" if value.is_integer() and abs(value) < 2**63 else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _wrong_type(value: Any, node: Node) -> str:
    """The types that were wanted, if the value is of another."""
    kind = json_kind(value)
    if node.kind == "int-or-string":
        return "" if kind in ("integer", "string") else "integer,string"
    if not node.kind or kind == node.kind or (node.kind == "number" and kind == "integer"):
        return ""
    return node.kind


def _enumerated(value: Any, schema: Obj, path: str) -> Iterator[Cause]:
    if schema.get("enum") and value not in schema["enum"]:
        shown = [one if isinstance(one, str) else go_value(one) for one in schema["enum"]]
        yield Cause.unsupported(path, value, shown)


def _ranged(value: Any, schema: Obj, path: str) -> Iterator[Cause]:
    """A number that the format can't hold; this error carries no path of its own."""
    kind, layout = schema.get("type"), schema.get("format") or ""
    if isinstance(value, bool) or not isinstance(value, int | float) or kind not in ("integer", "number"):
        return
    limit = _LIMITS.get(layout)
    if limit is not None and abs(value) > limit + (value < 0 and kind == "integer"):
        shown = f"with format {layout}"
    elif kind == "integer" and json_kind(value) == "number":
        shown = "(default format)"
    else:
        return
    yield Cause(
        "FieldValueInvalid", f'Invalid value: "": Checked value must be of type {kind} {shown} in {path}', "<nil>"
    )


_LIMITS = {"int32": 2**31 - 1, "int64": 2**63 - 1, "float": 3.4028234663852886e38}


def _own(value: Any, schema: Obj, path: str) -> Iterator[Cause]:
    yield from _enumerated(value, schema, path)
    if isinstance(value, str):
        yield from _text(value, schema, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(value, schema, path)
    elif isinstance(value, list):
        yield from _list(value, schema, path)
    elif isinstance(value, dict):
        yield from _object(value, schema, path)


def _invalid(value: Any, path: str, words: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {_shown(value)}: {path} in body {words}", path)


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return json_kind(value).join('""')
    return go_value(value)


def _text(value: str, schema: Obj, path: str) -> Iterator[Cause]:
    limit = schema.get("maxLength")
    if limit is not None and len(value) > limit:
        yield Cause("FieldValueTooLong", f"Too long: may not be more than {limit} bytes", path)
    if len(value) < schema.get("minLength", 0):
        yield _invalid(value, path, f"should be at least {schema['minLength']} chars long")
    pattern = schema.get("pattern")
    if pattern and not expression(pattern).search(value):
        yield _invalid(value, path, f"should match '{pattern}'")
    layout = schema.get("format")
    if layout and not is_format(value, layout):
        text = f"Invalid value: {go_value(value)}: {path} in body must be of type {layout}: {go_value(value)}"
        yield Cause("FieldValueTypeInvalid", text, path)


def _number(value: float, schema: Obj, path: str) -> Iterator[Cause]:
    yield from _ranged(value, schema, path)
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if low is not None and (value < low or (value == low and schema.get("exclusiveMinimum"))):
        words = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        yield _invalid(value, path, f"should be {words} {low}")
    if high is not None and (value > high or (value == high and schema.get("exclusiveMaximum"))):
        words = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        yield _invalid(value, path, f"should be {words} {high}")
    if step and not (value / step).is_integer():
        yield _invalid(value, path, f"should be a multiple of {step}")


def _items(limit: int) -> str:
    return f"{limit} item{'s' * (limit != 1)}"


def _list(value: list[Any], schema: Obj, path: str) -> Iterator[Cause]:
    limit = schema.get("maxItems")
    if limit is not None and len(value) > limit:
        yield Cause("FieldValueTooMany", f"Too many: {len(value)}: must have at most {_items(limit)}", path)
    if len(value) < schema.get("minItems", 0):
        yield _invalid(len(value), path, f"should have at least {schema['minItems']} items")


def _object(value: Obj, schema: Obj, path: str) -> Iterator[Cause]:
    for name in schema.get("required") or ():
        if value.get(name) is None and not (name in value and _allows_null(schema, name)):
            yield Cause.required(below(path, name))
    limit = schema.get("maxProperties")
    if limit is not None and len(value) > limit:
        yield Cause("FieldValueTooMany", f"Too many: {len(value)}: must have at most {_items(limit)}", path)
    if len(value) < schema.get("minProperties", 0):
        yield _invalid(len(value), path, f"should have at least {schema['minProperties']} properties")


def _allows_null(schema: Obj, name: str) -> bool:
    return bool((schema.get("properties") or {}).get(name, {}).get("nullable"))


def _combined(value: Any, schema: Obj, path: str) -> Iterator[Cause]:
    """allOf, anyOf, oneOf, not: these errors carry no path of their own, which messages show as <nil>."""
    words, best = "", list[Cause]()
    every = [one for one in schema.get("allOf") or () if not is_valid(value, one)]
    if every:
        none = ". None validated" if len(every) == len(schema["allOf"]) else ""
        words = f'"{path}" must validate all the schemas (allOf){none}'
    if schema.get("anyOf") and not any(is_valid(value, one) for one in schema["anyOf"]):
        words = f'"{path}" must validate at least one schema (anyOf)'
        best = list(violations(value, build(schema["anyOf"][0]), path))
    if schema.get("oneOf"):
        fitting = sum(is_valid(value, one) for one in schema["oneOf"])
        found = "Found none valid" if fitting == 0 else f"Found {fitting} valid alternatives"
        best = best if fitting else list(violations(value, build(schema["oneOf"][0]), path))
        words = words if fitting == 1 else f'"{path}" must validate one and only one schema (oneOf). {found}'
    if schema.get("not") and is_valid(value, schema["not"]):
        words = f'"{path}" must not validate the schema (not)'
    if words:
        for one in every:
            yield from violations(value, build(one), path)
        yield Cause("FieldValueInvalid", f'Invalid value: "": {words}', "<nil>")
        yield from best


@cache
def expression(pattern: str) -> re.Pattern[str]:
    """A Go regular expression as Python's: `$` and `\\z` mean the very end, classes are ASCII."""
    ends = re.sub(r"\\z", r"\\Z", pattern)
    strict = re.sub(r"(\\.|\[(?:\\.|[^\]\\])+\])|\$", lambda found: found[1] or r"\Z", ends)
    return re.compile(strict, re.ASCII)
