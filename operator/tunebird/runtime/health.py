"""Is the operator alive, and is it in charge? Alive: every loop ends a pass now and then, well or badly."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum


class Heartbeat:
    """When each loop last ended a pass. With a resync of a minute, five without one mean that it hangs."""

    def __init__(self, limit_seconds: float = 300.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit_seconds
        self._clock = clock
        self._last: dict[str, float] = {}

    def begin(self, uid: str) -> None:
        """A loop starts."""
        self._last[uid] = self._clock()

    def beat(self, uid: str) -> None:
        """A loop ended a pass."""
        if uid in self._last:
            self._last[uid] = self._clock()

    def end(self, uid: str) -> None:
        """A loop is over."""
        self._last.pop(uid, None)

    def complaint(self) -> str:
        """Why the operator should be restarted; empty while all is well."""
        if not self._last:
            return ""
        newest = self._clock() - max(self._last.values())
        if newest <= self._limit:
            return ""
        return f"{len(self._last)} unfinished objects, but no pass was completed for {newest:.0f} s"


class Stage(StrEnum):
    """What must be true, in this order, before the operator is ready."""

    CLUSTER = "logged in, and the CRDs are installed"
    LEASE = "this operator holds the Lease"


class Readiness:
    """Which stages were reached."""

    def __init__(self) -> None:
        self._reached: set[Stage] = set()

    def reached(self, stage: Stage) -> None:
        """From now on this is so."""
        self._reached.add(stage)

    def lost(self, stage: Stage) -> None:
        """It is no longer so."""
        self._reached.discard(stage)

    def complaint(self) -> str:
        """What is missing; empty when ready."""
        return "; ".join(f"not yet: {stage}" for stage in Stage if stage not in self._reached)
