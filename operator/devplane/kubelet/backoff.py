"""How long to wait before the next try."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True)
class Backoff:
    """Delays that double from `first` to `most` seconds; forgotten after `forget` seconds without a step."""

    first: float = 10
    most: float = 300
    forget: float = 600
    _delay: float = 0
    _last: datetime | None = None

    def step(self, when: datetime) -> float:
        """The delay now; the one after will be twice as long."""
        if self._last is not None and (when - self._last).total_seconds() > self.forget:
            self._delay = 0
        self._last = when
        delay, self._delay = self._delay, min(max(self.first, self._delay * 2), self.most)
        return delay
