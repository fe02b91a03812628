"""What a pass answers its loop: when to look at the object again if nothing wakes it before."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requeue:
    """`seconds` until the next pass; None: only a wake-up or the resync brings one."""

    seconds: float | None

    @classmethod
    def never(cls) -> Requeue:
        """Nothing to do until something changes."""
        return cls(None)

    @classmethod
    def now(cls) -> Requeue:
        """Observe again at once, typically after progress was saved."""
        return cls(0.0)

    @classmethod
    def after(cls, seconds: float) -> Requeue:
        """Observe again when `seconds` have passed; less than nothing is at once."""
        return cls(max(0.0, seconds))
