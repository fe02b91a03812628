"""Faults on purpose. Whether a request is hit depends on the seed and its id alone, so a run can be replayed."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares are 0…1; the delay is seconds."""

    errors: float = 0.0
    delay: float = 0.0
    cuts: float = 0.0
    seed: int = 0

    def fails(self, request_id: str) -> bool:
        return self._draw("error", request_id) < self.errors

    def cut_after(self, request_id: str) -> int | None:
        """How many pieces a stream sends before it is cut (1…8); None: it isn't."""
        if self._draw("cut", request_id) >= self.cuts:
            return None
        return 1 + int(self._draw("piece", request_id) * 8)

    def _draw(self, kind: str, request_id: str) -> float:
        """Uniform in [0, 1)."""
        digest = hashlib.sha256(f"{self.seed}/{kind}/{request_id}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64
