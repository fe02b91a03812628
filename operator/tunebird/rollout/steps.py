"""The steps of a trial: when each is done, how long it may take, and the promotion after the last. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from tunebird.rollout.counting import longest_tick_seconds, with_step_base
from tunebird.rollout.plan import Bake, OnDeadline, OnInconclusive, Pause, Plan, SetWeight, Step
from tunebird.rollout.progress import Hold, Holder, Measured, Progress, StepProgress
from tunebird.rollout.turn import Turn, capacity, label, retired, rolled_back

# The promotion waits so long for evidence that began anew, after an outage say, before it counts as inconclusive.
FRESH_INTERVALS = 3


def stepped(turn: Turn) -> Turn:
    """The trial one step further, if its step is done; held if it takes too long."""
    step = turn.progress.trial
    if step is None:
        return turn
    if turn.progress.hold or turn.progress.outage or turn.seen.plan.paused:
        return turn.but(replace(turn.progress, step=replace(step, ticked=None)))
    turn = _ticked(turn, step)
    waiting = waits_for(turn)
    if not waiting:
        return _finished(turn)
    return _inconclusive(turn) if _only_evidence_lacks(turn) else _overdue(turn)


def waits_for(turn: Turn) -> str:
    """What the step waits for, in words; empty when it is done."""
    step = turn.progress.trial
    if step is None:
        return ""
    plan = turn.seen.plan
    if step.index >= len(plan.steps):
        weight = plan.weight_at(step.index)
        return _waits_for_capacity(turn, 100) or _waits_for_route(turn, weight) or _waits_for_verdicts(turn)
    match plan.steps[step.index]:
        case SetWeight(weight=weight):
            return _waits_for_capacity(turn, weight) or _waits_for_route(turn, weight)
        case Bake() as bake:
            return _waits_for_route(turn, plan.weight_at(step.index)) or _waits_for_bake(turn, step, bake)
        case Pause(seconds=seconds):
            return _waits_for_time(turn, step, seconds)
        case _ as unreachable:
            assert_never(unreachable)


def deadline(plan: Plan, step: StepProgress) -> datetime | None:
    """When the step's time is up; a pause without a duration has all the time in the world."""
    if step.index < len(plan.steps) and isinstance(plan.steps[step.index], Pause):
        return None
    return step.started + timedelta(seconds=plan.own_seconds(step.index) + plan.progress_deadline)


def describe(plan: Plan, index: int) -> str:
    """A step for people: ``2 of 5: bake 1h``."""
    if index >= len(plan.steps):
        return f"promotion after {len(plan.steps)} steps"
    step = plan.steps[index]
    name = f" ({step.name})" if step.name else ""
    return f"{index} of {len(plan.steps)}: {action(step)}{name}"


def action(step: Step) -> str:
    """What a step does: ``setWeight 5``, ``bake 3600s``, ``pause``."""
    match step:
        case SetWeight(weight=weight):
            return f"setWeight {weight}"
        case Bake(seconds=seconds):
            return f"bake {seconds:g}s"
        case Pause(seconds=None):
            return "pause"
        case Pause(seconds=seconds):
            return f"pause {seconds:g}s"
        case _ as unreachable:
            assert_never(unreachable)


def _ticked(turn: Turn, step: StepProgress) -> Turn:
    """The bake clock runs only while the weight is what was asked for, and accepted.

    It is written down once an interval and at its end: a pass must not be a reason for the next one.
    """
    bake = _running_bake(turn, step)
    if bake is None:
        return turn.but(replace(turn.progress, step=replace(step, ticked=None)))
    added = _seconds_since(step.ticked, turn.seen.now, turn.seen.plan)
    between = step.ticked is not None and added < turn.seen.plan.analysis.interval
    if between and not step.baked_seconds < bake.seconds <= step.baked_seconds + added:
        return turn
    ticked = replace(step, baked_seconds=step.baked_seconds + added, ticked=turn.seen.now)
    return turn.but(replace(turn.progress, step=ticked))


def _running_bake(turn: Turn, step: StepProgress) -> Bake | None:
    """The bake whose clock runs now: its weight is accepted and its canary ready."""
    plan, progress = turn.seen.plan, turn.progress
    bake = plan.steps[step.index] if step.index < len(plan.steps) else None
    at_weight = progress.accepted and progress.weight == plan.weight_at(step.index)
    running = at_weight and _routed(turn) and turn.seen.ready(progress.canary) > 0
    return bake if running and isinstance(bake, Bake) else None


def _seconds_since(then: datetime | None, now: datetime, plan: Plan) -> float:
    longest = longest_tick_seconds(plan)
    return min(max(0.0, (now - then).total_seconds()), longest) if then else 0.0


def _routed(turn: Turn) -> bool:
    """Whether the live route is as asked and accepted at this moment."""
    route = turn.seen.route
    return route is not None and route.accepted and route.shares == turn.progress.split


