"""The limit test: staggered one-sided beta-mixture e-processes that share α. Pure.

An e-process is wealth that starts at 1 and can't be expected to grow while the failure rate is at most the limit, so
it ever reaches 1/α with probability ≤ α, however often one looks (Ville). One that began long ago is slow to see a
model that turns bad later, so new ones begin all the time, and their weights never add up to more than 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, log
from typing import NamedTuple

from tunebird.rollout.beta import log_beta, log_upper

# The prior of the failure rate above the limit, Beta(1/2, 2) cut off below it: nearer to the limit than a uniform one,
# because a model that fails somewhat more often is more common than one that always fails.
PRIOR_A, PRIOR_B = 0.5, 2.0

FIRST_SHARE = 0.3  # of α: the process that begins with the traffic
PLANNED_SHARE = 0.6  # spent evenly over the planned time
LATE_SHARE = 0.01  # of what is left, for each process after the planned time
LEAST_WEIGHT = 1e-9
EVENTS_BETWEEN_STARTS = 10
MOST_STARTS = 16


class Tally(NamedTuple):
    """Failures among events."""

    failures: float = 0
    total: float = 0

    def minus(self, other: Tally) -> Tally:
        return Tally(max(0, self.failures - other.failures), max(0, self.total - other.total))

    def plus(self, other: Tally) -> Tally:
        return Tally(self.failures + other.failures, self.total + other.total)

    @property
    def good(self) -> float:
        """Never below zero: a scrape may see a failure before the event that it belongs to."""
        return max(0, self.total - self.failures)

    def shrunk(self, factor: float) -> Tally:
        return Tally(self.failures / factor, self.total / factor)


NOTHING = Tally()


@dataclass(frozen=True, slots=True)
class Start:
    """A process of weight `weight` that counts what comes after these tallies of both arms."""

    weight: float
    canary: Tally
    stable: Tally


@dataclass(frozen=True, slots=True)
class Detector:
    """The processes of one SLI. `spent` is the share of α that is given away, `seconds` the time of the last start."""

    starts: tuple[Start, ...] = ()
    spent: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class LimitTest:
    """What is tested: failure rate ≤ `limit`, over about `planned_seconds` of traffic.

    Clumped counts are divided by the `design_effect`: an e-value to a power below 1 still can't be expected to grow.
    """

    limit: float
    planned_seconds: float
    design_effect: float = 1.0


def log_e_value(seen: Tally, limit: float) -> float:
    """ln of the e-value of `seen` against "fails at most `limit`"; 0 without events."""
    above = log_beta(PRIOR_A + seen.failures, PRIOR_B + seen.good) + log_upper(
        limit, PRIOR_A + seen.failures, PRIOR_B + seen.good
    )
    prior = log_beta(PRIOR_A, PRIOR_B) + log_upper(limit, PRIOR_A, PRIOR_B)
    return above - prior - seen.failures * log(limit) - seen.good * log(1 - limit)


def begun(canary: Tally, stable: Tally) -> Detector:
    """A detector whose first process starts here."""
    return Detector((Start(FIRST_SHARE, canary, stable),), FIRST_SHARE)


def again(detector: Detector, canary: Tally, stable: Tally) -> Detector:
    """Only one process, which starts here with half of the α that is left; what was before is forgotten."""
    weight = max(LEAST_WEIGHT, (1 - detector.spent) / 2)
    return replace(detector, starts=(Start(weight, canary, stable),), spent=detector.spent + weight)


def advanced(detector: Detector, test: LimitTest, canary: Tally, stable: Tally, seconds: float) -> Detector:
    """With one more process if it is time for one; of too many the least promising is dropped, which costs power only.

    `seconds` is the time of traffic so far.
    """
    newest = detector.starts[-1]
    weight = _share(detector, test, seconds)
    if weight < LEAST_WEIGHT or canary.total - newest.canary.total < EVENTS_BETWEEN_STARTS:
        return detector
    starts = (*_promising(detector.starts, test, canary), Start(weight, canary, stable))
    return replace(detector, starts=starts, spent=detector.spent + weight, seconds=seconds)


def _share(detector: Detector, test: LimitTest, seconds: float) -> float:
    """α for a new process: in proportion to the planned time since the last; after that, a part of what is left."""
    elapsed = min(seconds, test.planned_seconds)
    share = PLANNED_SHARE * max(0.0, elapsed - detector.seconds) / test.planned_seconds
    reserved = PLANNED_SHARE * (1 - elapsed / test.planned_seconds)
    unspent = max(0.0, 1 - detector.spent)
    return min(share, unspent) if share > 0 else LATE_SHARE * max(0.0, unspent - reserved)


def _promising(starts: tuple[Start, ...], test: LimitTest, canary: Tally) -> tuple[Start, ...]:
    if len(starts) < MOST_STARTS:
        return starts
    worst = min(starts, key=lambda start: _log_wealth(start, test, canary))
    return tuple(start for start in starts if start is not worst)


def _log_wealth(start: Start, test: LimitTest, canary: Tally) -> float:
    return log(start.weight) + log_e_value(canary.minus(start.canary).shrunk(test.design_effect), test.limit)


def log_evidence(detector: Detector, test: LimitTest, canary: Tally) -> float:
    """ln of the weighted sum of the processes' e-values: reject at ln(1/α)."""
    logs = [_log_wealth(start, test, canary) for start in detector.starts]
    highest = max(logs)
    return highest + log(sum(exp(value - highest) for value in logs))


def strongest(detector: Detector, test: LimitTest, canary: Tally) -> Start:
    """The process with most evidence: it says since when the canary fails."""
    return max(detector.starts, key=lambda start: _log_wealth(start, test, canary))


def lower_bound(seen: Tally, alpha: float) -> float:
    """The lowest failure rate that `seen` does not refute at level `alpha`, at whatever time one looks."""
    low, high = 1e-6, max(1e-6, min(seen.failures / seen.total, 1 - 1e-6)) if seen.total else 1e-6
    for _ in range(30):
        middle = (low + high) / 2
        if log_e_value(seen, middle) >= log(1 / alpha):
            low = middle
        else:
            high = middle
    return low if low > 2e-6 else 0.0
