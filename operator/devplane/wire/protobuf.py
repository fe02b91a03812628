"""Request bodies in protobuf, which newer kubectl and Helm send for some kinds with no way back to JSON."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from devplane.errors import ApiError
from devplane.wire.protobuf_tables import INLINE, Field, messages

Obj = dict[str, Any]
Value = int | bytes

MAGIC = b"k8s\x00"
_ADVICE = "send JSON instead, e.g. `kubectl create … --dry-run=client -o yaml | kubectl apply -f -`"


class MalformedError(ValueError):
    """Bytes that are not what the protobuf wire format allows."""


def decode(body: bytes) -> Obj:
    """The JSON object of a Kubernetes protobuf envelope."""
    if not body.startswith(MAGIC):
        raise ApiError.bad_request("the body does not begin with the protobuf magic number k8s\\x00")
    try:
        envelope = {number: value for number, value in _fields(body[len(MAGIC) :]) if isinstance(value, bytes)}
        type_meta = {number: _text(value) for number, value in _fields(envelope.get(1, b""))}
        kind = type_meta.get(2, "")
        if kind not in messages():
            raise _unsupported(f"devplane does not read {kind} as protobuf")
        return {"apiVersion": type_meta.get(1, ""), "kind": kind, **_message(kind, envelope.get(2, b""))}
    except MalformedError as error:
        raise ApiError.bad_request(f"the protobuf body is malformed: {error}") from None


def _unsupported(why: str) -> ApiError:
    return ApiError(415, "UnsupportedMediaType", f"{why}; {_ADVICE}")


def _fields(raw: bytes) -> Iterator[tuple[int, Value]]:
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        match key & 7:
            case 0:
                value, at = _varint(raw, at)
                yield key >> 3, value
            case 1 | 5 as wire:
                width = 8 if wire == 1 else 4
                if at + width > len(raw):
                    raise MalformedError(f"a number of {width} bytes ends after the body")
                yield key >> 3, raw[at : at + width]
                at += width
            case 2:
                length, at = _varint(raw, at)
                if at + length > len(raw):
                    raise MalformedError(f"a field of {length} bytes ends after the body")
                yield key >> 3, raw[at : at + length]
                at += length
            case wire:
                raise MalformedError(f"wire type {wire}")


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(raw) and shift < 70:
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value, at
    raise MalformedError("a number does not end")


def _message(kind: str, raw: bytes) -> Obj:
    declared = messages()[kind]
    found: Obj = {}
    for number, value in _fields(raw):
        field = declared.get(number)
        if field is None:
            if value not in (b"", 0) and number != _STATUS.get(kind):
                raise _unsupported(f"devplane does not read field {number} of {kind} as protobuf")
            continue
        _put(found, field, value)
    return found


# Status comes along empty, or holds what a client may not write.
_STATUS = {"SelfSubjectReview": 2, "PodTemplateSpec": -1, **dict.fromkeys(
    ("Pod", "Deployment", "Job", "CronJob", "Service", "PodDisruptionBudget", "ResourceQuota",
     "Ingress", "HorizontalPodAutoscaler", "SelfSubjectAccessReview", "SubjectAccessReview",
     "LocalSubjectAccessReview", "SelfSubjectRulesReview", "TokenReview", "TokenRequest"), 3)}  # fmt: skip


def _put(found: Obj, field: Field, value: Value) -> None:
    match field.shape:
        case "[]":
            found.setdefault(field.name, []).append(_value(field.type, value))
        case "{}":
            entry = dict(_fields(_bytes(value)))
            found.setdefault(field.name, {})[_text(entry.get(1, b""))] = _value(field.type, entry.get(2, b""))
        case _:
            read = _value(field.type, value)
            if field.name == INLINE:
                found.update(read)
            elif read or field.has_zero:
                found[field.name] = read


def _value(kind: str, value: Value) -> Any:
    match kind:
        case "s":
            return _text(value)
        case "i":
            return _integer(value)
        case "b":
            return bool(value)
        case "y":
            return b64encode(_bytes(value)).decode()
        case "t":
            return _time(_bytes(value))
        case "m":
            return _time(_bytes(value), is_micro=True)
        case "q":
            return _text(dict(_fields(_bytes(value))).get(1, b""))
        case "x":
            return _int_or_string(_bytes(value))
        case "r":
            return _raw_json(_bytes(dict(_fields(_bytes(value))).get(1, b"{}")))
        case _:
            return _message(kind, _bytes(value))


def _bytes(value: Value) -> bytes:
    if isinstance(value, bytes):
        return value
    raise MalformedError(f"a number ({value}) where bytes belong")


def _text(value: Value) -> str:
    return _bytes(value).decode(errors="replace")


def _integer(value: Value) -> int:
    if isinstance(value, bytes):
        raise MalformedError("bytes where a number belongs")
    return value - (1 << 64) if value >= 1 << 63 else value


def _time(raw: bytes, *, is_micro: bool = False) -> str | None:
    parts = dict(_fields(raw))
    seconds = _integer(parts.get(1, 0))
    if not parts or seconds <= 0:
        return None
    if seconds > _LAST_SECOND:
        raise MalformedError(f"a time after the year 9999 ({seconds})")
    moment = datetime.fromtimestamp(seconds, UTC)
    if (nanoseconds := _integer(parts.get(2, 0)) % 10**9) or is_micro:
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds // 1000:06d}Z"
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


_LAST_SECOND = 253_402_300_799


def _raw_json(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise MalformedError("a raw value that is not JSON") from None


def _int_or_string(raw: bytes) -> int | str:
    parts = dict(_fields(raw))
    return _text(parts.get(3, b"")) if parts.get(1) else _integer(parts.get(2, 0))
