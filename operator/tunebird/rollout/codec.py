"""Progress as JSON text for status.progress, and back: fields by their annotations, absent where they are the default.

A record that does not fit (written by another version) is no record: the rollout is rebuilt from what runs.
"""

from __future__ import annotations

import json
import types
import zlib
from base64 import b85decode, b85encode
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from tunebird.kube.conditions import instant
from tunebird.rollout.progress import Progress

VERSION = 1
PLAIN_LIMIT = 12_000  # longer records (many indicators, many pods) are packed: the field holds 32768 characters
PACKED = "zlib:"
_ELSEWHERE = frozenset({"history", "consumed"})  # these have their own place in the status


def encoded(progress: Progress) -> str:
    """Compact JSON; the same progress gives the same text."""
    record = {name: value for name, value in _plain(progress).items() if name not in _ELSEWHERE}
    text = json.dumps({"v": VERSION, **record}, sort_keys=True, separators=(",", ":"))
    return text if len(text) <= PLAIN_LIMIT else PACKED + b85encode(zlib.compress(text.encode(), 9)).decode()


def decoded(text: str) -> Progress | None:
    """The progress of a status; None if there is none that this version reads."""
    try:
        record = json.loads(_unpacked(text))
        return _built(Progress, record) if record.pop("v") == VERSION else None
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error):
        return None


def _unpacked(text: str) -> str:
    return zlib.decompress(b85decode(text.removeprefix(PACKED))).decode() if text.startswith(PACKED) else text


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value):
        items = ((item, getattr(value, item.name)) for item in fields(value))
        return {item.name: _plain(inner) for item, inner in items if inner != _default(item)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return round(value, 12) if isinstance(value, float) else value  # start times are large, shares of α small


def _default(item: Field[Any]) -> Any:
    return item.default_factory() if item.default_factory is not MISSING else item.default


def _built(kind: Any, value: Any) -> Any:
    """`value`, plain JSON, as the type `kind`."""
    if get_origin(kind) in (Union, types.UnionType):
        return None if value is None else _built(next(arg for arg in get_args(kind) if arg is not type(None)), value)
    if get_origin(kind) is tuple:
        return tuple(_built(get_args(kind)[0], item) for item in value)
    if isinstance(kind, type) and hasattr(kind, "_fields"):
        return kind(*value)
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return kind(**{name: _built(hints[name], inner) for name, inner in value.items()})
    if kind is datetime:
        return instant(value)
    return kind(value) if isinstance(kind, type) and issubclass(kind, Enum | float) else value
