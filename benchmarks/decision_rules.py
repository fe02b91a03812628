"""How often each rule rolls back a good canary, and how fast it takes traffic from a bad one.

`PYTHONPATH=operator python benchmarks/decision_rules.py`. Time runs in minutes, a day of them. Each minute the canary
gets Poisson(rate) requests, of which a binomial number fails (in clumps: beta-binomial with correlation 0.1 inside a
minute). The limit is 5 %, α is 1 %. All rules of a row see the same draws. Argo Rollouts and Flagger are
re-implementations of their documented rules; the plain e-process has a uniform prior, no minimum and no restarts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log
from statistics import median

import numpy as np

from tunebird.rollout.analysis import FEWEST_FAILURES
from tunebird.rollout.beta import log_beta, log_upper
from tunebird.rollout.clumps import Clumps
from tunebird.rollout.evidence import Detector, LimitTest, Tally, advanced, begun, log_evidence

LIMIT, ALPHA, DAY = 0.05, 0.01, 1440
MINIMUM_SAMPLES = 10
Draws = list[tuple[int, int]]  # failures and requests of each minute


@dataclass(frozen=True)
class Run:
    """A day of both arms; stable has nineteen times the requests and fails 3 %."""

    canary: Draws
    stable: Draws


@dataclass(frozen=True)
class Row:
    """A kind of canary at a rate of requests; `change` is the minute from which it is bad."""

    name: str
    rate: float
    failing: Callable[[int], float]
    runs: int
    correlation: float = 0.0
    change: int = 0


@dataclass(frozen=True)
class Caught:
    """When a run was rolled back."""

    minute: int
    requests: int


def tunebird(run: Run) -> Caught | None:
    """What the operator does: staggered e-processes on counts discounted for clumps; ten requests, three failures."""
    detector, seen, stable, clumps = begun(Tally(), Tally()), Tally(), Tally(), Clumps()
    for minute in range(1, DAY + 1):
        before = run.canary[minute - 1]
        seen, stable = seen.plus(Tally(*before)), stable.plus(Tally(*run.stable[minute - 1]))
        clumps = clumps.advanced(seen, stable, minute * 60.0)
        test = LimitTest(LIMIT, DAY * 60.0, clumps.design_effect(seen.total))
        enough = seen.total >= MINIMUM_SAMPLES and seen.failures >= FEWEST_FAILURES
        if before[0] and enough and _over(detector, seen) and log_evidence(detector, test, seen) >= log(1 / ALPHA):
            return Caught(minute, int(seen.total))
        detector = advanced(detector, test, seen, stable, minute * 60.0)
    return None


def _over(detector: Detector, seen: Tally) -> bool:
    """Whether any process has a rate above the limit: otherwise no e-value is above 1, and none need be computed."""
    since = (seen.minus(start.canary) for start in detector.starts)
    return any(tally.failures > LIMIT * tally.total for tally in since)


def plain(run: Run) -> Caught | None:
    """One e-process from the start, uniform prior."""
    bad = total = 0
    for minute, (failures, requests) in enumerate(run.canary, start=1):
        bad, total = bad + failures, total + requests
        a, b = 1 + bad, 1 + total - bad
        if not failures:
            continue
        evidence = log_beta(a, b) + log_upper(LIMIT, a, b) - log(1 - LIMIT)
        if evidence - bad * log(LIMIT) - (total - bad) * log(1 - LIMIT) >= log(1 / ALPHA):
            return Caught(minute, total)
    return None


def argo(run: Run) -> Caught | None:
    """interval 5m, successCondition >= 0.95, failureLimit 3: gives up at the fourth failed reading; NaN fails."""
    failed = 0
    for minute in range(5, DAY + 1, 5):
        window = run.canary[minute - 5 : minute]
        bad, total = sum(item[0] for item in window), sum(item[1] for item in window)
        failed += total == 0 or 1 - bad / total < 1 - LIMIT
        if failed > 3:
            return Caught(minute, _requests(run.canary, minute))
    return None


def flagger(run: Run) -> Caught | None:
    """interval 1m, threshold 5, ten steps: a failed check is never forgotten; promoted after ten that pass."""
    failed = passed = 0
    for minute, (bad, total) in enumerate(run.canary, start=1):
        if failed >= 5:
            return Caught(minute, _requests(run.canary, minute))
        good = total > 0 and 1 - bad / total >= 1 - LIMIT
        passed, failed = passed + good, failed + (not good)
        if passed >= 10:
            return None
    return None


RULES = {"tunebird": tunebird, "plain e-process": plain, "Argo docs": argo, "Flagger": flagger}


def _requests(draws: Draws, minute: int) -> int:
    return sum(item[1] for item in draws[:minute])


def rows(runs: int) -> Iterator[Row]:
    """The cases of the bars; fewer runs where they are slow."""
    for rate, fewer in ((0.5, 1), (2, 1), (10, 3), (50, 10)):
        yield Row("good, 3 %", rate, lambda _: 0.03, runs // fewer)
    for rate, fewer in ((2, 1), (10, 3)):
        yield Row("at the limit, 5 %", rate, lambda _: 0.05, runs // fewer)
    for rate, fewer in ((2, 1), (10, 1), (50, 5)):
        yield Row("good, in clumps", rate, lambda _: 0.03, runs // fewer, correlation=0.1)
    yield Row("30 %, in clumps", 10, lambda _: 0.3, runs, correlation=0.1)
    for rate in (2, 10, 50):
        yield Row("30 %", rate, lambda _: 0.3, runs)
    for rate in (2, 10):
        yield Row("10 %", rate, lambda _: 0.1, runs)
    for rate in (2, 10):
        yield Row("30 % after 12 h", rate, _late, runs // 3, change=DAY // 2)


def _late(minute: int) -> float:
    return 0.03 if minute < DAY // 2 else 0.3


def draw(row: Row, random: np.random.Generator) -> Run:
    rates = np.array([row.failing(minute) for minute in range(DAY)])
    canary = _arm(row.rate, rates, row.correlation, random)
    return Run(canary, _arm(19 * row.rate, np.full(DAY, 0.03), row.correlation, random))


def _arm(rate: float, failing: np.ndarray, correlation: float, random: np.random.Generator) -> Draws:
    requests = random.poisson(rate, DAY)
    if correlation:
        strength = 1 / correlation - 1
        failing = random.beta(failing * strength, (1 - failing) * strength)
    failures = random.binomial(requests, failing)
    return [(int(bad), int(total)) for bad, total in zip(failures, requests, strict=True)]


def report(row: Row, random: np.random.Generator) -> list[str]:
    """A line of the table: share rolled back, and the medians of those after the change."""
    runs = [draw(row, random) for _ in range(row.runs)]
    cells = [f"{row.name:18}", f"{row.rate:5g}", f"{row.runs:5d}"]
    for rule in RULES.values():
        after = [(item, run) for run in runs if (item := rule(run)) is not None]
        late = [(item.minute - row.change, item.requests - _requests(run.canary, row.change)) for item, run in after]
        late = [pair for pair in late if pair[0] > 0]
        cells.append(f"{_share(len(after), len(runs))} {_medians(late)}")
    return cells


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:6.2f} %"


def _medians(late: list[tuple[int, int]]) -> str:
    if not late:
        return " " * 13
    return f"{median(pair[0] for pair in late):5g} m {median(pair[1] for pair in late):5g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40, help="runs of each row (default 40)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    random = np.random.default_rng(arguments.seed)
    print("rolled back; then the medians of minutes and canary requests (since the change)")
    print(" | ".join([f"{'canary':18}", "r/min", " runs", *(f"{name:22}" for name in RULES)]))
    for row in rows(arguments.runs):
        print(" | ".join(report(row, random)), flush=True)


if __name__ == "__main__":
    main()
