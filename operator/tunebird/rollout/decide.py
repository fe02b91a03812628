"""The decision: from all that was seen to the progress to save and the world to make. Pure, and the same every time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import assert_never

from tunebird.rollout.analysis import Verdict
from tunebird.rollout.counting import measured, restarted
from tunebird.rollout.plan import Limit, OnBreach
from tunebird.rollout.progress import Holder, Measured, Notice, Outage, Progress, Revision, StepProgress
from tunebird.rollout.steps import deadline, describe, held, stepped, waits_for
from tunebird.rollout.turn import Observed, Turn, capacity, first_step, label, retired, rolled_back
from tunebird.rollout.verbs import obeyed

# When both arms fail the canary keeps its traffic this long; then stable has it all until it is well.
OUTAGE_HOLD = timedelta(minutes=5)
RECOVERY_EVENTS = 20

IDLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Decision:
    """`replicas` by revision; a revision that is not named is left alone. `waiting` is for people."""

    progress: Progress
    notices: tuple[Notice, ...]
    verdicts: tuple[Verdict, ...]
    replicas: tuple[tuple[str, int], ...]
    waiting: str
    recheck_seconds: float


def decide(seen: Observed) -> Decision:
    """One pass, from what was measured to what is asked for."""
    turn = Turn(seen, seen.progress)
    stages = (_sampled, obeyed, _targeted, _troubled, _shadowed, _pausing, _recovering, _judged, stepped, _weighed)
    for stage in (*stages, _accepted):
        turn = stage(turn)
    turn = _tidied(turn)
    return Decision(
        progress=turn.progress,
        notices=turn.notices,
        verdicts=turn.verdicts if turn.progress.measured.evidence else (),
        replicas=_replicas(turn),
        waiting=_waiting(turn),
        recheck_seconds=_recheck(turn),
    )


def _sampled(turn: Turn) -> Turn:
    if turn.seen.round is None or turn.arms is None:
        return turn
    found = measured(turn.progress.measured, turn.seen.plan, turn.arms, turn.seen.round)
    return turn.but(replace(turn.progress, measured=found))


def _targeted(turn: Turn) -> Turn:
    """The revision that the specification names, if it is another than the one in hand."""
    target, progress = turn.seen.target, turn.progress
    if target is None:
        return turn
    if progress.stable is not None and target.name == progress.stable.name:
        return _withdrawn(turn) if progress.canary else turn
    if progress.canary is None:
        return _begun(turn, target)
    if progress.canary.name != target.name:
        return _begun(_superseded(turn, target), target)
    if progress.rolled_back and progress.rolled_back.fingerprint != turn.seen.plan.fingerprint:
        return _begun(turn, target)
    return turn


def _begun(turn: Turn, target: Revision) -> Turn:
    """A new rollout, with the next number. Without a stable revision it goes straight there once it is ready."""
    known = next(
        (item for item in (turn.progress.canary, turn.progress.stable) if item and item.name == target.name), target
    )
    progress = replace(
        turn.progress,
        number=turn.progress.number + 1,
        started=turn.seen.now,
        canary=known,
        step=first_step(turn),
        weight=0,
        accepted=False,
        rolled_back=None,
        hold=None,
        outage=None,
        retiring=tuple(item for item in turn.progress.retiring if item.revision != target.name),
        measured=Measured(),
    )
    before = f", stable is {label(progress.stable)}" if progress.stable else ", the first"
    source = f" of FineTuneJob {target.job}" if target.job else ""
    turn = turn.but(progress)
    turn = turn.say("RolloutStarted", f"Rollout {progress.number}: {label(target)}{source}{before}")
    if progress.stable is None:
        return turn
    return turn.say("StepStarted", f"Rollout {progress.number}: step {describe(turn.seen.plan, 0)}")


def _superseded(turn: Turn, target: Revision) -> Turn:
    progress = turn.progress
    assert progress.canary is not None
    turn = turn.but(replace(progress, retiring=retired(turn, progress.canary)))
    if progress.rolled_back:
        return turn
    text = (
        f"Rollout {progress.number}: {label(progress.canary)} gives way to {label(target)} at weight {progress.weight}"
    )
    return turn.say("RolloutSuperseded", text)


def _withdrawn(turn: Turn) -> Turn:
    """The specification names the stable revision again: the canary goes."""
    assert turn.seen.target is not None
    turn = _superseded(turn, turn.seen.target)
    progress = replace(
        turn.progress, canary=None, step=None, weight=0, accepted=False, rolled_back=None, hold=None, outage=None,
        measured=Measured(),
    )  # fmt: skip
    return turn.but(progress)


def _troubled(turn: Turn) -> Turn:
    """What keeps servers from getting ready is told once for each revision and reason."""
    for revision in (turn.progress.canary, turn.progress.stable):
        found = turn.seen.trouble(revision)
        if found is None or revision is None:
            continue
        start = f"Rollout {turn.progress.number}: {label(revision)} is not ready: "
        if not any(line.message.startswith(f"{start}{found.reason}") for line in turn.progress.history):
            turn = turn.say("ServerNotReady", f"{start}{found.sentence}", "Warning")
    return turn


def _shadowed(turn: Turn) -> Turn:
    """That another rollout's route gets the requests is told once for each such route."""
    found = turn.seen.route.shadow if turn.seen.route else ""
    if not found or any(line.message == found for line in turn.progress.history):
        return turn
    return turn.say("RouteShadowed", found, "Warning")


