"""The wire format of protobuf: which fields a message has, and what a field's bytes mean. Nothing of Kubernetes' kinds.

A field is found by its key, number << 3 | wire type; `key` makes it. Errors are in the words of Kubernetes' decoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import unpack
from typing import Any

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_GROUP, _END_OF_GROUP = 3, 4
_WIDTHS = {FIXED64: 8, FIXED32: 4}


class MalformedError(ValueError):
    """Bytes that are not what the format allows, or not what the field holds."""


def key(number: int, wire: int) -> int:
    return number << 3 | wire


def fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Key and value of each field: an integer for `VARINT`, bytes for everything else. Groups are skipped.

    Most numbers are one byte, which is not worth a call.
    """
    at, end = 0, len(raw)
    while at < end:
        found, at = (raw[at], at + 1) if raw[at] < 0x80 else varint(raw, at)
        wire = found & 7
        if wire == BYTES:
            length, at = (raw[at], at + 1) if at < end and raw[at] < 0x80 else varint(raw, at)
            start, at = at, at + length
            if at > end:
                raise MalformedError("unexpected EOF")
            yield found, raw[start:at]
        elif wire == VARINT:
            value, at = (raw[at], at + 1) if at < end and raw[at] < 0x80 else varint(raw, at)
            yield found, value
        else:
            start, at = at, _behind(raw, at, found)
            yield found, raw[start:at]


def varint(raw: bytes, at: int) -> tuple[int, int]:
    """An unsigned number of up to 64 bits, and where the next one begins."""
    value = shift = 0
    while at < len(raw):
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _UNSIGNED, at
        shift += 7
        if shift >= 64:
            raise MalformedError("proto: integer overflow")
    raise MalformedError("unexpected EOF")


_UNSIGNED = (1 << 64) - 1


def _behind(raw: bytes, at: int, found: int) -> int:
    """Where a field ends that has a fixed width or is a group."""
    wire = found & 7
    if wire == _END_OF_GROUP:
        raise MalformedError("proto: wiretype end group for non-group")
    if wire == _GROUP:
        return _behind_group(raw, at)
    if wire not in _WIDTHS:
        raise MalformedError(f"proto: illegal wireType {wire}")
    if at + _WIDTHS[wire] > len(raw):
        raise MalformedError("unexpected EOF")
    return at + _WIDTHS[wire]


def _behind_group(raw: bytes, at: int) -> int:
    depth = 1
    while depth:
        found, at = varint(raw, at)
        match found & 7:
            case 0:
                _, at = varint(raw, at)
            case 2:
                length, at = varint(raw, at)
                at += length
            case 3:
                depth += 1
            case 4:
                depth -= 1
            case _:
                at = _behind(raw, at, found)
    return at


def text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def int64(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def int32(value: int) -> int:
    """The low 32 bits, as Go's decoder keeps them."""
    low = value & 0xFFFFFFFF
    return low - (1 << 32) if low >= 1 << 31 else low


def double(raw: bytes) -> float:
    found: float = unpack("<d", raw)[0]
    return found


def numbers(raw: bytes) -> Iterator[int]:
    """Packed varints."""
    at = 0
    while at < len(raw):
        value, at = varint(raw, at)
        yield value
