"""Gates hold the unfavourable end against the bound; what can't be known is neither a pass nor a failure."""

import pytest

from tunebird_checks.metrics import METRICS, Measure
from tunebird_trainer.config import Gate
from tunebird_trainer.evaluation.gates import Verdict, decided


def shares(good, bad, unknown=0, metric="instructionSuccess"):
    values = [1.0] * good + [0.0] * bad + [None] * unknown
    return {f"core.{metric}": Measure(METRICS[metric], {str(n): value for n, value in enumerate(values)})}


def verdict(new, old=None, metric="instructionSuccess", **bounds):
    return decided(Gate(f"core.{metric}", **bounds), new, old).verdict


@pytest.mark.parametrize(
    ("good", "bad", "verdict_"),
    [(72, 0, "passed"), (71, 0, "failed"), (95, 5, "failed"), (990, 10, "passed")],
)
def test_a_minimum_is_held_against_the_low_end_and_not_the_value(good, bad, verdict_):
    assert verdict(shares(good, bad), minimum=0.95) == verdict_


@pytest.mark.parametrize(("hits", "n", "verdict_"), [(0, 72, "passed"), (0, 71, "failed"), (3, 72, "failed")])
def test_a_maximum_is_held_against_the_high_end(hits, n, verdict_):
    assert verdict(shares(hits, n - hits, metric="overRefusal"), metric="overRefusal", maximum=0.05) == verdict_


@pytest.mark.parametrize(
    ("good", "bad", "unknown", "verdict_"),
    [
        (1000, 0, 5, "passed"),  # even if all five had failed
        (72, 0, 2, "inconclusive"),
        (50, 22, 2, "failed"),  # even if both had passed
        (0, 0, 72, "inconclusive"),
    ],
)
def test_unknown_cases_decide_only_where_they_could_not_matter(good, bad, unknown, verdict_):
    assert verdict(shares(good, bad, unknown), minimum=0.95) == verdict_


@pytest.mark.parametrize(
    ("good", "bad", "unknown", "verdict_"), [(5, 0, 0, "passed"), (99, 1, 0, "failed"), (5, 0, 1, "inconclusive")]
)
def test_a_bound_of_all_asks_for_every_case_there_is(good, bad, unknown, verdict_):
    assert verdict(shares(good, bad, unknown), minimum=1.0) == verdict_


@pytest.mark.parametrize(("hits", "verdict_"), [(0, "passed"), (1, "failed")])
def test_a_bound_of_none_asks_for_not_one(hits, verdict_):
    assert verdict(shares(hits, 20 - hits, metric="leakage"), metric="leakage", maximum=0.0) == verdict_


def test_more_confidence_asks_for_more_cases():
    assert verdict(shares(80, 0), minimum=0.95) == Verdict.PASSED
    assert verdict(shares(80, 0), minimum=0.95, confidence=0.99) == Verdict.FAILED


@pytest.mark.parametrize(
    ("n", "lost", "allowed", "verdict_"),
    [(381, 0, 0.01, "passed"), (380, 0, 0.01, "failed"), (400, 40, 0.05, "failed"), (400, 4, 0.05, "passed")],
)
def test_a_regression_must_be_excluded_and_not_merely_unseen(n, lost, allowed, verdict_):
    old = shares(n, 0)
    assert verdict(shares(n - lost, lost), old, max_regression_absolute=allowed) == verdict_


def test_a_regression_of_what_should_be_low_is_a_rise():
    calm, risen = shares(20, 380, metric="overRefusal"), shares(120, 280, metric="overRefusal")
    assert verdict(risen, calm, metric="overRefusal", max_regression_absolute=0.05) == Verdict.FAILED
    assert verdict(calm, risen, metric="overRefusal", max_regression_absolute=0.05) == Verdict.PASSED


def test_a_relative_regression_scales_with_what_was():
    old, new = shares(200, 200), shares(196, 204)
    assert verdict(new, old, max_regression_relative=0.10) == Verdict.PASSED
    assert verdict(new, old, max_regression_relative=0.01) == Verdict.FAILED


def perplexity(values):
    cases = {str(n): value for n, value in enumerate(values)}
    return {"core.perplexity": Measure(METRICS["perplexity"], cases, dict.fromkeys(cases, 10.0))}


def test_perplexities_are_compared_as_a_ratio():
    old = perplexity([1.0 + 0.01 * n for n in range(50)])
    worse = perplexity([1.2 + 0.01 * n + 0.001 * (n % 3) for n in range(50)])
    found = decided(Gate("core.perplexity", max_regression_relative=0.1), worse, old)
    assert found.verdict is Verdict.FAILED
    assert found.interval.value == pytest.approx(0.2226, abs=0.002)
    assert verdict(worse, old, metric="perplexity", max_regression_relative=0.3) == Verdict.PASSED


def test_a_metric_that_was_not_measured_is_inconclusive():
    assert verdict({}, minimum=0.5) == Verdict.INCONCLUSIVE
    assert verdict(shares(50, 0), None, max_regression_absolute=0.1) == Verdict.INCONCLUSIVE
    assert verdict(shares(50, 0), {}, max_regression_absolute=0.1) == Verdict.INCONCLUSIVE


def test_the_sentence_of_a_regression_tells_the_change():
    found = decided(Gate("core.instructionSuccess", max_regression_absolute=0.05), shares(100, 0), shares(100, 0))
    assert found.reason.startswith(
        "core.instructionSuccess changed by 0 with 95% interval -0.03699 to 0.03699 over 100"
    )
    assert found.reason.endswith("allowed against base: -0.05")


def test_the_entry_tells_value_interval_limit_and_outcome():
    entry = decided(Gate("core.instructionSuccess", minimum=0.5), shares(72, 0), None).entry()
    assert entry == {
        "metric": "core.instructionSuccess", "value": 1.0, "low": 0.950056, "high": 1.0, "limit": 0.5,
        "bound": "minimum", "passed": True,
    }  # fmt: skip