def _pausing(turn: Turn) -> Turn:
    """`Paused` and `Resumed` when the steps stop and go on, whatever the cause."""
    progress, plan = turn.progress, turn.seen.plan
    paused = progress.trial is not None and (plan.paused or progress.hold is not None)
    if paused == progress.paused:
        return turn
    cause = progress.hold.message if progress.hold else "spec.paused"
    step = replace(progress.step, started=turn.seen.now) if progress.step and not paused else progress.step
    turn = turn.but(replace(progress, paused=paused, step=step))
    if progress.trial is None:
        return turn
    text = f"Rollout {progress.number} at weight {progress.weight}"
    return turn.say("Paused", f"{text}: {cause}") if paused else turn.say("Resumed", text)


def _recovering(turn: Turn) -> Turn:
    """After an outage the step is repeated, as soon as stable answers well again."""
    outage, step = turn.progress.outage, turn.progress.trial
    if outage is None or step is None:
        return turn
    sli = next((sli for sli in turn.seen.plan.analysis.slis if sli.name == outage.sli), None)
    known = next((item for item in turn.progress.measured.evidence if item.sli == outage.sli), None)
    if sli is None or known is None or not isinstance(sli.rule, Limit):
        return turn.but(replace(turn.progress, outage=None))
    recent = known.stable.minus(outage.stable)
    if recent.total < RECOVERY_EVENTS:
        return turn
    if recent.failures > sli.rule.maximum * recent.total:
        return turn.but(replace(turn.progress, outage=replace(outage, stable=known.stable)))
    again = StepProgress(step.index, turn.seen.now)
    found = restarted(turn.progress.measured)
    progress = replace(turn.progress, outage=None, step=again, measured=found)
    return turn.but(progress).say("OutageEnded", f"Rollout {progress.number}: step {step.index} is repeated")


def _judged(turn: Turn) -> Turn:
    """A failed SLI takes the traffic back, whatever the step is, unless stable fails in the same way."""
    progress = turn.progress
    held_by_breach = progress.hold is not None and progress.hold.holder is Holder.BREACH
    if progress.trial is None or progress.outage or held_by_breach:
        return turn
    failed = next((verdict for verdict in turn.verdicts if verdict.failed), None)
    if failed is None:
        return turn
    return _outage(turn, failed) if failed.outage else _breached(turn, failed)


def _outage(turn: Turn, failed: Verdict) -> Turn:
    progress = replace(turn.progress, outage=Outage(turn.seen.now, failed.sli, failed.stable))
    text = f"Rollout {progress.number}: stable fails too, so nobody is blamed and the steps wait: {failed.message}"
    return turn.but(progress).say("OutageDetected", text, "Warning")


