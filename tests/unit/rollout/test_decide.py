"""Decisions that a story can't show as sharply: capacity, clocks, verbs, deadlines, counters."""

from dataclasses import replace
from datetime import timedelta

import pytest

from fakes.rolling import ERRORS, NO_DATA, START, Rolling, plan
from tunebird.metrics.provider import Count, Counts, Lack, Sample
from tunebird.rollout.counting import Arms, PodSeen, Round, evidence_of, measured
from tunebird.rollout.evidence import Tally
from tunebird.rollout.plan import Bake, OnBreach, OnInconclusive, Pause, SetWeight
from tunebird.rollout.progress import Measured
from tunebird.rollout.turn import ServerSeen, Verb, capacity


def serving(missing=None, **changes):
    """A world where `a` is stable and `b` is the new target."""
    world = Rolling(plan=plan(**changes), missing=missing)
    world.go(30)
    world.target = "b"
    return world


def reasons(world):
    return [notice.reason for notice in world.saved.history]


@pytest.mark.parametrize(
    ("weight", "replicas", "fixed", "pods"),
    [
        (5, 3, None, 1),
        (34, 3, None, 2),
        (50, 3, None, 2),
        (100, 3, None, 3),
        (50, 10, 1, 1),
        (100, 10, 1, 10),
        (0, 0, None, 1),
    ],
)
def test_the_canary_has_as_many_pods_as_its_weight_needs(weight, replicas, fixed, pods):
    base = plan(canary_replicas=fixed)
    assert capacity(replace(base, server=replace(base.server, replicas=replicas)), weight) == pods


def test_the_weight_does_not_rise_before_the_capacity_is_ready():
    world = serving(steps=(SetWeight(70), Bake(60, 0)))
    world.once()
    world.once()
    world.servers["b"] = ServerSeen(3, 2)
    for _ in range(5):
        world.once()
    assert world.saved.weight == 0
    assert "3 ready canary pods for weight 70, there are 2" in world.decide().waiting
    world.get_ready()
    world.go(10)
    assert world.saved.weight == 70


def test_the_bake_clock_stands_while_the_weight_is_not_accepted():
    world = serving(steps=(SetWeight(10), Bake(100, 0)))
    world.go(40)
    baked = world.saved.step.baked_seconds
    assert 0 < baked < 100
    world.accepted = False
    world.go(500)
    assert world.saved.step.baked_seconds == baked
    world.accepted = True
    world.go(30)
    assert baked < world.saved.step.baked_seconds < 100


def test_a_jump_of_the_clock_does_not_end_a_bake():
    world = serving(steps=(SetWeight(10), Bake(3600, 0)))
    world.go(40)
    world.now += timedelta(hours=5)
    world.go(20)
    assert world.saved.trial is not None
    assert world.saved.step.baked_seconds < 200


def test_a_bake_ends_when_the_interval_is_longer_than_a_minute():
    base = plan()
    analysis = replace(base.analysis, interval=300.0, slis=())
    world = serving(analysis=analysis, steps=(SetWeight(10), Bake(900, 0)))
    world.go(1000)
    assert world.saved.stable.name == "b"


def test_a_pause_with_a_time_ends_by_itself():
    world = serving(steps=(SetWeight(10), Pause(120.0), SetWeight(50), Bake(20, 0)))
    world.go(60)
    assert world.saved.step.index == 1
    world.go(80)
    assert world.saved.step.index > 1


def test_a_breach_with_on_breach_pause_keeps_the_weight_until_a_person_speaks():
    base = plan()
    world = serving(analysis=replace(base.analysis, on_breach=OnBreach.PAUSE))
    world.go(200, {"b": 0.4})
    assert world.saved.hold.holder == "SLIBreached"
    assert world.saved.weight == 10
    number, step = world.saved.number, world.saved.step.index
    world.verbs = (Verb("resume", f"{number}/{step}"),)
    world.go(400)
    assert world.saved.stable.name == "b"


@pytest.mark.parametrize(
    ("value", "words"),
    [("2", 'write "<rollout>/<step>"'), ("yes", "write"), ("1/0", "the rollout is 2, not 1"), ("2/9", "the step is")],
)
def test_a_mistyped_or_stale_verb_is_answered_once(value, words):
    world = serving(steps=(SetWeight(10), Pause(None)))
    world.go(60)
    world.verbs = (Verb("promote", value),)
    world.go(60)
    answers = [notice.message for notice in world.saved.history if notice.reason == "VerbIgnored"]
    assert len(answers) == 1
    assert words in answers[0]
    assert world.saved.step.index == 1


def test_a_skipped_bake_still_needs_a_verdict_before_the_promotion():
    world = serving(steps=(SetWeight(10), Bake(3600, 0)))
    world.missing = NO_DATA
    world.go(40)
    world.verbs = (Verb("skip-step", f"{world.saved.number}/1"),)
    world.go(300)
    assert world.saved.step.index == 2
    assert world.saved.stable.name == "a"
    world.missing = None
    world.go(60)
    assert world.saved.stable.name == "b"


