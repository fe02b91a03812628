"""How failures clump (one user, one node, retries): the variance between minutes beyond what independent requests have.

From it the design effect: by how much more there is to see of clumped requests before they say as much. The stable arm
tells it first, because it has most of the traffic and served before the canary came. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tunebird.rollout.evidence import NOTHING, Tally

BLOCK_SECONDS = 60.0
FEWEST_BLOCKS_STABLE = 3
FEWEST_BLOCKS_CANARY = 10
MOST_CORRELATION = 0.5


@dataclass(frozen=True, slots=True)
class Blocks:
    """Sums over closed blocks of about a minute: their number, failures²/requests, failures and requests."""

    number: int = 0
    squares: float = 0.0
    failures: float = 0.0
    total: float = 0.0
    base: Tally = NOTHING

    def closed(self, seen: Tally) -> Blocks:
        """With the block that ends at `seen`; one of a single request tells nothing about clumps."""
        block = seen.minus(self.base)
        if block.total < 2:
            return self
        return Blocks(
            self.number + 1,
            self.squares + block.failures**2 / block.total,
            self.failures + block.failures,
            self.total + block.total,
            seen,
        )

    def correlation(self) -> float:
        """Of two requests in one block (the analysis-of-variance estimate), 0 where it can't be told."""
        rate = self.failures / self.total if self.total else 0.0
        size = self.total / self.number if self.number else 0.0
        if self.number < 2 or size <= 1 or not 0 < rate < 1:
            return 0.0
        between = (self.squares - self.failures * rate) / ((self.number - 1) * rate * (1 - rate))
        return min(MOST_CORRELATION, max(0.0, (between - 1) / (size - 1)))


@dataclass(frozen=True, slots=True)
class Clumps:
    """Both arms' blocks; `seconds` is the time of traffic at the end of the last one."""

    canary: Blocks = field(default_factory=Blocks)
    stable: Blocks = field(default_factory=Blocks)
    seconds: float = 0.0

    def advanced(self, canary: Tally, stable: Tally, seconds: float) -> Clumps:
        """With one more block of each arm if a minute is over."""
        if seconds - self.seconds < BLOCK_SECONDS:
            return self
        return replace(self, canary=self.canary.closed(canary), stable=self.stable.closed(stable), seconds=seconds)

    def design_effect(self, requests: float) -> float:
        """At least 1: the canary's `requests` are worth as many independent ones as themselves divided by it."""
        known = []
        if self.stable.number >= FEWEST_BLOCKS_STABLE:
            known.append(self.stable.correlation())
        if self.canary.number >= FEWEST_BLOCKS_CANARY:
            known.append(self.canary.correlation())
        size = self.canary.total / self.canary.number if self.canary.number else requests
        return 1 + max(0.0, size - 1) * max(known, default=0.0)
