"""Faults on demand, for tests of clients: requests slowed or refused, reads of the past, a wrong clock, bad watches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from devplane.clock import Clock
from devplane.errors import ApiError

Obj = dict[str, Any]

BUSY = "the server has received too many requests and has asked us to try again later"


class FaultError(ValueError):
    """A rule that can not be meant; the message names the field, its value and what can."""


class Fault(StrEnum):
    LATENCY = "latency"
    REFUSE = "refuse"
    CUT_WATCH = "cut-watch"
    SILENCE_WATCH = "silence-watch"
    STALE_READ = "stale-read"
    CLOCK_SKEW = "clock-skew"
    FULL_DISK = "full-disk"


# The verbs that a fault is about; the others are about all.
VERBS: dict[Fault, tuple[str, ...]] = {
    Fault.CUT_WATCH: ("watch",),
    Fault.SILENCE_WATCH: ("watch",),
    Fault.STALE_READ: ("get", "list"),
    Fault.FULL_DISK: ("create", "update", "patch"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """What rules look at; `resource` as in ``jobs.batch``."""

    verb: str
    resource: str
    namespace: str
    name: str
    agent: str


@dataclass(frozen=True, slots=True)
class Rule:
    """Empty lists match everything; `times` None is for ever.

    `seconds` is a delay, what a 429 says to wait, how long reads are stale (0: as long as the rule is in force), or how
    far the clock is ahead.
    """

    fault: Fault
    verbs: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    percent: float = 100
    times: int | None = None
    seconds: float = 0
    code: int = 500

    def matches(self, request: Request) -> bool:
        return (
            request.verb in VERBS.get(self.fault, (request.verb,))
            and (not self.verbs or request.verb in self.verbs)
            and (not self.resources or request.resource in self.resources)
            and (not self.namespaces or request.namespace in self.namespaces)
            and (not self.agents or any(fnmatchcase(request.agent, one) for one in self.agents))
        )


@dataclass(slots=True)
class _Armed:
    """A rule in force since the store was at `revision`; `until` is a time of the event loop."""

    rule: Rule
    revision: int = 0
    until: float = float("inf")
    seen: int = 0
    struck: int = 0

    def strikes(self, request: Request) -> bool:
        """A share of the requests is spread evenly, so that the same requests meet the same faults."""
        if not self.rule.matches(request) or (self.rule.times is not None and self.struck >= self.rule.times):
            return False
        self.seen += 1
        hits = int(self.seen * self.rule.percent / 100) > int((self.seen - 1) * self.rule.percent / 100)
        self.struck += hits
        return hits


@dataclass(eq=False, slots=True)
class OpenWatch:
    """A watch that is served; `cut` ends its connection without a word."""

    request: Request
    cut: Callable[[], None]
    is_silent: bool = False


@dataclass(slots=True)
class Faults:
    """The rules in force. `clock` is the one to shift, `revision` tells where the store is."""

    clock: Clock
    revision: Callable[[], int]
    _armed: list[_Armed] = field(default_factory=list)
    _watches: set[OpenWatch] = field(default_factory=set)

    def replace(self, rules: Iterable[Rule]) -> None:
        """From now on, for open watches too. A watch that is silent stays silent."""
        self._armed = [self._arm(one) for one in rules]
        self.clock.skew_seconds = sum(one.rule.seconds for one in self._armed if one.rule.fault is Fault.CLOCK_SKEW)
        for watch in list(self._watches):
            self._disturb(watch)

    def _arm(self, one: Rule) -> _Armed:
        is_for_a_while = one.fault is Fault.STALE_READ and one.seconds
        until = asyncio.get_running_loop().time() + one.seconds if is_for_a_while else float("inf")
        return _Armed(one, self.revision(), until)

    def report(self) -> list[Obj]:
        """The rules in force and how often each struck."""
        return [{"fault": one.rule.fault.value, "seen": one.seen, "struck": one.struck} for one in self._armed]

    async def strike(self, request: Request) -> None:
        """Wait as long as the rules say; raises the refusal that they ask for."""
        for one in self._armed:
            if one.rule.fault is Fault.LATENCY and one.strikes(request):
                await asyncio.sleep(one.rule.seconds)
            elif one.rule.fault is Fault.REFUSE and one.strikes(request):
                raise refusal(one.rule, request)
            elif one.rule.fault is Fault.FULL_DISK and one.strikes(request):
                raise ApiError.no_space()

    def stale(self, request: Request) -> int | None:
        """The revision that a read is answered from, where it is not the newest."""
        now = asyncio.get_running_loop().time()
        for one in self._armed:
            if one.rule.fault is Fault.STALE_READ and now < one.until and one.strikes(request):
                return one.revision
        return None

    def opened(self, watch: OpenWatch) -> None:
        self._watches.add(watch)
        self._disturb(watch)

    def closed(self, watch: OpenWatch) -> None:
        self._watches.discard(watch)

    def _disturb(self, watch: OpenWatch) -> None:
        for one in self._armed:
            if one.rule.fault is Fault.CUT_WATCH and one.strikes(watch.request):
                asyncio.get_running_loop().call_later(one.rule.seconds, self._cut, watch)
            elif one.rule.fault is Fault.SILENCE_WATCH and one.strikes(watch.request):
                watch.is_silent = True

    def _cut(self, watch: OpenWatch) -> None:
        if watch in self._watches:
            watch.cut()


def refusal(found: Rule, request: Request) -> ApiError:
    """As the server itself would refuse."""
    match found.code:
        case 409:
            return ApiError.conflict(request.resource, request.name)
        case 429:
            return ApiError(429, "TooManyRequests", BUSY, {"retryAfterSeconds": max(round(found.seconds), 1)})
        case 503:
            return ApiError(503, "ServiceUnavailable", "the server is currently unable to handle the request")
        case _:
            return ApiError.internal("fault on demand")
