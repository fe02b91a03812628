"""Random histories of a cluster that lies: what must hold whatever happens."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fakes.rolling import Rolling, plan
from tunebird.metrics.provider import Lack, Missing
from tunebird.rollout.counting import measured
from tunebird.rollout.decide import decide
from tunebird.rollout.plan import Bake, OnBreach, OnDeadline, OnInconclusive, Pause, SetWeight
from tunebird.rollout.turn import ServerSeen, Turn, Verb
from tunebird.rollout.verbs import VERBS

STEPS = [
    (SetWeight(10), Bake(60, 20), SetWeight(50), Bake(60, 0)),
    (SetWeight(5), Pause(None), SetWeight(100), Bake(30, 0)),
    (SetWeight(30), Pause(20.0), SetWeight(0), SetWeight(60), Bake(30, 10)),
    (SetWeight(100),),
]
NAMES = st.sampled_from(["a", "b", "c"])
LACKS = st.sampled_from([None, *Lack])


class LyingCluster(RuleBasedStateMachine):
    """One pass at a time, in a world that loses writes, disobeys, flaps, jumps in time and changes its mind."""

    @initialize(
        steps=st.sampled_from(STEPS),
        on_breach=st.sampled_from(OnBreach),
        on_inconclusive=st.sampled_from(OnInconclusive),
        on_deadline=st.sampled_from(OnDeadline),
    )
    def begin(self, steps, on_breach, on_inconclusive, on_deadline):
        base = plan()
        analysis = replace(base.analysis, on_breach=on_breach, on_inconclusive=on_inconclusive)
        self.world = Rolling(plan=replace(base, steps=steps, analysis=analysis, on_deadline=on_deadline))
        self.last = None
        self.a_quiet_while(3, 0, 0.0)
        self.world.target = "b"

    @rule(keep=st.booleans(), obey=st.booleans())
    def a_pass(self, keep, obey):
        seen = self.world.observed()
        decision = self.world.once(keep=keep, obey=obey)
        self.last = (seen, decision)
        assert decision == decide(seen)
        self.check_weight(seen, decision)
        self.check_promotion(seen, decision)

    @rule(rounds=st.integers(1, 10), requests=st.sampled_from([0, 20, 400]), rate=st.sampled_from([0.0, 0.02, 0.3]))
    def a_quiet_while(self, rounds, requests, rate):
        """Everybody obeys for some rounds of ten seconds; all models fail alike at a low rate, `c` at `rate`."""
        for _ in range(rounds):
            for _ in range(4):
                self.a_pass(keep=True, obey=True)
                self.world.get_ready()
            self.world.traffic(requests, {"a": 0.01, "b": 0.01, "c": rate})
            self.world.now += timedelta(seconds=10)

    @rule(rate=st.sampled_from([0.02, 0.4]))
    def everything_fails_alike(self, rate):
        self.world.traffic(400, {"a": rate, "b": rate, "c": rate})
        self.a_pass(keep=True, obey=True)

    def check_weight(self, seen, decision):
        progress = decision.progress
        assert 0 <= progress.weight <= 100
        assert sum(progress.split.values()) in (0, 100)
        if progress.canary is None or progress.stable is None:
            return
        if seen.ready(progress.canary) == 0:
            assert progress.weight == 0
        if progress.rolled_back and seen.ready(progress.stable):
            assert progress.weight == 0
        if progress.weight > seen.progress.weight:
            assert seen.ready(progress.canary) >= self.world.enough(progress.weight)

    def check_promotion(self, seen, decision):
        before, after = seen.progress, decision.progress
        if before.stable is None or after.stable == before.stable:
            return
        assert after.stable == before.canary
        assert seen.ready(before.canary) >= seen.plan.server.replicas
        turn = Turn(seen, before)
        found = measured(before.measured, seen.plan, turn.arms, seen.round)
        verdicts = Turn(seen, replace(before, measured=found)).verdicts
        assert verdicts
        assert all(verdict.passed for verdict in verdicts)

    @rule(name=NAMES, ready=st.integers(0, 3))
    def pods_come_and_go(self, name, ready):
        if name in self.world.servers:
            wanted = self.world.servers[name].replicas
            self.world.servers[name] = ServerSeen(wanted, min(ready, wanted))

    @rule()
    def all_pods_are_ready(self):
        self.world.get_ready()

    @rule(name=st.one_of(NAMES, st.just("")))
    def the_specification_changes(self, name):
        self.world.target = name

    @rule(print_=st.sampled_from(["f", "g"]), paused=st.booleans())
    def the_rest_of_the_specification_changes(self, print_, paused):
        self.world.plan = replace(self.world.plan, fingerprint=print_, paused=paused)

    @rule(seconds=st.sampled_from([1, 10, 70, 600, 8000, -600]))
    def time_jumps(self, seconds):
        self.world.now += timedelta(seconds=seconds)

    @rule(accepted=st.booleans())
    def the_gateway_answers(self, accepted):
        self.world.accepted = accepted

    @rule(weight=st.integers(0, 100))
    def somebody_changes_the_route(self, weight):
        if self.world.shares and len(self.world.shares) == 2:
            first, second = self.world.shares
            self.world.shares = {first: 100 - weight, second: weight}

    @rule(requests=st.sampled_from([0, 5, 200, 2000]), rate=st.sampled_from([0.0, 0.01, 0.3]), name=NAMES)
    def traffic_flows(self, requests, rate, name):
        self.world.traffic(requests, {name: rate})

    @rule(lack=LACKS)
    def samples_go_missing(self, lack):
        self.world.missing = Missing(lack, "so it is") if lack else None

    @rule(name=NAMES)
    def counters_go_backwards(self, name):
        self.world.counts[name] = (0, 0)

    @rule(verb=st.sampled_from(VERBS), right=st.booleans())
    def somebody_asks(self, verb, right):
        saved = self.world.saved
        index = saved.step.index if saved.step else 0
        value = f"{saved.number}/{index}" if right else "7/x"
        self.world.verbs = (*(item for item in self.world.verbs if item.name != verb), Verb(verb, value))

    @precondition(lambda self: self.last is not None)
    @invariant()
    def a_breach_takes_the_traffic_back(self):
        seen, decision = self.last
        progress = decision.progress
        if progress.rolled_back and not seen.ready(progress.stable) and seen.ready(progress.canary):
            assert progress.weight <= seen.progress.weight

    def teardown(self):
        """With traffic, a calm world always ends."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.target, world.accepted, world.missing = world.target or "a", True, None
        world.plan = replace(world.plan, paused=False)
        for _ in range(60):
            world.go(60)
            self.help()
        progress = world.saved
        assert progress.trial is None, (progress.step, progress.hold, world.decide().waiting)
        assert progress.stable is not None
        assert world.shares == progress.split
        assert progress.accepted

    def help(self):
        """A person does what the rollout waits for."""
        saved = self.world.saved
        if saved.trial is None:
            return
        value = f"{saved.number}/{saved.trial.index}/{len(saved.history)}-{self.world.now:%H%M}"
        verb = "resume" if saved.hold else "promote"
        steps = self.world.plan.steps
        waits = saved.trial.index < len(steps) and steps[saved.trial.index] == Pause(None)
        self.world.verbs = (Verb(verb, value),) if saved.hold or waits else ()


def test_invariants_hold_in_random_histories():
    quick = settings(max_examples=10, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(LyingCluster, settings=quick)


@pytest.mark.slow
def test_invariants_hold_in_many_random_histories():
    run_state_machine_as_test(LyingCluster, settings=settings(max_examples=500, stateful_step_count=60, deadline=None))
