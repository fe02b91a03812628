"""Confidence intervals, two-sided at the confidence asked for. A gate is held against the unfavourable end.

Shares: Clopper-Pearson, exact (Biometrika 26, 1934). Means: bootstrap, BCa (Efron, JASA 82, 1987), seeded.
Differences of shares on the same cases: Tango's score interval (Statistics in Medicine 17, 1998), because a bootstrap
of cases that all agree has no width whatever their number.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_RESAMPLES = 4999
_SEED = 20240229
_BATCH_CELLS = 2_000_000  # numbers drawn at once: 16 MB
_NOTHING = (-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class Interval:
    """`n` is the number of cases behind it; `unknown` of them have no value, and widen it as far as they could."""

    value: float
    low: float
    high: float
    n: int
    unknown: int = 0


def share(good: float, n: int, confidence: float = 0.95, unknown: int = 0) -> Interval:
    """A share of cases. `good` may be fractional: several samples of a case count as one case with their mean, as if
    they said nothing new about other cases. Unknown cases count as bad at the low end and as good at the high end."""
    total = n + unknown
    if not total:
        return Interval(math.nan, 0.0, 1.0, 0)
    tail = (1 - confidence) / 2
    best = good + unknown
    low = _beta_quantile(good, total - good + 1, tail) if good > 0 else 0.0
    high = _beta_quantile(best + 1, total - best, 1 - tail) if best < total else 1.0
    return Interval(good / n if n else math.nan, low, high, total, unknown)


def mean(values: Sequence[float], confidence: float = 0.95, weights: Sequence[float] | None = None) -> Interval:
    """The weighted mean of anything that has one."""
    weights = weights if weights is not None else [1.0] * len(values)
    low, high = _bootstrapped(_average, (values, weights), confidence)
    value = float(np.average(values, weights=weights)) if len(values) else math.nan
    return Interval(value, low, high, len(values))


def score(values: Sequence[float], confidence: float = 0.95, unknown: int = 0) -> Interval:
    """The mean of scores between 0 and 1. Where all are equal the bootstrap knows nothing, and they count as shares."""
    if len(set(values)) < 2:
        return share(float(sum(values)), len(values), confidence, unknown)
    low = mean([*values, *[0.0] * unknown], confidence).low
    high = mean([*values, *[1.0] * unknown], confidence).high
    return Interval(float(np.mean(values)), max(0.0, low), min(1.0, high), len(values) + unknown, unknown)


def difference(new: Sequence[float], old: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean of new - old over the same cases, by paired bootstrap."""
    apart = [a - b for a, b in zip(new, old, strict=True)]
    return mean(apart, confidence)


def share_difference(new: Sequence[float], old: Sequence[float], confidence: float = 0.95) -> Interval:
    """Difference of two shares over the same cases. Fractions (several samples a case) are bootstrapped, and never
    narrower than as many cases without a discordant one would be."""
    pairs = list(zip(new, old, strict=True))
    gained = sum(max(0.0, a - b) for a, b in pairs)
    lost = sum(max(0.0, b - a) for a, b in pairs)
    low, high = _tango(gained, lost, len(pairs), confidence)
    if {0.0, 1.0} >= {value for pair in pairs for value in pair}:
        return Interval((gained - lost) / len(pairs) if pairs else math.nan, low, high, len(pairs))
    drawn = difference(new, old, confidence)
    return Interval(drawn.value, min(low, drawn.low), max(high, drawn.high), len(pairs))


def of_pairs(
    pairs: Sequence[Any], statistic: Callable[[Sequence[Any]], float], confidence: float
) -> tuple[float, float]:
    """Percentile bootstrap of any statistic of pairs."""
    if len(pairs) < 2:
        return _NOTHING
    drawn = np.random.default_rng(_SEED).integers(len(pairs), size=(_RESAMPLES // 5, len(pairs)))
    found = [statistic([pairs[each] for each in row]) for row in drawn]
    tail = 50 * (1 - confidence)
    low, high = np.percentile(found, (tail, 100 - tail))
    return float(low), float(high)


def cases_needed(bound: float, confidence: float) -> float:
    """Cases of which all must pass, so that the interval's low end reaches a minimum of `bound`: the fewest that can
    prove it. Of a maximum, give 1 - maximum. Infinite for a bound of 1."""
    if bound >= 1:
        return math.inf
    return math.ceil(math.log((1 - confidence) / 2) / math.log(bound) - 1e-9) if bound > 0 else 1


def pairs_needed(margin: float, confidence: float) -> float:
    """Cases that must all agree, so that a regression of more than `margin` is excluded."""
    square = _normal_quantile(confidence) ** 2
    return math.ceil(square * (1 - margin) / margin - 1e-9) if margin > 0 else math.inf


def _tango(gained: float, lost: float, n: int, confidence: float) -> tuple[float, float]:
    """Both ends by bisection: the score statistic falls as the difference supposed rises."""
    if not n:
        return -1.0, 1.0
    z = _normal_quantile(confidence)
    point = (gained - lost) / n
    low = _root(lambda d: _tango_score(gained, lost, n, d) - z, -1.0, point)
    high = _root(lambda d: _tango_score(gained, lost, n, d) + z, point, 1.0)
    return low, high


def _tango_score(gained: float, lost: float, n: int, difference: float) -> float:
    """Tango 1998, equation 11, with the maximum likelihood estimate of the discordant share under the difference."""
    b = -gained - lost + (2 * n - gained + lost) * difference
    c = -lost * difference * (1 - difference)
    q = (math.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
    variance = n * (2 * q + difference * (1 - difference))
    apart = gained - lost - n * difference
    return apart / math.sqrt(variance) if variance > 1e-12 else math.copysign(math.inf, apart) if apart else 0.0


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


def _bootstrapped(statistic: Any, samples: tuple[Any, ...], confidence: float) -> tuple[float, float]:
    from scipy import stats

    columns = [np.asarray(sample, dtype=float) for sample in samples]
    n = len(columns[0])
    if n < 2:
        return _NOTHING
    if np.ptp(columns[0]) == 0:
        return float(columns[0][0]), float(columns[0][0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a degenerate resample, for which the percentile ends are taken below
        found = stats.bootstrap(
            columns, statistic, paired=True, vectorized=True, n_resamples=_RESAMPLES, confidence_level=confidence,
            batch=max(1, _BATCH_CELLS // n), rng=np.random.default_rng(_SEED), method="BCa",
        )  # fmt: skip
    low, high = float(found.confidence_interval.low), float(found.confidence_interval.high)
    if math.isnan(low) or math.isnan(high):
        tail = 50 * (1 - confidence)
        low, high = (float(end) for end in np.percentile(found.bootstrap_distribution, (tail, 100 - tail)))
    return low, high


def _average(values: Any, weights: Any, axis: int = -1) -> Any:
    return (values * weights).sum(axis=axis) / weights.sum(axis=axis)


def _beta_quantile(a: float, b: float, probability: float) -> float:
    from scipy import special

    return float(special.betaincinv(a, b, probability))


def _normal_quantile(confidence: float) -> float:
    from scipy import special

    return float(special.ndtri((1 + confidence) / 2))
