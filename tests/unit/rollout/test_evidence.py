"""The statistics: against values computed with 30 digits, and the promises that the test makes."""

import random
from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunebird.rollout.beta import log_beta, log_upper
from tunebird.rollout.evidence import (
    Detector,
    LimitTest,
    Start,
    Tally,
    advanced,
    again,
    begun,
    log_e_value,
    log_evidence,
    lower_bound,
    strongest,
)

DAY = LimitTest(0.05, 86400.0)


@pytest.mark.parametrize(
    ("x", "a", "b", "value"),
    [
        (0.05, 1, 1, -0.05129329438755),
        (0.05, 3.5, 60, -0.678803174859),
        (0.01, 0.5, 2, -0.1619308671462),
        (0.05, 30.5, 971, -6.957456733815),
        (0.3, 2.5, 900, -312.8885356394),
        (0.05, 500.5, 19502, -163.6955747455),
        (0.001, 1.5, 3, -0.0001381932355933),
        (0.95, 5, 2.5, -4.478729148875),
        (0.05, 0.5, 3002, -157.0636660778),
        (0.05, 5000.5, 100002, -8.615854685882),
    ],
)
def test_the_tail_of_the_beta_distribution_is_right_however_far_out(x, a, b, value):
    assert log_upper(x, a, b) == pytest.approx(value, rel=1e-9)


@given(st.floats(0.01, 0.99), st.floats(0.6, 500), st.floats(0.6, 500))
def test_the_two_tails_add_up_to_one(x, a, b):
    assert exp(log_upper(x, a, b)) + exp(log_upper(1 - x, b, a)) == pytest.approx(1, abs=1e-9)


def test_the_beta_function_is_right():
    assert log_beta(2, 3) == pytest.approx(-log(12))


@pytest.mark.parametrize(
    ("failures", "good", "value"),
    [(0, 10, -1.3355411104), (3, 7, 2.52403556353), (30, 70, 30.5644633603), (60, 1940, -5.2216638246)],
)
def test_e_values_agree_with_the_integral(failures, good, value):
    assert log_e_value(Tally(failures, failures + good), 0.05) == pytest.approx(value, rel=1e-9)


def test_nothing_seen_is_no_evidence():
    assert log_e_value(Tally(), 0.05) == pytest.approx(0, abs=1e-12)


@given(st.floats(0.001, 0.5), st.integers(0, 200), st.integers(0, 5000))
def test_the_expected_factor_of_one_more_request_is_at_most_one_at_the_limit(limit, failures, good):
    """What makes it a test that may be looked at at any time: a fair game at the limit."""
    here = log_e_value(Tally(failures, failures + good), limit)
    bad = log_e_value(Tally(failures + 1, failures + good + 1), limit) - here
    well = log_e_value(Tally(failures, failures + good + 1), limit) - here
    assert limit * exp(bad) + (1 - limit) * exp(well) <= 1 + 1e-6


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0, 4000)), max_size=60))
def test_the_weights_of_all_processes_never_exceed_one(rounds):
    detector, seen, seconds, given_away = begun(Tally(), Tally()), Tally(), 0.0, 0.3
    for requests, more in rounds:
        seen, seconds = seen.plus(Tally(0, requests)), seconds + more
        before = detector
        detector = advanced(detector, DAY, seen, Tally(), seconds)
        given_away += detector.spent - before.spent
    assert detector.spent == pytest.approx(given_away)
    assert detector.spent <= 1 + 1e-9
    assert len(detector.starts) <= 17


def test_beginning_again_spends_half_of_what_is_left():
    detector = again(Detector((Start(0.3, Tally(), Tally()),), 0.6), Tally(5, 10), Tally())
    assert detector.starts[0].weight == pytest.approx(0.2)
    assert detector.spent == pytest.approx(0.8)
    assert log_evidence(detector, DAY, Tally(5, 10)) == pytest.approx(log(0.2))


def day_of(rate, failing, seed, minutes=1440):
    """The minute in which a canary with `rate` requests a minute is given up, None if never."""
    dice = random.Random(seed)
    detector, seen = begun(Tally(), Tally()), Tally()
    for minute in range(minutes):
        failures = sum(dice.random() < failing(minute) for _ in range(rate))
        seen = seen.plus(Tally(failures, rate))
        if failures and log_evidence(detector, DAY, seen) >= log(100):
            return minute + 1
        detector = advanced(detector, DAY, seen, Tally(), 60.0 * minute)
    return None


def test_a_good_canary_survives_the_day():
    assert [day_of(2, lambda _: 0.03, seed) for seed in range(3)] == [None] * 3


def test_a_very_bad_canary_is_found_within_minutes():
    assert sorted(day_of(10, lambda _: 0.3, seed) or 9999 for seed in range(21))[10] <= 4


def test_a_long_good_history_does_not_hide_what_comes_after():
    found = sorted(day_of(10, lambda minute: 0.03 if minute < 200 else 0.3, seed, 240) or 9999 for seed in range(5))
    assert 200 < found[2] <= 207


def test_the_strongest_process_tells_since_when_it_goes_wrong():
    starts = (Start(0.3, Tally(), Tally()), Start(0.01, Tally(30, 1000), Tally(5, 90)))
    assert strongest(Detector(starts, 0.31), DAY, Tally(60, 1100)).canary == Tally(30, 1000)


def test_the_bound_is_below_the_observed_rate_and_grows_with_evidence():
    few, many = lower_bound(Tally(3, 10), 0.01), lower_bound(Tally(300, 1000), 0.01)
    assert 0 < few < many < 0.3
    assert lower_bound(Tally(), 0.01) == 0
    assert lower_bound(Tally(0, 50), 0.01) == 0
