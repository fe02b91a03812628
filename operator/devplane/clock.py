"""The server's clock, which a fault may shift."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(slots=True)
class Clock:
    """Aware UTC times, `skew_seconds` ahead of the machine's."""

    skew_seconds: float = 0

    def __call__(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.skew_seconds)
