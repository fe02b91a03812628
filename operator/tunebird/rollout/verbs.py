"""Annotations by which people act on a rollout: each is obeyed or refused once. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from tunebird.rollout.counting import restarted
from tunebird.rollout.plan import Pause, Plan
from tunebird.rollout.progress import ConsumedVerb, Hold, Holder, Progress, StepProgress
from tunebird.rollout.turn import Turn, Verb, rolled_back

VERBS = ("promote", "abort", "retry", "skip-step", "pause", "resume")
REMEMBERED = 10
NOT_WHILE_INVALID = "the specification is not valid: correct what the message names first"


def obeyed(turn: Turn) -> Turn:
    """Every new verb, obeyed or answered with `VerbIgnored`."""
    for verb in turn.seen.verbs:
        if not _known(turn.progress, verb):
            refusal, answered = _answered(turn, verb)
            turn = _consumed(answered, verb, refusal)
    return turn


def ignored(verb: ConsumedVerb) -> str:
    """For people: why a verb did nothing."""
    return f"{verb.verb} {verb.value!r} was ignored: {verb.refusal}"


def _known(progress: Progress, verb: Verb) -> bool:
    return any((item.verb, item.value) == (verb.name, verb.value) for item in progress.consumed)


def _consumed(turn: Turn, verb: Verb, refusal: str) -> Turn:
    """Those whose annotation is still there are remembered first, or they would be answered again."""
    there = {(item.name, item.value) for item in turn.seen.verbs}
    items = (*turn.progress.consumed, ConsumedVerb(verb.name, verb.value, turn.seen.now, refusal))
    ordered = sorted(items, key=lambda item: ((item.verb, item.value) in there, item.time))
    return turn.but(replace(turn.progress, consumed=tuple(ordered[-REMEMBERED:])))


def _answered(turn: Turn, verb: Verb) -> tuple[str, Turn]:
    """Why the verb is refused, or nothing, and the turn with its effect."""
    result = _misread(turn, verb) or _ANSWERS[verb.name](turn)
    if isinstance(result, str):
        told = ignored(ConsumedVerb(verb.name, verb.value, turn.seen.now, result))
        return result, turn.say("VerbIgnored", told, "Warning")
    return "", result


def _misread(turn: Turn, verb: Verb) -> str:
    """Why the value is mistyped or stale, or nothing. `abort` and `pause` hold for any step of the rollout: they must
    never come too late. A third part, ``3/2/again``, is free: it makes the same verb in the same step a new one."""
    number, index = turn.progress.number, turn.progress.step.index if turn.progress.step else 0
    current = f"{number}/{index}"
    if verb.name not in _ANSWERS:
        return f"there is no such verb; use {', '.join(VERBS)}"
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,4})(/[-.A-Za-z0-9]{1,40})?", verb.value)
    if match is None:
        return f'write "<rollout>/<step>", now "{current}"'
    if int(match[1]) != number:
        return f"the rollout is {number}, not {match[1]}"
    if verb.name in ("promote", "skip-step", "resume") and int(match[2]) != index:
        return f"the step is {index}, not {match[2]}"
    return ""


def _promote(turn: Turn) -> Turn | str:
    step = turn.progress.trial
    if step is None:
        return "no rollout is running"
    if not isinstance(_step_of(turn.seen.plan, step), Pause):
        return f"step {step.index} is not a pause; use skip-step to leave it"
    return _next_step(turn, step, "promoted by a person")


def _skip_step(turn: Turn) -> Turn | str:
    step = turn.progress.trial
    if step is None:
        return "no rollout is running"
    if step.index >= len(turn.seen.plan.steps):
        return "all steps are done; the new model waits for its capacity and its verdicts"
    return _next_step(turn, step, "skipped by a person")


def _next_step(turn: Turn, step: StepProgress, how: str) -> Turn:
    progress = replace(turn.progress, step=StepProgress(step.index + 1, turn.seen.now), hold=None)
    return turn.but(progress).say("StepSkipped", f"Rollout {progress.number}: step {step.index} {how}")


def _abort(turn: Turn) -> Turn | str:
    if turn.progress.trial is None:
        return "no rollout is running that could go back"
    return rolled_back(turn, "Aborted", "aborted by a person")


def _pause(turn: Turn) -> Turn | str:
    if turn.progress.trial is None:
        return "no rollout is running"
    if turn.progress.hold is not None:
        return "the rollout is already held"
    return turn.but(replace(turn.progress, hold=Hold(Holder.VERB, "paused by a person")))


def _resume(turn: Turn) -> Turn | str:
    """The step's time starts again; after a breach the evidence does, too."""
    hold, step = turn.progress.hold, turn.progress.trial
    if hold is None or step is None:
        return "the rollout is not held (spec.paused is changed in the specification)"
    measured = turn.progress.measured
    progress = replace(
        turn.progress,
        hold=None,
        step=StepProgress(step.index, turn.seen.now, step.baked_seconds),
        measured=restarted(measured) if hold.holder is Holder.BREACH else measured,
    )
    return turn.but(progress)


def _retry(turn: Turn) -> Turn | str:
    if turn.progress.rolled_back is None:
        return "nothing was rolled back"
    ended = replace(turn.progress.rolled_back, fingerprint="")
    return turn.but(replace(turn.progress, rolled_back=ended))


def _step_of(plan: Plan, step: StepProgress) -> object:
    return plan.steps[step.index] if step.index < len(plan.steps) else None


_ANSWERS: dict[str, Callable[[Turn], Turn | str]] = {
    "promote": _promote,
    "abort": _abort,
    "retry": _retry,
    "skip-step": _skip_step,
    "pause": _pause,
    "resume": _resume,
}
