"""One loop per object: observe, decide, act, then sleep until a wake-up, the requeue or the resync. Level-triggered."""

from __future__ import annotations

import asyncio
import logging
import random
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from tunebird.kube.errors import Conflict, Rejected, Unavailable
from tunebird.kube.meta import Key
from tunebird.kube.requeue import Requeue
from tunebird.runtime.health import Heartbeat
from tunebird.runtime.telemetry import Outcome, Telemetry

log = logging.getLogger(__name__)


class Reconciler(Protocol):
    """A pass over one object. May raise `Unavailable`, `Conflict` and `Rejected`; anything else is a bug."""

    async def reconcile(self, key: Key) -> Requeue: ...


class Stop(Protocol):
    """When a loop has to end; kopf's `stopped` is one."""

    def is_set(self) -> bool: ...

    def wait(self) -> Awaitable[object]: ...


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """Seconds, but for counts. A failed pass waits `backoff`, doubled each time, with jitter, up to its limit."""

    resync: float = 60.0
    backoff: float = 1.0
    unavailable_limit: float = 15.0
    bug_limit: float = 300.0
    pass_limit: float = 120.0
    at_once: int = 30  # passes in a row that may ask for another one at once


@dataclass(frozen=True, slots=True)
class Pause:
    """How long a loop sleeps; before `least` seconds are over no wake-up ends it."""

    seconds: float
    least: float = 0.0


@dataclass(frozen=True, slots=True)
class Shared:
    """What all loops of an operator have in common. `passes` bounds how many run at the same time."""

    telemetry: Telemetry
    heartbeat: Heartbeat
    passes: asyncio.Semaphore
    settings: LoopSettings
    jitter: Callable[[], float] = random.random


