"""Durations and ages as kubectl shows them. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

Obj = dict[str, Any]

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400


def human(duration: timedelta) -> str:
    """``45s``, ``3m12s``, ``5h``, ``2d4h``: two units while they tell something."""
    seconds = int(duration.total_seconds())
    if seconds < -1:
        return "<invalid>"
    seconds = max(0, seconds)
    if seconds < 2 * _MINUTE:
        return f"{seconds}s"
    for limit, unit, size, smaller, lesser in _STEPS:
        if seconds < limit:
            return _two(seconds, (unit, size), (smaller, lesser))
    return f"{seconds // _YEAR}y"


# below this limit: unit, its seconds, and the smaller unit shown beside it ("" for none)
_STEPS = (
    (10 * _MINUTE, "m", _MINUTE, "s", 1),
    (3 * _HOUR, "m", _MINUTE, "", 1),
    (8 * _HOUR, "h", _HOUR, "m", _MINUTE),
    (48 * _HOUR, "h", _HOUR, "", 1),
    (8 * _DAY, "d", _DAY, "h", _HOUR),
    (2 * _YEAR, "d", _DAY, "", 1),
    (8 * _YEAR, "y", _YEAR, "d", _DAY),
)


def _two(seconds: int, large: tuple[str, int], small: tuple[str, int]) -> str:
    whole, rest = divmod(seconds, large[1])
    part = rest // small[1] if small[0] else 0
    return f"{whole}{large[0]}{part}{small[0]}" if part else f"{whole}{large[0]}"


def since(moment: str | None, now: datetime) -> str:
    """How long ago a time is."""
    return human(now - datetime.fromisoformat(moment)) if moment else "<unknown>"


def age(obj: Obj, now: datetime) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)
