"""Rules as JSON says them. What a fault would not do is refused, so that no test waits for a fault that never comes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from devplane.faults.rules import VERBS, Fault, FaultError, Rule
from devplane.resources.builtin import builtin_resources
from devplane.resources.registry import STANDARD_VERBS

Obj = dict[str, Any]

DAY = 86400
MOST_SKEW = 10 * 365 * DAY
MOST_TIMES = 1_000_000_000
CODES = (409, 429, 500, 503)
WHICH = ("verbs", "resources", "namespaces", "agents", "percent", "times")
FIELDS = ("fault", *WHICH, "seconds", "code")
NEEDED: Mapping[Fault, Mapping[str, str]] = {
    Fault.LATENCY: {"seconds": "say how much later an answer comes"},
    Fault.REFUSE: {"code": f"say which of {', '.join(map(str, CODES))}"},
    Fault.CLOCK_SKEW: {"seconds": "say how far the clock is ahead, or, below 0, behind"},
}
# Beside those that it needs.
TAKEN: Mapping[Fault, tuple[str, ...]] = {
    Fault.LATENCY: WHICH,
    Fault.REFUSE: (*WHICH, "seconds"),
    Fault.CUT_WATCH: (*WHICH, "seconds"),
    Fault.SILENCE_WATCH: WHICH,
    Fault.STALE_READ: (*WHICH, "seconds"),
    Fault.CLOCK_SKEW: (),
    Fault.FULL_DISK: WHICH,
}


def rules(body: Obj) -> list[Rule]:
    """Those of the body of a PUT.

    Raises:
        FaultError: there is no list of them, or one can't be meant.
    """
    check_keys("", body, ("faults",))
    given = body.get("faults")
    if not isinstance(given, list):
        shown = f"{given!r} is not a list" if "faults" in body else "is missing"
        raise FaultError(f"faults: {shown}; give a list of rules, an empty one to end all faults")
    return [_rule(f"faults[{at}]", one) for at, one in enumerate(given)]


def check_keys(where: str, given: Obj, known: tuple[str, ...]) -> None:
    if unknown := sorted(given.keys() - set(known)):
        raise FaultError(f"{where}{unknown[0]}: unknown field; known are {', '.join(known)}")


def _rule(where: str, given: Any) -> Rule:
    if not isinstance(given, dict):
        raise FaultError(f'{where}: {given!r} is not an object; a rule is one as {{"fault": "refuse", "code": 500}}')
    at = f"{where}."
    check_keys(at, given, FIELDS)
    if given.get("fault") not in list(Fault):
        raise FaultError(f"{at}fault: {given.get('fault')!r} is not one of {', '.join(Fault)}")
    fault = Fault(given["fault"])
    _check_fields(at, fault, given)
    is_skew = fault is Fault.CLOCK_SKEW
    return Rule(
        fault,
        verbs=_verbs(at, fault, given),
        resources=_resources(at, given),
        namespaces=_texts(at, given, "namespaces"),
        agents=_texts(at, given, "agents"),
        percent=_number(at, given, "percent", 100, most=100),
        times=_whole(at, given, "times", least=1, most=MOST_TIMES) if given.get("times") is not None else None,
        seconds=_number(
            at, given, "seconds", 0, least=-MOST_SKEW if is_skew else 0, most=MOST_SKEW if is_skew else DAY
        ),
        code=_code(at, given) if fault is Fault.REFUSE else 500,
    )


def _check_fields(at: str, fault: Fault, given: Obj) -> None:
    """Each that the fault needs is there, and none that it makes nothing of."""
    needed = NEEDED.get(fault, {})
    for name, remedy in needed.items():
        if name not in given:
            raise FaultError(f"{at}{name}: {fault} needs it; {remedy}")
    taken = ("fault", *needed, *TAKEN[fault])
    if stray := sorted(given.keys() - set(taken)):
        why = " alone, since the clock is the same for all requests" if fault is Fault.CLOCK_SKEW else ""
        raise FaultError(f"{at}{stray[0]}: {fault} makes nothing of it; it takes {', '.join(taken[1:])}{why}")


def _verbs(at: str, fault: Fault, given: Obj) -> tuple[str, ...]:
    known = VERBS.get(fault, STANDARD_VERBS)
    found = _texts(at, given, "verbs")
    if stray := sorted(set(found) - set(known)):
        raise FaultError(f"{at}verbs: {stray[0]!r} is none of those that {fault} is about: {', '.join(known)}")
    return found


def _resources(at: str, given: Obj) -> tuple[str, ...]:
    """Those of other groups may be defined later."""
    found = _texts(at, given, "resources")
    for name in found:
        if name not in _builtin() and ("." not in name or name.partition(".")[2] in _groups()):
            meant = _meant(name)
            remedy = f"write {meant!r}" if meant else "write it as in pods, jobs.batch or widgets.example.com"
            raise FaultError(f"{at}resources: there is no resource {name!r}; {remedy}")
    return found


@cache
def _builtin() -> frozenset[str]:
    return frozenset(one.key for one in builtin_resources())


@cache
def _groups() -> frozenset[str]:
    return frozenset(one.group for one in builtin_resources())


def _meant(name: str) -> str:
    """The resource that people call so; empty where there is none."""
    asked = name.lower().partition("/")[0].partition(".")[0]
    calls = ((one.key, (one.plural, one.singular, *one.short_names)) for one in builtin_resources())
    return next((key for key, names in calls if asked in names), "")


def _texts(at: str, given: Obj, name: str) -> tuple[str, ...]:
    found = given.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, str) and one for one in found):
        raise FaultError(f"{at}{name}: {found!r} is not a list of names; leave it out to mean all")
    return tuple(found)


def _number(at: str, given: Obj, name: str, default: float, *, least: float = 0, most: float) -> float:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise FaultError(f"{at}{name}: {value!r} is not a number from {least:g} to {most:g}")
    return value


def _whole(at: str, given: Obj, name: str, *, least: int, most: int) -> int:
    value = given[name]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise FaultError(f"{at}{name}: {value!r} is not a whole number from {least} to {most}; leave it out for no end")
    return value


def _code(at: str, given: Obj) -> int:
    """With one that `seconds` say something of, if there are any."""
    code = given["code"]
    if isinstance(code, bool) or code not in CODES:
        raise FaultError(f"{at}code: {code!r} is not one of {', '.join(map(str, CODES))}")
    if code != 429 and "seconds" in given:
        raise FaultError(f"{at}seconds: a {code} says nothing of them; leave them out, or let code be 429")
    return int(code)