class Loop:
    """The loop of one object. `wake` may be called at any time, from the same thread."""

    def __init__(self, kind: str, key: Key, reconciler: Reconciler, shared: Shared) -> None:
        self._kind = kind
        self._key = key
        self._reconciler = reconciler
        self._shared = shared
        self._woken = asyncio.Event()
        self._woken_at: float | None = None
        self._failures = 0
        self._in_a_row = 0
        self._last_bug = ""

    def wake(self) -> None:
        """Something may have changed: any number of wake-ups before a pass begins are one pass."""
        if self._woken_at is None:
            self._woken_at = _now()
        self._woken.set()

    async def run(self, stop: Stop) -> None:
        """Work until `stop`; a pass under way is finished first."""
        stopping = asyncio.ensure_future(stop.wait())
        stopping.add_done_callback(lambda _: self._woken.set())
        self.wake()
        try:
            while not stop.is_set():
                self._woken.clear()  # before observing, so that a change during the pass is not lost
                await self._sleep(await self._turn(stop), stopping)
        finally:
            stopping.cancel()

    async def _turn(self, stop: Stop) -> Pause:
        with self._shared.telemetry.queued.track_inprogress():
            await self._shared.passes.acquire()
        try:
            if stop.is_set():  # while it waited for its turn
                return Pause(0.0)
            with self._measured():
                pause = await self._pass()
        finally:
            self._shared.passes.release()
        self._shared.heartbeat.beat(self._key.uid)
        return pause

    async def _pass(self) -> Pause:
        try:
            async with asyncio.timeout(self._shared.settings.pass_limit):
                requeue = await self._reconciler.reconcile(self._key)
        except Conflict as conflict:
            return self._on_conflict(conflict)
        except Unavailable as error:
            return self._on_unavailable(error)
        except Rejected as error:
            return self._on_rejected(error)
        except Exception as error:  # noqa: BLE001  the loop's top: a bug in one pass must not end the loop
            return self._on_bug(error)
        self._failures = 0
        self._last_bug = ""
        self._count(Outcome.DONE)
        return self._after(requeue)

    def _after(self, requeue: Requeue) -> Pause:
        resync = self._shared.settings.resync * (1 + self._shared.jitter()) / 2  # loops of one start drift apart
        wanted = resync if requeue.seconds is None else requeue.seconds
        if wanted > 0:
            self._in_a_row = 0
            return Pause(min(wanted, resync))
        return self._at_once("the pass asks for another one at once")

    def _at_once(self, why: str) -> Pause:
        self._in_a_row += 1
        if self._in_a_row <= self._shared.settings.at_once:
            return Pause(0.0)
        log.warning("Slowed down a busy loop", extra=self._names(why=why, passes=self._in_a_row))
        return self._backed_off(self._shared.settings.unavailable_limit)

    def _on_conflict(self, conflict: Conflict) -> Pause:
        self._count(Outcome.CONFLICT)
        return self._at_once(str(conflict))

    def _on_unavailable(self, error: Unavailable) -> Pause:
        self._count(Outcome.UNAVAILABLE)
        if self._failures == 0:
            log.warning("Could not finish a pass", extra=self._names(error=error))
        pause = self._backed_off(self._shared.settings.unavailable_limit)
        asked = error.retry_after_seconds or 0.0
        return Pause(max(pause.seconds, asked), max(pause.least, asked))

    def _on_rejected(self, error: Rejected) -> Pause:
        self._count(Outcome.REJECTED)
        if self._failures == 0:
            log.error("The API server refuses a request", extra=self._names(code=error.code, error=error))
        return self._backed_off(self._shared.settings.resync)

    def _on_bug(self, error: Exception) -> Pause:
        self._count(Outcome.BUG)
        place = str(traceback.extract_tb(error.__traceback__)[-1])
        bug = f"{type(error).__name__} at {place}"
        if bug != self._last_bug:
            log.error("A pass failed", exc_info=error, extra=self._names())
        self._last_bug = bug
        return self._backed_off(self._shared.settings.bug_limit)

    def _backed_off(self, limit: float) -> Pause:
        first = self._shared.settings.backoff
        seconds = min(limit, first * 2.0 ** min(self._failures, 20))
        self._failures += 1
        return Pause(seconds * (0.5 + self._shared.jitter() / 2), least=first / 2)

    async def _sleep(self, pause: Pause, stopping: asyncio.Future[object]) -> None:
        if pause.least > 0:
            await asyncio.wait({stopping}, timeout=pause.least)
        try:
            async with asyncio.timeout(max(0.0, pause.seconds - pause.least)):
                await self._woken.wait()
        except TimeoutError:
            return

    @contextmanager
    def _measured(self) -> Iterator[None]:
        started, woken = _now(), self._woken_at
        self._woken_at = None
        yield
        telemetry, ended = self._shared.telemetry, _now()
        telemetry.durations.labels(self._kind).observe(ended - started)
        if woken is not None:
            telemetry.latency.labels(self._kind).observe(ended - woken)

    def _count(self, outcome: Outcome) -> None:
        self._shared.telemetry.passes.labels(self._kind, outcome).inc()

    def _names(self, **more: object) -> dict[str, object]:
        return {"kind": self._kind, "object": str(self._key), **more}


class Loops:
    """The loops of one kind, by object. A re-created object of the same name is another loop."""

    def __init__(self, kind: str, reconciler: Reconciler, shared: Shared) -> None:
        self._kind = kind
        self._reconciler = reconciler
        self._shared = shared
        self._running: dict[str, tuple[Key, Loop]] = {}

    async def run(self, key: Key, stop: Stop) -> None:
        """Hold the object's loop until `stop`."""
        loop = Loop(self._kind, key, self._reconciler, self._shared)
        self._running[key.uid] = (key, loop)
        self._shared.heartbeat.begin(key.uid)
        self._gauge()
        try:
            await loop.run(stop)
        finally:
            self._running.pop(key.uid, None)
            self._shared.heartbeat.end(key.uid)
            self._gauge()

    def wake(self, uid: str) -> None:
        """Wake the loop of an object, if it has one."""
        if uid in self._running:
            self._running[uid][1].wake()

    def wake_all(self, namespace: str | None = None) -> None:
        """Wake all loops, or those of one namespace."""
        for key, loop in self._running.values():
            if namespace in (None, key.namespace):
                loop.wake()

    def _gauge(self) -> None:
        self._shared.telemetry.loops.labels(self._kind).set(len(self._running))


def _now() -> float:
    return asyncio.get_running_loop().time()
