"""Clumped failures are worth less as evidence; independent ones keep their worth."""

import random

import pytest

from tunebird.rollout.clumps import Blocks, Clumps
from tunebird.rollout.evidence import Tally


def blocks(correlation, *, rate=0.05, size=50, number=400, seed=1):
    dice = random.Random(seed)
    found, seen = Blocks(), Tally()
    for _ in range(number):
        here = (
            dice.betavariate(rate * (1 / correlation - 1), (1 - rate) * (1 / correlation - 1)) if correlation else rate
        )
        seen = seen.plus(Tally(sum(dice.random() < here for _ in range(size)), size))
        found = found.closed(seen)
    return found


def test_independent_failures_have_next_to_no_correlation():
    assert blocks(0).correlation() < 0.01


def test_clumps_are_measured():
    assert blocks(0.1).correlation() == pytest.approx(0.1, abs=0.04)


def test_a_single_request_tells_nothing():
    assert Blocks().closed(Tally(1, 1)) == Blocks()


def test_the_effect_grows_with_the_requests_of_a_minute():
    clumps = Clumps(stable=blocks(0.1), canary=Blocks(number=1, total=20))
    assert clumps.design_effect(20) == pytest.approx(1 + 19 * clumps.stable.correlation())
    assert Clumps().design_effect(1000) == 1


def test_a_block_closes_after_a_minute():
    half = Clumps().advanced(Tally(1, 30), Tally(2, 60), 30)
    whole = half.advanced(Tally(1, 40), Tally(2, 90), 61)
    assert half == Clumps()
    assert (whole.canary.number, whole.canary.total, whole.stable.total) == (1, 40, 90)
