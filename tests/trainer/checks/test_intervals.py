"""Intervals hold what they promise: coverage by seeded simulation, and what must be monotone is."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunebird_checks import intervals

CONFIDENCES = st.sampled_from([0.8, 0.9, 0.95, 0.99])


@pytest.mark.parametrize("truth", [0.02, 0.3, 0.5, 0.95])
@pytest.mark.parametrize("n", [20, 72, 300])
def test_a_share_is_covered_at_least_as_often_as_promised(truth, n):
    draw = np.random.default_rng(7)
    covered = 0
    for good in draw.binomial(n, truth, size=600):
        found = intervals.share(int(good), n)
        covered += found.low <= truth <= found.high
    assert covered >= 600 * 0.95 - 3 * math.sqrt(600 * 0.95 * 0.05)


@given(n=st.integers(1, 200), data=st.data(), confidence=CONFIDENCES)
@settings(max_examples=60, deadline=None)
def test_a_shares_interval_is_the_exact_one(n, data, confidence):
    """Clopper-Pearson by its definition: at the ends the tail is just (1 - confidence) / 2."""
    good = data.draw(st.integers(0, n))
    found = intervals.share(good, n, confidence)
    tail = (1 - confidence) / 2

    def above(p):  # P(X >= good)
        return sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(good, n + 1))

    assert found.low <= good / n <= found.high
    if good:
        assert above(found.low) == pytest.approx(tail, rel=1e-6)
    if good < n:
        rest = 1 - above(found.high) + math.comb(n, good) * found.high**good * (1 - found.high) ** (n - good)
        assert rest == pytest.approx(tail, rel=1e-6)


@given(n=st.integers(2, 300), data=st.data(), confidence=CONFIDENCES)
@settings(max_examples=60, deadline=None)
def test_a_better_count_never_lowers_an_end_and_unknown_cases_only_widen(n, data, confidence):
    good = data.draw(st.integers(0, n - 1))
    first, second = intervals.share(good, n, confidence), intervals.share(good + 1, n, confidence)
    assert first.low <= second.low
    assert first.high <= second.high
    wide = intervals.share(good, n, confidence, unknown=data.draw(st.integers(1, 20)))
    assert wide.low <= first.low
    assert wide.high >= first.high
    stricter = intervals.share(good, n, 0.999)
    assert stricter.low <= first.low <= first.high <= stricter.high


def test_without_cases_everything_is_possible():
    found = intervals.share(0, 0)
    assert (found.low, found.high) == (0.0, 1.0)
    assert math.isnan(found.value)


def test_a_mean_of_skewed_values_is_covered():
    draw = np.random.default_rng(11)
    covered = sum(_inside(intervals.mean(draw.exponential(2.0, size=60)), 2.0) for _ in range(120))
    assert covered >= 0.88 * 120  # a bootstrap of 60 skewed values falls a little short of 95 %


def test_the_same_values_give_the_same_interval():
    values = [random.Random(3).random() for _ in range(40)]
    assert intervals.mean(values) == intervals.mean(values)


def test_one_value_proves_nothing():
    found = intervals.mean([3.0])
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_equal_scores_are_not_taken_for_certainty():
    found = intervals.score([1.0] * 20)
    assert found.low == pytest.approx(0.8316, abs=1e-4)
    assert found.high == 1.0


@pytest.mark.parametrize(("gain", "loss"), [(0.10, 0.10), (0.20, 0.05), (0.02, 0.0)])
def test_a_difference_of_paired_shares_is_covered(gain, loss):
    draw, covered = np.random.default_rng(5), 0
    for _ in range(300):
        kinds = draw.choice(3, size=100, p=[gain, loss, 1 - gain - loss])
        new, old = [float(kind != 1) for kind in kinds], [float(kind != 0) for kind in kinds]
        covered += _inside(intervals.share_difference(new, old), gain - loss)
    assert covered >= 300 * 0.95 - 3 * math.sqrt(300 * 0.95 * 0.05)


@pytest.mark.parametrize(("gained", "lost", "n"), [(7, 1, 44), (0, 5, 60), (12, 12, 40), (3, 0, 20)])
def test_an_end_is_where_the_score_statistic_reaches_its_quantile(gained, lost, n):
    """With the discordant share under each end by brute force instead of the closed form."""
    new, old = [1.0] * gained + [0.0] * lost + [1.0] * (n - gained - lost), [0.0] * gained + [1.0] * (n - gained)
    found = intervals.share_difference(new, old)
    assert _score(gained, lost, n, found.low) == pytest.approx(1.95996, abs=2e-3)
    assert _score(gained, lost, n, found.high) == pytest.approx(-1.95996, abs=2e-3)


def _score(gained, lost, n, difference):
    q = np.linspace(max(0.0, -difference) + 1e-9, (1 - difference) / 2 - 1e-9, 400_001)
    likelihood = (
        gained * np.log(q + difference) + lost * np.log(q) + (n - gained - lost) * np.log1p(-2 * q - difference)
    )
    best = q[np.argmax(likelihood)]
    variance = n * (2 * best + difference * (1 - difference))
    return (gained - lost - n * difference) / math.sqrt(variance)


def test_agreement_on_every_case_still_has_a_width():
    same = [1.0] * 50
    found = intervals.share_difference(same, same)
    assert found.low == pytest.approx(-found.high)
    assert found.high > 0.05


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("bound", [0.5, 0.9, 0.95, 0.99])
def test_the_cases_needed_are_just_enough(bound, confidence):
    n = int(intervals.cases_needed(bound, confidence))
    assert intervals.share(n, n, confidence).low >= bound
    assert intervals.share(n - 1, n - 1, confidence).low < bound


@pytest.mark.parametrize("margin", [0.01, 0.05, 0.2])
def test_the_pairs_needed_are_just_enough(margin):
    n = int(intervals.pairs_needed(margin, 0.95))
    assert intervals.share_difference([1.0] * n, [1.0] * n).low >= -margin
    assert intervals.share_difference([1.0] * (n - 1), [1.0] * (n - 1)).low < -margin


def test_certainty_takes_infinitely_many_cases():
    assert math.isinf(intervals.cases_needed(1.0, 0.95))
    assert math.isinf(intervals.pairs_needed(0.0, 0.95))


def _inside(found, truth):
    return found.low <= truth <= found.high