def _breached(turn: Turn, failed: Verdict) -> Turn:
    progress = turn.progress
    assert progress.canary is not None
    text = f"Rollout {progress.number} at weight {progress.weight}, {label(progress.canary)}: {failed.message}"
    turn = turn.say("SLIBreached", text, "Warning")
    match turn.seen.plan.analysis.on_breach:
        case OnBreach.ROLLBACK:
            return rolled_back(turn, "SLIBreached", failed.message)
        case OnBreach.PAUSE:
            return held(turn, Holder.BREACH, failed.message)
        case _ as unreachable:
            assert_never(unreachable)


def _weighed(turn: Turn) -> Turn:
    """The canary's share: the one rule by which traffic moves."""
    progress = turn.progress
    if progress.stable is None:
        return _first_promoted(turn)
    if progress.canary is None:
        return turn
    weight = _weight(turn)
    turn = _stable_unavailable(turn, weight)
    if weight == progress.weight:
        return turn
    change = f"weight {progress.weight} → {weight} for {label(progress.canary)}"
    text = f"Rollout {progress.number}: {change}{_why(turn, weight)}"
    return turn.but(replace(turn.progress, weight=weight, accepted=False)).say("TrafficShifted", text)


def _weight(turn: Turn) -> int:
    """Nothing to a canary that is not available; never up before its capacity is there."""
    seen, progress = turn.seen, turn.progress
    ready = seen.ready(progress.canary)
    if ready == 0:
        return 0
    if progress.rolled_back or progress.step is None:
        return 0 if seen.ready(progress.stable) else progress.weight
    if progress.outage and seen.now - progress.outage.since >= OUTAGE_HOLD:
        return 0
    wanted = seen.plan.weight_at(progress.step.index)
    if wanted <= progress.weight:
        return wanted
    if seen.plan.paused or progress.hold or progress.outage:
        return progress.weight
    return wanted if ready >= capacity(seen.plan, wanted) else progress.weight


def _why(turn: Turn, weight: int) -> str:
    if weight == 0 and turn.seen.ready(turn.progress.canary) == 0:
        return ", which has no ready pod"
    return ""


def _stable_unavailable(turn: Turn, weight: int) -> Turn:
    """Said once: the canary is given up but stable has no pod that could take its traffic."""
    ended = turn.progress.rolled_back
    if ended is None or ended.stable_unavailable == (weight > 0):
        return turn
    turn = turn.but(replace(turn.progress, rolled_back=replace(ended, stable_unavailable=weight > 0)))
    if weight == 0:
        return turn
    text = f"Rollout {turn.progress.number}: weight {weight} is held, stable has no ready pod to take the traffic"
    return turn.say("StableUnavailable", text, "Warning")


def _first_promoted(turn: Turn) -> Turn:
    progress, plan = turn.progress, turn.seen.plan
    if progress.canary is None or turn.seen.ready(progress.canary) < max(1, plan.server.replicas):
        return _first_overdue(turn)
    promoted = replace(progress, stable=progress.canary, canary=None, step=None, accepted=False, measured=Measured())
    text = f"Rollout {progress.number}: {label(progress.canary)} is stable, the first to be served"
    return turn.but(promoted).say("Promoted", text)


def _first_overdue(turn: Turn) -> Turn:
    step, plan = turn.progress.step, turn.seen.plan
    if step is None or step.overdue or turn.seen.now < step.started + timedelta(seconds=plan.progress_deadline):
        return turn
    turn = turn.but(replace(turn.progress, step=replace(step, overdue=True)))
    return turn.say("DeadlineExceeded", f"Rollout {turn.progress.number}: {_waiting(turn)}", "Warning")


def _accepted(turn: Turn) -> Turn:
    """Whether the data plane has taken what was asked for; a route that somebody changed is put right."""
    progress, route = turn.progress, turn.seen.route
    if progress.stable is None:
        return turn
    as_asked = route is not None and route.shares == progress.split
    if progress.accepted and not as_asked:
        text = f"The route was changed to {_shares(turn)}; it goes back to weight {progress.weight}"
        return turn.but(replace(progress, accepted=False)).say("DriftCorrected", text, "Warning")
    accepted = as_asked and route is not None and route.accepted
    if accepted == progress.accepted:
        return turn
    turn = turn.but(replace(progress, accepted=accepted))
    return _told(turn) if accepted else turn


