"""Is a suite large enough to prove its gate? Even with not one failure a small suite can't."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunebird_checks import intervals
from tunebird_checks.metrics import METRICS, Kind, population

if TYPE_CHECKING:
    from tunebird_checks.suite import Suite


@dataclass(frozen=True, slots=True)
class Bound:
    """One gate's bound; exactly one of the three is given."""

    metric: str = "instructionSuccess"
    minimum: float | None = None
    maximum: float | None = None
    regression: float | None = None  # absolute
    confidence: float = 0.95


def needed(bound: Bound) -> float:
    """Fewest cases that could prove the bound, if all went well. 0 where nothing general can be said. A bound of 100 %
    or 0 % asks for every case there is, and any number will do."""
    if METRICS[bound.metric].kind not in (Kind.SHARE, Kind.SCORE):
        return 0
    if bound.regression is not None:
        return intervals.pairs_needed(bound.regression, bound.confidence)
    level = bound.minimum if bound.minimum is not None else 1 - (bound.maximum or 0.0)
    return 1 if level >= 1 else intervals.cases_needed(level, bound.confidence)


def too_small(suite: Suite, bound: Bound) -> str | None:
    """Why the suite can't prove the bound, or None."""
    has, wants = population(suite, bound.metric), needed(bound)
    if not has:
        return f"no case is about {bound.metric} ({METRICS[bound.metric].about}); add some, or remove the gate"
    if has >= wants:
        return None
    asked = f"{bound.metric} {_shown(bound)} at {bound.confidence:.0%} confidence"
    if math.isinf(wants):
        return f"{asked} can't be proved by any number of cases; allow a margin"
    return f"{has} cases can't prove {asked}: even without one failure it takes {wants:.0f}"


def warnings(suite: Suite) -> list[str]:
    """What makes a suite weaker than it looks."""
    prompts = Counter(str(case.turns) for case in suite.cases)
    said = [f"{count} cases have the same prompt: {prompt[:80]}" for prompt, count in prompts.items() if count > 1]
    judged = [case.id for case in suite.cases if any(check.type == "judge" for check in case.checks)]
    if judged and not any(case.labels for case in suite.cases):
        said.append(f"{len(judged)} cases ask a judge and none has labels: how far the judge is right stays unknown")
    weak = [case.id for case in suite.cases if {check.type for check in case.checks} == {"length"}]
    if weak:
        said.append(f"{len(weak)} cases check nothing but length, {weak[0]} first")
    return said


def _shown(bound: Bound) -> str:
    if bound.regression is not None:
        return f"maximum regression {bound.regression:.4g}"
    return f"minimum {bound.minimum:.4g}" if bound.minimum is not None else f"maximum {bound.maximum:.4g}"
