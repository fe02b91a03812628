"""JSON objects as clients write them in protobuf. The wire format is written anew, the field numbers are shared."""

from __future__ import annotations

import json
from base64 import b64decode
from calendar import timegm
from time import strptime
from typing import Any

from hypothesis import strategies as st

from devplane.wire.protobuf_tables import Field, messages

Obj = dict[str, Any]


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


def encoded(obj: Obj) -> bytes:
    """Empty where the tables don't know the kind, or not all that the object has."""
    if obj["kind"] not in messages():
        return b""
    content = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}
    try:
        return envelope(obj["apiVersion"], obj["kind"], _message(obj["kind"], content))
    except UnknownError:
        return b""


def _message(kind: str, content: Obj) -> bytes:
    numbers = {field.name: (number, field) for number, field in messages()[kind].items()}
    found = b""
    for name, value in content.items():
        if name not in numbers:
            raise UnknownError(name)
        number, field = numbers[name]
        if value is not None:
            found += b"".join(_one(number, field, one) for one in _each(field, value))
    return found


def _each(field: Field, value: Any) -> list[Any]:
    if field.shape == "{}":
        return [{"key": key, "value": one} for key, one in value.items()]
    return list(value) if field.shape == "[]" else [value]


def _one(number: int, field: Field, value: Any) -> bytes:
    if field.shape == "{}":
        key = block(1, value["key"].encode())
        return block(number, key + _value(2, field.type, value["value"]))
    return _value(number, field.type, value)


def _value(number: int, kind: str, value: Any) -> bytes:
    match kind:
        case "s":
            return block(number, value.encode())
        case "i" | "b":
            return count(number, int(value))
        case "y":
            return block(number, b64decode(value))
        case "t" | "m":
            return block(number, count(1, timegm(strptime(value[:19], "%Y-%m-%dT%H:%M:%S"))))
        case "q":
            return block(number, block(1, value.encode()))
        case "x":
            inner = count(1, 1) + block(3, value.encode()) if isinstance(value, str) else count(2, value)
            return block(number, inner)
        case "r":
            return block(number, block(1, json.dumps(value).encode()))
        case _:
            return block(number, _message(kind, value))


_number = st.integers(1, 30)
_leaf = st.builds(count, _number, st.integers(0, 2**64 - 1)) | st.builds(block, _number, st.binary(max_size=12))
rubbish = st.recursive(
    st.lists(_leaf, max_size=4).map(b"".join),
    lambda inner: st.lists(st.builds(block, _number, inner), max_size=3).map(b"".join),
    max_leaves=8,
)
"""Well-formed protobuf that means nothing."""
