"""From counters as they stand to tallies of what happened since, through restarts, new pods and resets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from tunebird.metrics.provider import Count, Counts, Lack, Missing, Reading, Sample, Value
from tunebird.rollout.evidence import LimitTest, Tally, advanced, again, begun
from tunebird.rollout.plan import Limit, Plan, Sli
from tunebird.rollout.progress import Baseline, Evidence, Measured, PodBaseline

LONGEST_TICK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class PodSeen:
    """A server pod as the API server shows it; `restarts` are its container's."""

    name: str
    revision: str
    ip: str
    ready: bool
    restarts: int
    started: datetime


@dataclass(frozen=True, slots=True)
class Round:
    """One round of sampling: each arm's samples by provider, and the pods of the moment."""

    time: datetime
    canary: Mapping[str, Sample]
    stable: Mapping[str, Sample]
    pods: tuple[PodSeen, ...]


@dataclass(frozen=True, slots=True)
class Arms:
    """Names of the two revisions."""

    canary: str
    stable: str


def measured(before: Measured, plan: Plan, arms: Arms, seen: Round) -> Measured:
    """`before` with one round of sampling added; the first round is the baseline."""
    if before.since is None:
        before = Measured(since=seen.time, sampled=seen.time)
    running = _running(seen)
    lost = {revision: _lost(before, seen, revision) for revision in (arms.canary, arms.stable)}
    seconds = before.seconds + _tick(before, plan, seen)
    rounds = [_judged(before, plan, arms, seen, sli, lost) for sli in plan.analysis.slis]
    evidence = tuple(
        _advanced(item, plan, sli, seconds) for (item, _), sli in zip(rounds, plan.analysis.slis, strict=True)
    )
    return Measured(
        since=before.since,
        sampled=seen.time,
        seconds=seconds,
        evidence=evidence,
        baselines=tuple(baseline for _, baselines in rounds for baseline in baselines),
        pods=tuple(PodBaseline(pod.name, pod.restarts, running.get(pod.name, 0.0)) for pod in seen.pods),
    )


def restarted(before: Measured) -> Measured:
    """The same counts with detectors that begin anew: after an outage, or when a person resumes after a breach."""
    return replace(before, evidence=tuple(_anew(item) for item in before.evidence))


def _anew(item: Evidence) -> Evidence:
    started = bool(item.detector.starts)
    detector = again(item.detector, item.canary, item.stable) if started else item.detector
    return replace(item, detector=detector, since=item.canary)


def with_step_base(before: Measured) -> Measured:
    """With the step's own counts starting here."""
    return replace(before, evidence=tuple(replace(item, step_base=item.canary) for item in before.evidence))


def evidence_of(found: Measured, sli: str) -> Evidence:
    """What is known of an SLI; nothing if it was never sampled."""
    return next((item for item in found.evidence if item.sli == sli), Evidence(sli))


def longest_tick_seconds(plan: Plan) -> float:
    """A gap in watching (the operator was away, the clock jumped) adds at most this to a clock."""
    return max(LONGEST_TICK_SECONDS, 2 * plan.analysis.interval)


def _tick(before: Measured, plan: Plan, seen: Round) -> float:
    assert before.sampled is not None
    return min(max(0.0, (seen.time - before.sampled).total_seconds()), longest_tick_seconds(plan))


def _running(seen: Round) -> dict[str, float]:
    samples = (*seen.canary.values(), *seen.stable.values())
    counts = (count for sample in samples for reading in sample.readings.values() for count in _sources(reading))
    return {count.source: count.running for count in counts}


def _sources(reading: Reading | None) -> tuple[Count, ...]:
    return reading.by_source if isinstance(reading, Counts) else ()


def _lost(before: Measured, seen: Round, revision: str) -> Tally:
    """Requests that died with a container: those it was working on last, at least one for each restart."""
    known = {pod.pod: pod for pod in before.pods}
    lost = 0.0
    for pod in seen.pods:
        last = known.get(pod.name)
        new = pod.started > (before.since or seen.time)
        restarts = pod.restarts - (last.restarts if last else 0 if new else pod.restarts)
        if pod.revision == revision and restarts > 0:
            lost += max(restarts, last.running if last else 0)
    return Tally(lost, lost)