def _waits_for_capacity(turn: Turn, weight: int) -> str:
    needed = capacity(turn.seen.plan, weight) if weight else 1
    ready = turn.seen.ready(turn.progress.canary)
    if ready >= needed:
        return ""
    found = turn.seen.trouble(turn.progress.canary)
    why = f" ({found.sentence})" if found else ""
    return f"{needed} ready canary pods for weight {weight}, there are {ready}{why}"


def _waits_for_route(turn: Turn, weight: int) -> str:
    progress, route = turn.progress, turn.seen.route
    if progress.weight == weight and progress.accepted:
        return ""
    if route is None or route.accepted:
        return f"the route to carry weight {weight}"
    return f"the route to be accepted: {route.message}"


def _waits_for_bake(turn: Turn, step: StepProgress, bake: Bake) -> str:
    if step.baked_seconds < bake.seconds:
        return f"{bake.seconds:g}s of baking"
    return _waits_for_verdicts(turn)


def _waits_for_verdicts(turn: Turn) -> str:
    missing = [verdict for verdict in turn.verdicts if not verdict.passed]
    return "; ".join(f"{verdict.sli}: {verdict.reason}" for verdict in missing)


def _waits_for_time(turn: Turn, step: StepProgress, seconds: float | None) -> str:
    if seconds is None:
        return f'the verb promote: annotate tunebird.dev/promote="{turn.progress.number}/{step.index}"'
    over = turn.seen.now - step.started >= timedelta(seconds=seconds)
    return "" if over else f"{seconds:g}s to go by"


def _only_evidence_lacks(turn: Turn) -> bool:
    step, plan = turn.progress.trial, turn.seen.plan
    if step is None or not _waits_for_verdicts(turn):
        return False
    at_weight = not _waits_for_route(turn, plan.weight_at(step.index))
    if step.index >= len(plan.steps):
        waited = (turn.seen.now - step.started).total_seconds() >= FRESH_INTERVALS * plan.analysis.interval
        return at_weight and waited and not _waits_for_capacity(turn, 100)
    current = plan.steps[step.index]
    return isinstance(current, Bake) and at_weight and step.baked_seconds >= current.seconds


def _inconclusive(turn: Turn) -> Turn:
    """The step's time is over but verdicts are missing: as the specification says."""
    message = _waits_for_verdicts(turn)
    match turn.seen.plan.analysis.on_inconclusive:
        case OnInconclusive.HOLD:
            return _overdue(turn)
        case OnInconclusive.PAUSE:
            return held(turn, Holder.INCONCLUSIVE, f"no verdict: {message}")
        case OnInconclusive.ROLLBACK:
            turn = turn.say("AnalysisInconclusive", message, "Warning")
            return rolled_back(turn, "AnalysisInconclusive", f"no verdict: {message}")
        case _ as unreachable:
            assert_never(unreachable)


def held(turn: Turn, holder: Holder, message: str) -> Turn:
    """The steps stand until `resume`."""
    progress = replace(turn.progress, hold=Hold(holder, message))
    turn = turn.but(progress)
    return (
        turn if holder in (Holder.VERB, Holder.DEADLINE, Holder.BREACH) else turn.say(str(holder), message, "Warning")
    )


def _overdue(turn: Turn) -> Turn:
    step, plan = turn.progress.trial, turn.seen.plan
    assert step is not None
    end = deadline(plan, step)
    if end is None or turn.seen.now < end:
        return turn
    message = (
        f"Rollout {turn.progress.number}: step {describe(plan, step.index)} is overdue, it waits for {waits_for(turn)}"
    )
    turn = turn.say("DeadlineExceeded", message, "Warning")
    match plan.on_deadline:
        case OnDeadline.PAUSE:
            return held(turn, Holder.DEADLINE, message)
        case OnDeadline.ROLLBACK:
            return rolled_back(turn, "DeadlineExceeded", message)
        case _ as unreachable:
            assert_never(unreachable)


def _finished(turn: Turn) -> Turn:
    step, plan, progress = turn.progress.trial, turn.seen.plan, turn.progress
    assert step is not None
    if step.index >= len(plan.steps):
        return _promoted(turn)
    if isinstance(plan.steps[step.index], Bake) and turn.verdicts:
        text = "; ".join(verdict.message for verdict in turn.verdicts)
        turn = turn.say("AnalysisPassed", f"Rollout {progress.number}: step {step.index}: {text}")
    following = StepProgress(step.index + 1, turn.seen.now)
    progress = replace(turn.progress, step=following, measured=with_step_base(progress.measured))
    return turn.but(progress).say("StepStarted", f"Rollout {progress.number}: step {describe(plan, following.index)}")


def _promoted(turn: Turn) -> Turn:
    """The canary becomes stable with one write of the route; the old servers stay for a while."""
    progress = turn.progress
    old, new = progress.stable, progress.canary
    assert old is not None
    assert new is not None
    text = (
        f"Rollout {progress.number}: {label(new)} is stable now; weight {progress.weight} → 100; before: {label(old)}"
    )
    promoted: Progress = replace(
        progress,
        stable=new,
        canary=None,
        step=None,
        weight=0,
        accepted=False,
        retiring=retired(turn, old),
        measured=Measured(),
    )
    return turn.but(promoted).say("Promoted", text)
