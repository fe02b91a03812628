"""JSON objects as clients write them in protobuf. The format is written anew; numbers and schemas are devplane's."""

from __future__ import annotations

import json
from base64 import b64decode
from calendar import timegm
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import groupby
from struct import pack
from typing import Any

from hypothesis import strategies as st

from devplane.schemas.definitions import definition_types, names
from devplane.wire.protobuf_messages import definitions, fields_of

Obj = dict[str, Any]
Part = tuple[tuple[int, ...], bytes]

WRAPPED = ("RawExtension", "FieldsV1", "JSON")
PROPS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"


class UnknownError(Exception):
    """A field that the tables don't name."""


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def block(number: int, raw: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def count(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    meta = block(1, api_version.encode()) + block(2, kind.encode())
    return b"k8s\0" + block(1, meta) + block(2, raw)


def content(api_version: str, kind: str, obj: Obj) -> bytes:
    """The message of a kind, without the envelope."""
    return message(names()[api_version, kind], obj)


def encoded(obj: Obj) -> bytes:
    """Empty where the kind is none of the tables, or the object has what the tables don't know."""
    definition = names().get((obj["apiVersion"], obj["kind"]), "")
    if definition not in definitions():
        return b""
    content = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}
    try:
        return envelope(obj["apiVersion"], obj["kind"], message(definition, content))
    except UnknownError:
        return b""


def message(definition: str, content: Obj) -> bytes:
    """The fields that are there."""
    return _joined(list(_parts(definition, content)))


def _parts(definition: str, content: Obj) -> Iterator[Part]:
    declared = {one.name: one for one in fields_of(definition)}
    properties = definition_types(definition).get("properties", {})
    for name, value in content.items():
        if name not in declared:
            raise UnknownError(name)
        if value is not None:
            path = declared[name].path
            yield path, _field(path[-1], properties[name], value)


def _joined(parts: list[Part]) -> bytes:
    """The parts in their numbers' order, those of an inlined message within it."""
    found = b""
    for number, group in groupby(sorted(parts, key=lambda one: one[0]), lambda one: one[0][0]):
        same = list(group)
        inner = [(path[1:], raw) for path, raw in same if len(path) > 1]
        found += b"".join(raw for path, raw in same if len(path) == 1)
        found += block(number, _joined(inner)) if inner else b""
    return found


def _field(number: int, schema: Obj, value: Any) -> bytes:
    if schema.get("type") == "array":
        return b"".join(_value(number, schema["items"], one) for one in value)
    if "additionalProperties" in schema:
        entries = ((key, schema["additionalProperties"], one) for key, one in value.items())
        return b"".join(block(number, block(1, key.encode()) + _entry(inner, one)) for key, inner, one in entries)
    return _value(number, schema, value)


def _entry(schema: Obj, value: Any) -> bytes:
    if schema.get("type") == "array":
        return block(2, _field(1, schema, value))
    return _value(2, schema, value)


def _value(number: int, schema: Obj, value: Any) -> bytes:
    reference = schema.get("$ref", "")
    if reference in definitions():
        return block(number, message(reference, value))
    if reference.rpartition(".")[2] in WRAPPED:
        return block(number, block(1, json.dumps(value).encode()))
    if reference.startswith(f"{PROPS}Or"):
        return block(number, _schema_or(reference.removeprefix(f"{PROPS}Or"), value))
    return _scalar(number, definition_types(reference) if reference else schema, value)


def _schema_or(other: str, value: Any) -> bytes:
    match other, value:
        case "Bool", dict():
            return count(1, 1) + block(2, message(PROPS, value))
        case "Bool", _:
            return count(1, int(value))
        case _, dict():
            return block(1, message(PROPS, value))
        case "Array", _:
            return b"".join(block(2, message(PROPS, one)) for one in value)
        case _:
            return b"".join(block(2, one.encode()) for one in value)


def _scalar(number: int, schema: Obj, value: Any) -> bytes:
    if schema.get("x-kubernetes-int-or-string"):
        is_text = isinstance(value, str)
        return block(number, count(1, 1) + count(2, 0) + block(3, value.encode()) if is_text else _int(value))
    match schema["type"]:
        case "integer" | "boolean":
            return count(number, int(value))
        case "number":
            return varint(number << 3 | 1) + pack("<d", value)
        case _:
            return block(number, _TEXTS.get(schema.get("format", ""), str.encode)(value))


def _int(value: int) -> bytes:
    return count(1, 0) + count(2, value) + block(3, b"")


def _time(value: str) -> bytes:
    moment = datetime.fromisoformat(value)
    return count(1, timegm(moment.utctimetuple())) + count(2, moment.microsecond * 1000)


def _quantity(value: str) -> bytes:
    return block(1, value.encode())


_TEXTS: dict[str, Callable[[str], bytes]] = {
    "byte": b64decode, "date-time": _time, "date-time-micro": _time, "quantity": _quantity,
}  # fmt: skip

_number = st.integers(1, 50)
_leaf = st.builds(count, _number, st.integers(0, 2**64 - 1)) | st.builds(block, _number, st.binary(max_size=12))
rubbish = st.recursive(
    st.lists(_leaf, max_size=4).map(b"".join),
    lambda inner: st.lists(st.builds(block, _number, inner), max_size=3).map(b"".join),
    max_leaves=8,
)
"""Well-formed protobuf that means nothing."""