def _judged(
    before: Measured, plan: Plan, arms: Arms, seen: Round, sli: Sli, lost: Mapping[str, Tally]
) -> tuple[Evidence, tuple[Baseline, ...]]:
    known = evidence_of(before, sli.name)
    canary, stable = (_reading(samples, sli) for samples in (seen.canary, seen.stable))
    old = {item.source: item for item in before.baselines if item.sli == sli.name}
    canary_added, reset = _added(canary, old, before, seen)
    stable_added, _ = _added(stable, old, before, seen)
    if isinstance(sli.rule, Limit):
        canary_added, stable_added = canary_added.plus(lost[arms.canary]), stable_added.plus(lost[arms.stable])
    found = replace(known, canary=known.canary.plus(canary_added), stable=known.stable.plus(stable_added))
    return _noted(found, canary, reset, seen.time), _baselines(sli.name, old, canary, stable)


def _reading(samples: Mapping[str, Sample], sli: Sli) -> Reading:
    sample = samples.get(sli.provider, Sample())
    reading = sample.readings.get(sli.name)
    return reading if reading is not None else Missing(Lack.NO_DATA, f"provider {sli.provider} has no {sli.name}")


def _added(reading: Reading, old: Mapping[str, Baseline], before: Measured, seen: Round) -> tuple[Tally, str]:
    """What the counters have grown by, and the source that went backwards without a new process, if any."""
    added, reset = Tally(), ""
    for count in _sources(reading):
        base = old.get(count.source)
        if base is None:
            added = added.plus(_from_nothing(count, before, seen))
        elif _reborn(count, base, before, seen):
            added = added.plus(Tally(count.failures, count.total))
        elif count.total < base.total or count.failures < base.failures:
            reset = count.source
        else:
            added = added.plus(Tally(count.failures - base.failures, count.total - base.total))
    return added, reset


def _from_nothing(count: Count, before: Measured, seen: Round) -> Tally:
    """A source that was not seen before counts from zero if its pod is newer than the measuring, else from here."""
    assert before.since is not None
    new = any(pod.name == count.source and pod.started > before.since for pod in seen.pods)
    return Tally(count.failures, count.total) if new else Tally()


def _reborn(count: Count, base: Baseline, before: Measured, seen: Round) -> bool:
    if count.born and base.born:
        return abs(count.born - base.born) > 1
    then = next((pod.restarts for pod in before.pods if pod.pod == count.source), None)
    now = next((pod.restarts for pod in seen.pods if pod.name == count.source), None)
    return then is not None and now is not None and now > then and count.total < base.total


def _noted(found: Evidence, canary: Reading, reset: str, time: datetime) -> Evidence:
    if reset:
        message = f"the counters of {reset} went backwards without a restart"
        return replace(found, reason=str(Lack.COUNTER_RESET), message=message)
    match canary:
        case Missing(lack, message):
            return replace(found, reason=str(lack), message=message)
        case Value(number):
            return replace(found, value=number, fresh=time, reason="", message="")
        case Counts(lacking=Missing(lack, message)):
            return replace(found, reason=str(lack), message=message)
        case Counts():
            return replace(found, fresh=time, reason="", message="")


def _baselines(sli: str, old: Mapping[str, Baseline], *readings: Reading) -> tuple[Baseline, ...]:
    """The newest counters; a source that did not answer keeps its old ones: nothing is lost or counted twice."""
    counts = [count for reading in readings for count in _sources(reading)]
    new = {item.source: Baseline(sli, item.source, item.failures, item.total, item.born) for item in counts}
    return tuple({**old, **new}.values())


def limit_test(plan: Plan, rule: Limit, known: Evidence) -> LimitTest:
    """The test of an SLI, on counts that are worth less where failures clump."""
    return LimitTest(rule.maximum, plan.planned_seconds, known.clumps.design_effect(known.canary.total))


def _advanced(item: Evidence, plan: Plan, sli: Sli, seconds: float) -> Evidence:
    if not isinstance(sli.rule, Limit):
        return item
    if not item.detector.starts:
        return replace(item, detector=begun(Tally(), Tally()))
    item = replace(item, clumps=item.clumps.advanced(item.canary, item.stable, seconds))
    test = limit_test(plan, sli.rule, item)
    return replace(item, detector=advanced(item.detector, test, item.canary, item.stable, seconds))
