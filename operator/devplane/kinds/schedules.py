"""The schedules of CronJobs, five fields or a name, and what is wrong with one in the words of its parser. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from zoneinfo import available_timezones

from devplane.errors import Cause

_NAMED = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}), (0, 23, {}), (1, 31, {}),
    (1, 12, {name: at for at, name in enumerate(_MONTHS, 1)}), (0, 6, {name: at for at, name in enumerate(_DAYS)}),
)  # fmt: skip
_ZONE = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"


def schedule(text: str, path: str) -> Iterator[Cause]:
    if not text:
        yield Cause.required(path)
    elif "TZ" in text:
        yield Cause.invalid(path, text, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
    elif problem := _problem(text):
        yield Cause.invalid(path, text, problem)


def time_zone(name: str | None, path: str) -> Iterator[Cause]:
    if name is None:
        return
    if not name:
        yield Cause.invalid(path, name, "timeZone must be nil or non-empty string")
        return
    if name.lower() == "local":
        yield Cause.invalid(path, name, _ZONE)
    if name not in available_timezones():
        yield Cause.invalid(path, name, f"unknown time zone {name}")


def _problem(text: str) -> str:
    if text.startswith("@"):
        known = text in _NAMED or re.fullmatch(r"@every ([0-9.]+(ns|us|ms|s|m|h))+", text)
        return "" if known else f"unrecognized descriptor: {text}"
    fields = text.split()
    if len(fields) != 5:
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    parts = ((part, bounds) for field, bounds in zip(fields, _FIELDS, strict=True) for part in field.split(","))
    return next((problem for part, bounds in parts if (problem := _part(part, bounds))), "")


def _part(text: str, bounds: tuple[int, int, dict[str, int]]) -> str:
    """What is wrong with one range: ``*``, ``5``, ``1-5``, each with ``/2`` at most once."""
    low, high, names = bounds
    span, *steps = text.split("/")
    if len(steps) > 1:
        return f"too many slashes: {text}"
    first, *last = span.split("-")
    if len(last) > 1:
        return f"too many hyphens: {text}"
    if first in ("*", "?"):
        start, end = low, high
    else:
        numbers = [names.get(one.lower(), one) for one in (first, *last)]
        if bad := [one for one in numbers if not str(one).isdigit()]:
            return f'failed to parse int from {bad[0]}: strconv.Atoi: parsing "{bad[0]}": invalid syntax'
        start, end = int(numbers[0]), int(numbers[-1])
    if steps and not steps[0].isdigit():
        return f'failed to parse int from {steps[0]}: strconv.Atoi: parsing "{steps[0]}": invalid syntax'
    return _bounds(text, start, end if last or not steps else high, (low, high, int(steps[0]) if steps else 1))


def _bounds(text: str, start: int, end: int, limits: tuple[int, int, int]) -> str:
    low, high, step = limits
    if start < low:
        return f"beginning of range ({start}) below minimum ({low}): {text}"
    if end > high:
        return f"end of range ({end}) above maximum ({high}): {text}"
    if start > end:
        return f"beginning of range ({start}) beyond end of range ({end}): {text}"
    return f"step of range should be a positive number: {text}" if step == 0 else ""
