"""What Kubernetes' own types are in protobuf, and the JSON that each stands for: times, quantities, raw JSON."""

from __future__ import annotations

import math
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from devplane.schemas.quantities import QUANTITY, is_quantity
from devplane.wire.protobuf_fields import BYTES, VARINT, MalformedError, double, fields, int32, int64, key, text

_FIRST, _SECOND, _THIRD = key(1, BYTES), key(2, VARINT), key(3, BYTES)


def base64(raw: bytes) -> str:
    return b64encode(raw).decode()


def number(raw: bytes) -> float:
    """A double; JSON has no word for those that are none."""
    found = double(raw)
    if not math.isfinite(found):
        raise MalformedError(f"json: unsupported value: {found}")
    return int(found) if found.is_integer() and abs(found) < _EXACT else found


_EXACT = 2**53


def time(raw: bytes) -> str | None:
    """A Time has whole seconds; an empty message is none."""
    found = _moment(raw)
    return None if found is None else f"{found[0]}Z"


def micro_time(raw: bytes) -> str | None:
    found = _moment(raw)
    return None if found is None else f"{found[0]}.{found[1]:06d}Z"


def _moment(raw: bytes) -> tuple[str, int] | None:
    """What a clock says in UTC, and microseconds."""
    if not raw:
        return None
    parts = dict(fields(raw))
    seconds, nanoseconds = int64(parts.get(key(1, VARINT), 0)), int32(parts.get(key(2, VARINT), 0))
    if seconds == _YEAR_1:
        return None
    try:
        moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanoseconds // 1000)
    except OverflowError:
        raise MalformedError("Time.MarshalJSON: year outside of range [0,9999]") from None
    return moment.isoformat()[:19], moment.microsecond


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_1 = -62_135_596_800


def quantity(raw: bytes) -> str:
    """An empty message is Go's zero quantity."""
    found = "0"
    for at, value in fields(raw):
        if at == _FIRST:
            found = text(value)
            if not is_quantity(found):
                raise MalformedError(f"quantities must match the regular expression '^{QUANTITY.pattern}$'")
    return found


def int_or_string(raw: bytes) -> int | str:
    parts = dict(fields(raw))
    kind = parts.get(key(1, VARINT), 0)
    if kind > 1:
        raise MalformedError("impossible IntOrString.Type")
    return text(parts.get(_THIRD, b"")) if kind else int32(parts.get(_SECOND, 0))


def raw_json(raw: bytes) -> Any:
    """The JSON in a message that wraps it (RawExtension, FieldsV1, JSON); none is null."""
    content = dict(fields(raw)).get(_FIRST, b"")
    try:
        return orjson.loads(content) if content else None
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"raw JSON: {error}") from None