def test_an_sli_that_is_only_observed_stops_nothing():
    base = plan()
    world = serving(analysis=replace(base.analysis, slis=(replace(ERRORS, observe_only=True),)))
    world.go(400, {"b": 0.5})
    assert world.saved.stable.name == "b"


def test_the_stable_revision_keeps_its_number_of_pods_while_a_canary_runs():
    world = serving()
    world.go(30)
    assert dict(world.decide().replicas) == {"a": 3, "b": 1}


# --- counters ---------------------------------------------------------------------------------------------------------


def pod(name="b-1", restarts=0, started=START):
    return PodSeen(name, name[0], "10.0.0.1", True, restarts, started)


def counted(*rounds):
    """The canary's tally after rounds of (count, pod), ten seconds apart; the first is the baseline."""
    found = Measured()
    for index, (count, seen) in enumerate(rounds, start=1):
        canary = {"pods": Sample({"errors": Counts((count,)) if count else NO_DATA})}
        moment = START + timedelta(seconds=10 * index)
        found = measured(found, plan(), Arms("b", "a"), Round(moment, canary, {}, (seen,)))
    return evidence_of(found, "errors")


def test_what_was_counted_before_does_not_count():
    assert counted((Count("b-1", 5, 100), pod())).canary == Tally(0, 0)


def test_growth_counts():
    assert counted((Count("b-1", 5, 100), pod()), (Count("b-1", 7, 150), pod())).canary == Tally(2, 50)


def test_a_new_pod_counts_from_zero():
    late = pod("b-2", started=START + timedelta(seconds=15))
    assert counted((Count("b-1", 5, 100), pod()), (Count("b-2", 1, 20), late)).canary == Tally(1, 20)


def test_a_restart_counts_the_requests_that_died_with_it():
    found = counted(
        (Count("b-1", 0, 100, born=1000, running=4), pod()),
        (Count("b-1", 0, 110, born=1000, running=4), pod()),
        (Count("b-1", 1, 6, born=2000), pod(restarts=1)),
    )
    assert found.canary == Tally(0 + 1 + 4, 10 + 6 + 4)


def test_counters_that_go_backwards_are_no_evidence():
    found = counted((Count("b-1", 5, 100), pod()), (Count("b-1", 1, 10), pod()))
    assert found.reason == Lack.COUNTER_RESET
    assert found.canary == Tally(0, 0)


def test_a_source_that_was_silent_is_counted_when_it_answers_again():
    found = counted((Count("b-1", 0, 100), pod()), (None, pod()), (Count("b-1", 3, 130), pod()))
    assert found.canary == Tally(3, 30)
    assert found.reason == ""


# --- evidence that begins anew ----------------------------------------------------------------------------------------


def an_outage_at_the_promotion(on_inconclusive):
    """The step after the last was reached, a pod is missing for the promotion, and both revisions begin to fail."""
    base = plan()
    analysis = replace(base.analysis, on_inconclusive=on_inconclusive)
    world = serving(steps=(SetWeight(60), Bake(30, 0)), analysis=analysis)
    world.settle(world.get_ready)
    for _ in range(6):
        world.settle()
        world.traffic(400, {"a": 0.02, "b": 0.02})
        world.now += timedelta(seconds=10)
    assert world.saved.step.index == 2
    world.traffic(400, {"a": 0.4, "b": 0.4})
    world.once()
    assert reasons(world)[-1] == "OutageDetected"
    world.settle(world.get_ready)
    return world


@pytest.mark.parametrize("on_inconclusive", OnInconclusive)
def test_after_an_outage_only_new_evidence_promotes(on_inconclusive):
    world = an_outage_at_the_promotion(on_inconclusive)
    world.now += timedelta(seconds=10)
    world.traffic(400)
    world.once()
    assert reasons(world)[-1] == "OutageEnded"
    assert world.saved.stable.name == "a"
    world.now += timedelta(seconds=10)
    world.traffic(400)
    world.once()
    assert reasons(world)[-1] == "Promoted"


def test_a_canary_that_lost_its_pods_before_the_promotion_gets_its_weight_back_first():
    base = plan()
    world = serving(
        steps=(SetWeight(100),), analysis=replace(base.analysis, on_inconclusive=OnInconclusive.PAUSE), missing=NO_DATA
    )
    world.go(60)
    assert reasons(world)[-1] == "Paused"
    world.servers["b"] = ServerSeen(3, 0)
    world.settle()
    assert world.saved.weight == 0
    world.missing = None
    world.verbs = (Verb("resume", f"{world.saved.number}/{world.saved.step.index}"),)
    world.go(60)
    assert world.saved.stable.name == "b"
