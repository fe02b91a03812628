"""Gates: a bound against the unfavourable end of an interval. What can't be known is no pass, and no failure either."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tunebird_checks.metrics import Kind, Measure, differences
from tunebird_trainer.evaluation.rules import bound_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tunebird_checks.intervals import Interval
    from tunebird_trainer.config import Gate


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Decided:
    """One gate with what it saw. For a regression the interval is that of the change, and `limit` is the worst change
    that is allowed, with its sign."""

    gate: Gate
    bound: str
    limit: float
    interval: Interval | None
    verdict: Verdict
    reason: str

    def entry(self) -> dict[str, Any]:
        """For the termination message and the manifest."""
        found = self.interval
        ends = (None, None, None) if found is None else (found.value, found.low, found.high)
        value, low, high = (_rounded(end) for end in ends)
        entry = {"metric": self.gate.metric, "value": value, "low": low, "high": high, "limit": _rounded(self.limit),
                 "bound": self.bound, "passed": self.verdict is Verdict.PASSED}  # fmt: skip
        if self.gate.compare_to != "base":
            entry["compareTo"] = self.gate.compare_to
        return entry


def decided(gate: Gate, new: Mapping[str, Measure], old: Mapping[str, Measure] | None) -> Decided:
    """`new` and `old` are measures by `<suite>.<metric>`."""
    kind, limit = bound_of(gate)
    measure = new.get(gate.metric)
    if measure is None or not measure.values:
        return Decided(gate, kind, limit, None, Verdict.INCONCLUSIVE, "no case was measured")
    if kind in ("minimum", "maximum"):
        return _against_limit(gate, kind, limit, measure)
    before = (old or {}).get(gate.metric)
    if before is None or not (before.values.keys() & measure.values.keys()):
        return Decided(gate, kind, limit, None, Verdict.INCONCLUSIVE, f"{gate.compare_to} was not measured")
    return _against_other(gate, measure, before)


def _against_limit(gate: Gate, kind: str, limit: float, measure: Measure) -> Decided:
    found = measure.interval(gate.confidence)
    if kind == "minimum":
        verdict = _verdict(found.low, found.high, limit, found)
    else:
        verdict = _verdict(-found.high, -found.low, -limit, found)
    if measure.metric.kind is Kind.SHARE and limit == (1.0 if kind == "minimum" else 0.0) and not found.unknown:
        # No sample proves "always" or "never": such a bound asks for every case there is, and is read as that.
        verdict = Verdict.PASSED if found.value == limit else Verdict.FAILED
    return Decided(gate, kind, limit, found, verdict, _sentence(gate, found, kind, limit))


def _against_other(gate: Gate, new: Measure, old: Measure) -> Decided:
    """Worse is lower or higher, as the metric has it; the limit gets that sign."""
    kind, allowed = bound_of(gate)
    found = differences(new, old, gate.confidence)
    if kind == "maxRegressionRelative" and new.metric.kind is not Kind.PERPLEXITY:  # perplexities compare as ratios
        allowed *= abs(old.interval(gate.confidence).value)
    if new.metric.higher_is_better:
        limit, verdict = -allowed, _verdict(found.low, found.high, -allowed, found)
    else:
        limit, verdict = allowed, _verdict(-found.high, -found.low, -allowed, found)
    return Decided(
        gate, kind, limit, found, verdict, _sentence(gate, found, f"allowed against {gate.compare_to}:", limit)
    )


def _verdict(worst: float, best: float, limit: float, found: Interval) -> Verdict:
    """Higher is better here. Failed only where the cases that are known say so, whatever the unknown ones hold."""
    if math.isnan(limit) or math.isnan(worst):
        return Verdict.INCONCLUSIVE
    if worst >= limit - 1e-12:
        return Verdict.PASSED
    if found.unknown and (best >= limit or not math.isfinite(best)):
        return Verdict.INCONCLUSIVE
    return Verdict.FAILED if found.n > found.unknown else Verdict.INCONCLUSIVE


def _sentence(gate: Gate, found: Interval, kind: str, limit: float) -> str:
    unknown = f", {found.unknown} of them unknown" if found.unknown else ""
    verb = "is" if kind in ("minimum", "maximum") else "changed by"
    ends = f"{found.value:.4g} with {gate.confidence:.0%} interval {found.low:.4g} to {found.high:.4g}"
    return f"{gate.metric} {verb} {ends} over {found.n} cases{unknown}; {kind} {limit:.4g}"


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")
