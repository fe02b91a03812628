"""From tallies to verdicts, each with its reason and its figures. Missing evidence is never a pass. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import exp, inf, log

from tunebird.metrics.provider import Lack
from tunebird.rollout.counting import evidence_of, limit_test
from tunebird.rollout.evidence import LimitTest, Tally, log_e_value, log_evidence, lower_bound, strongest
from tunebird.rollout.plan import Limit, Plan, Sli, Threshold
from tunebird.rollout.progress import Evidence, Measured

# Both arms fail when the stable one, too, is over the limit with this e-value since the canary began to fail.
OUTAGE_E_VALUE = 10.0
FEWEST_FAILURES = 3
STALE_INTERVALS = 3
LEAST_STALE_SECONDS = 30.0


class Outcome(StrEnum):
    PASS = "Pass"  # noqa: S105  a verdict
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One SLI's verdict with everything that it rests on. `log_e` and `bound` belong to limit tests."""

    sli: str
    outcome: Outcome
    reason: str
    message: str
    canary: Tally
    stable: Tally
    limit: str
    log_e: float = 0.0
    bound: float = 0.0
    value: float | None = None
    observe_only: bool = False
    outage: bool = False

    @property
    def failed(self) -> bool:
        return self.outcome is Outcome.FAIL and not self.observe_only

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASS or self.observe_only


def verdicts(plan: Plan, found: Measured, now: datetime, step_samples: int) -> tuple[Verdict, ...]:
    """All SLIs' verdicts; `step_samples` is how many events the step asks for before it may pass."""
    return tuple(_verdict(plan, sli, evidence_of(found, sli.name), now, step_samples) for sli in plan.analysis.slis)


def _verdict(plan: Plan, sli: Sli, known: Evidence, now: datetime, step_samples: int) -> Verdict:
    match sli.rule:
        case Limit():
            return _limit_verdict(plan, sli, sli.rule, known, now, step_samples)
        case Threshold():
            return _threshold_verdict(plan, sli, sli.rule, known, now)


def _limit_verdict(plan: Plan, sli: Sli, rule: Limit, known: Evidence, now: datetime, step_samples: int) -> Verdict:
    test = limit_test(plan, rule, known)
    alpha = plan.analysis.alpha if sli.observe_only else plan.analysis.alpha_each
    log_e = log_evidence(known.detector, test, known.canary) if known.detector.starts else 0.0
    failing = log_e >= log(1 / alpha) and known.canary.failures >= FEWEST_FAILURES
    enough = known.canary.total >= sli.min_samples
    if failing and enough:
        outcome, reason = Outcome.FAIL, "LimitExceeded"
    else:
        outcome, reason = _pass_or_lack(plan, sli, known, now, step_samples)
    bound = lower_bound(known.canary.shrunk(test.design_effect), alpha)
    message = _limit_message(sli, rule, known, log_e, outcome, reason)
    return Verdict(
        sli.name, outcome, reason, message, known.canary, known.stable, percent(rule.maximum), log_e, bound,
        _rate(known.canary), sli.observe_only, failing and both_fail(test, known),
    )  # fmt: skip


def both_fail(test: LimitTest, known: Evidence) -> bool:
    """Whether the stable arm fails too since the canary's strongest process began: an outage, nobody's fault."""
    since = strongest(known.detector, test, known.canary)
    return log_e_value(known.stable.minus(since.stable), test.limit) >= log(OUTAGE_E_VALUE)


def _pass_or_lack(plan: Plan, sli: Sli, known: Evidence, now: datetime, step_samples: int) -> tuple[Outcome, str]:
    lack = _lack(plan, known, now)
    in_step, recent = known.canary.minus(known.step_base).total, known.canary.minus(known.since).total
    if not lack and recent == 0:
        lack = Lack.ZERO_TRAFFIC
    if not lack and (recent < sli.min_samples or in_step < step_samples):
        lack = Lack.TOO_FEW_SAMPLES
    return (Outcome.INCONCLUSIVE, lack) if lack else (Outcome.PASS, "WithinLimit")


def _lack(plan: Plan, known: Evidence, now: datetime) -> str:
    if known.reason:
        return known.reason
    if known.fresh is None:
        return Lack.NO_DATA
    oldest = max(STALE_INTERVALS * plan.analysis.interval, LEAST_STALE_SECONDS)
    return Lack.STALE_SCRAPE if now - known.fresh > timedelta(seconds=oldest) else ""


def _threshold_verdict(plan: Plan, sli: Sli, rule: Threshold, known: Evidence, now: datetime) -> Verdict:
    limit = f"≤ {rule.maximum:g}" if rule.maximum is not None else f"≥ {rule.minimum:g}"
    lack = _lack(plan, known, now)
    if lack or known.value is None:
        lack = lack or Lack.NO_DATA
        text = f"{sli.name}: {known.message or lack}"
        return Verdict(
            sli.name, Outcome.INCONCLUSIVE, lack, text, Tally(), Tally(), limit, observe_only=sli.observe_only
        )
    inside = (
        (-inf if rule.minimum is None else rule.minimum)
        <= known.value
        <= (inf if rule.maximum is None else rule.maximum)
    )
    outcome, reason = (Outcome.PASS, "WithinThreshold") if inside else (Outcome.FAIL, "ThresholdCrossed")
    message = f"{sli.name} is {known.value:g}, threshold {limit}"
    return Verdict(
        sli.name, outcome, reason, message, Tally(), Tally(), limit, value=known.value, observe_only=sli.observe_only
    )


def _limit_message(sli: Sli, rule: Limit, known: Evidence, log_e: float, outcome: Outcome, reason: str) -> str:
    canary, stable = known.canary, known.stable
    figures = (
        f"{sli.name}: canary {canary.failures:g} bad of {canary.total:g}"
        f" ({percent(_rate(canary))}), stable {stable.failures:g} of {stable.total:g} ({percent(_rate(stable))}),"
        f" limit {percent(rule.maximum)}, e-value {e_value(log_e)}"
    )
    if outcome is not Outcome.INCONCLUSIVE:
        return figures
    return f"{figures}; {reason}{': ' + known.message if known.message else ''}"


def _rate(tally: Tally) -> float:
    return tally.failures / tally.total if tally.total else 0.0


def percent(rate: float) -> str:
    """A rate as people write it: 0.05 is ``5%``."""
    return f"{100 * rate:.4g}%"


def e_value(log_e: float) -> str:
    """An e-value in three digits; huge ones as a power of ten."""
    return f"{exp(log_e):.3g}" if log_e < 30 else f"1e{log_e / log(10):.0f}"