def _shares(turn: Turn) -> str:
    shares = turn.seen.route.shares if turn.seen.route else {}
    return ", ".join(f"{name} {share}" for name, share in sorted(shares.items())) if shares else "something else"


def _told(turn: Turn) -> Turn:
    """What an accepted route means depends on where the rollout is."""
    progress = turn.progress
    if progress.canary is None:
        text = f"Rollout {progress.number}: all traffic goes to {label(progress.stable)}" if progress.stable else ""
        return turn.say("RolloutCompleted", text) if _last_of(progress, _ENDS) == "Promoted" else turn
    if progress.rolled_back:
        text = f"Rollout {progress.number}: all traffic is back at stable: {progress.rolled_back.message}"
        back = progress.weight == 0 and _last_of(progress, _ENDS) == "RollbackStarted"
        return turn.say("RolledBack", text, "Warning") if back else turn
    return turn.say("TrafficAccepted", f"Rollout {progress.number}: weight {progress.weight} is accepted")


_ENDS = ("Promoted", "RolloutCompleted", "RolloutSuperseded", "RollbackStarted", "RolledBack")


def _last_of(progress: Progress, reasons: tuple[str, ...]) -> str:
    """The newest line of the story that has one of these reasons."""
    return next((notice.reason for notice in reversed(progress.history) if notice.reason in reasons), "")


def _tidied(turn: Turn) -> Turn:
    """Servers whose time is up go, but never before the traffic has really left them."""
    if not turn.progress.accepted and turn.progress.stable is not None:
        return turn
    kept = tuple(item for item in turn.progress.retiring if item.until > turn.seen.now)
    return turn.but(replace(turn.progress, retiring=kept))


def _replicas(turn: Turn) -> tuple[tuple[str, int], ...]:
    """Pods by revision: stable as the specification says, the canary as its weight needs, the others none."""
    seen, progress = turn.seen, turn.progress
    keep = {item.revision for item in progress.retiring}
    wanted = {name: 0 for name in seen.servers if name not in keep}
    if progress.canary is not None:
        wanted.pop(progress.canary.name, None)
        wanted.update(_canary_replicas(turn, progress.canary))
    if progress.stable is not None:
        wanted[progress.stable.name] = seen.plan.server.replicas
    return tuple(sorted(wanted.items()))


def _canary_replicas(turn: Turn, canary: Revision) -> dict[str, int]:
    seen, progress = turn.seen, turn.progress
    if progress.stable is None or progress.step is None:
        return {canary.name: seen.plan.server.replicas}
    if progress.rolled_back is not None:
        delay = timedelta(seconds=seen.plan.scale_down_delay)
        gone = progress.accepted and progress.weight == 0 and seen.now - progress.rolled_back.time >= delay
        return {canary.name: 0} if gone else {}
    index = progress.step.index
    weight = 100 if index >= len(seen.plan.steps) else max(progress.weight, seen.plan.weight_at(index))
    return {canary.name: capacity(seen.plan, weight)}


def _waiting(turn: Turn) -> str:
    progress, seen = turn.progress, turn.seen
    if seen.target is None:
        return seen.waiting
    if progress.stable is None and progress.canary is not None:
        ready, wanted = seen.ready(progress.canary), max(1, seen.plan.server.replicas)
        found = seen.trouble(progress.canary)
        why = f"; {found.sentence}" if found else ""
        return f"{label(progress.canary)} to be ready: {ready} of {wanted} pods are{why}"
    return waits_for(turn)


def _recheck(turn: Turn) -> float:
    """Until the next thing that only time brings."""
    seen, progress = turn.seen, turn.progress
    moments = [item.until for item in progress.retiring]
    if progress.rolled_back:
        moments.append(progress.rolled_back.time + timedelta(seconds=seen.plan.scale_down_delay))
    if progress.trial and (end := deadline(seen.plan, progress.trial)):
        moments.append(end)
    waits = [(moment - seen.now).total_seconds() for moment in moments]
    waits = [IDLE_SECONDS, *(wait for wait in waits if wait > 0)]
    return min(*waits, seen.plan.analysis.interval) if progress.trial else min(waits)
