"""The status that a decision is shown by: the record, conditions and the phase that follows from them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tunebird.api.base import ConsumedVerb
from tunebird.api.jobstatus import AttemptStatus, Choice, DataStatus, FineTuneJobStatus, JobPhase, PlanStatus
from tunebird.finetune.decide import waiting_for
from tunebird.finetune.endings import EVALUATED, gate_sentence
from tunebird.finetune.manifests import child_name
from tunebird.finetune.plan import Plan
from tunebird.finetune.state import STOPPING, Attempt, Observed, Record
from tunebird.kube.conditions import Condition, ConditionStatus, conditions_of, set_condition, timestamp, without
from tunebird.kube.meta import Manifest
from tunebird.kube.summary import shortened

PREPARING = frozenset({"load", "data"})
TRAINED_FROM = frozenset({"train", "save", "convert", "evaluate", "publish", "done"})
PHASES = {
    "load": "loading the model",
    "data": "preparing the data",
    "train": "training",
    "save": "saving",
    "convert": "converting",
    "evaluate": "evaluating",
    "publish": "publishing",
    "done": "done",
}


@dataclass(frozen=True, slots=True)
class Aspect:
    """A condition before it has its times."""

    type: str
    status: ConditionStatus
    reason: str
    message: str


def status(before: Manifest, seen: Observed, record: Record, plan: Plan | None) -> dict[str, Any]:
    """The whole status of a job as JSON, the same for the same world and record."""
    now = replace(seen, record=record)
    aspects = tuple(_aspects(now, record))
    return {
        **_tidy(_model(before, now, record, plan).manifest()),
        "conditions": [condition.manifest() for condition in _conditions(before, now, aspects)],
    }


def _model(before: Manifest, seen: Observed, record: Record, plan: Plan | None) -> FineTuneJobStatus:
    saved = FineTuneJobStatus.model_validate({**before, "conditions": []})
    artifact = record.artifact
    data = DataStatus(digest=artifact.data_digest) if artifact is not None else None
    return FineTuneJobStatus(
        observed_generation=seen.generation,
        phase=phase(seen, record),
        reason=_reason(seen, record),
        message=_message(seen, record),
        summary=shortened(_message(seen, record)),
        start_time=_stamp(record.start_time),
        completion_time=_stamp(record.completion_time),
        cleanup_time=_stamp(record.cleanup_time),
        restarts=record.restarts,
        plan=plan_status(plan) if plan is not None and record.outcome is None else saved.plan,
        references=record.references,
        evaluation=record.evaluation,
        attempts=tuple(_attempt(seen.name, attempt) for attempt in record.attempts),
        progress=record.progress,
        data=data,
        artifact=artifact,
        consumed_verbs=tuple(
            ConsumedVerb(verb=verb.name, value=verb.value, time=timestamp(verb.time), refusal=verb.refusal)
            for verb in record.verbs
        ),
    )


def plan_status(plan: Plan) -> PlanStatus:
    """The plan as the status shows it."""
    return PlanStatus(
        summary=plan.summary,
        hash=plan.hash,
        objective=plan.method.objective,
        tuning=plan.method.tuning,
        quantization=plan.method.quantization,
        choices=tuple(Choice(field=each.field, value=each.value, reason=each.reason) for each in plan.choices),
        warnings=plan.warnings,
    )


def _attempt(job: str, attempt: Attempt) -> AttemptStatus:
    return AttemptStatus(
        number=attempt.number,
        job_name=child_name(job, attempt.number),
        job_uid=attempt.job_uid,
        created=timestamp(attempt.created),
        start=_stamp(attempt.start),
        end=_stamp(attempt.end),
        reason=attempt.reason,
        message=attempt.message[:4096],
        exit_code=attempt.exit_code,
        checkpoint=attempt.checkpoint,
        counted=attempt.counted,
    )


def _stamp(moment: datetime | None) -> str | None:
    return timestamp(moment) if moment is not None else None


def _tidy(body: dict[str, Any]) -> dict[str, Any]:
    """Without empty texts, lists and objects: what is not known is not shown."""
    return {key: _tidied(value) for key, value in body.items() if value not in ("", [], {}) and key != "conditions"}


def _tidied(value: object) -> object:
    if isinstance(value, dict):
        return _tidy(value)
    return [_tidied(item) for item in value] if isinstance(value, list) else value


def phase(seen: Observed, record: Record) -> JobPhase:
    """One word for people, from what the conditions say."""
    if record.outcome is not None:
        return JobPhase.SUCCEEDED if record.outcome.succeeded else JobPhase.FAILED
    if record.refused:
        return JobPhase.PENDING
    live = record.live
    if seen.intent.suspend and (live is None or live.start is None):
        return JobPhase.SUSPENDED
    if live is None:
        return JobPhase.PLANNED if record.attempts else JobPhase.PENDING
    if live.start is None:
        return JobPhase.PENDING
    if _evaluating(record, live):
        return JobPhase.EVALUATING
    preparing = record.progress is None or record.progress.attempt != live.number or record.progress.phase in PREPARING
    return JobPhase.PREPARING if preparing else JobPhase.RUNNING


def _evaluating(record: Record, live: Attempt) -> bool:
    """After the last step: the validations in between are part of training."""
    progress = record.progress
    if progress is None or progress.attempt != live.number:
        return False
    return progress.phase == "evaluate" and progress.step >= progress.of > 0


def _reason(seen: Observed, record: Record) -> str:
    """Why it is in its phase, for `kubectl get`; nothing where the phase says all."""
    if record.outcome is not None:
        return record.outcome.reason
    if record.refused:
        return "InvalidSpec"
    pods = _pods_ready(seen, record)
    return "" if pods.status == "True" else pods.reason


def _message(seen: Observed, record: Record) -> str:
    if record.outcome is not None:
        return record.outcome.message[:4096]
    if record.refused:
        return record.refused[:4096]
    pods = _pods_ready(seen, record)
    return (_doing(record) if pods.status == "True" else "") or pods.message[:4096]


def _doing(record: Record) -> str:
    """What the trainer does now, as it last said: at the last step minutes of saving and evaluating may follow."""
    progress, live = record.progress, record.live
    if progress is None or live is None or progress.attempt != live.number or not progress.phase:
        return ""
    step = f", step {progress.step} of {progress.of}" if progress.of else ""
    activity = f": {progress.activity}" if progress.activity else ""
    return f"Attempt {live.number}: {PHASES.get(progress.phase, progress.phase)}{step}{activity}"


def _aspects(seen: Observed, record: Record) -> Iterator[Aspect]:
    yield _data_ready(record)
    if record.refused:
        yield Aspect("Planned", "False", "InvalidSpec", record.refused)
    else:
        yield Aspect("Planned", "True", "Planned", "The plan is in status.plan")
    yield Aspect("Queued", "False", "NoQueue", "spec.queueName is not set")
    yield _pods_ready(seen, record)
    yield _evaluated(seen, record)
    yield from _ends(record)
    yield from _progressing(seen, record)


def _evaluated(seen: Observed, record: Record) -> Aspect:
    outcome = record.outcome
    if not seen.suites and not record.evaluation:
        message = "spec.evaluation is not set: the artifact is never chosen by a selector"
        return Aspect("Evaluated", "False", "Ungated", message)
    if outcome is None:
        return Aspect("Evaluated", "Unknown", "NotEvaluatedYet", "The trained model is evaluated at the end")
    if outcome.succeeded:
        return _well_evaluated(record, outcome.reason)
    if outcome.reason in EVALUATED:
        return Aspect("Evaluated", "False", outcome.reason, outcome.message)
    return Aspect("Evaluated", "False", "NotEvaluated", "The job failed before the trained model was evaluated")


def _well_evaluated(record: Record, reason: str) -> Aspect:
    gated = [gate_sentence(result) for result in record.evaluation if result.passed is not None]
    if not gated:
        message = "No gates were asked for: the figures are in status.evaluation, no selector chooses the artifact"
        return Aspect("Evaluated", "False", reason, message)
    return Aspect("Evaluated", "True", reason, "; ".join(gated))


def _data_ready(record: Record) -> Aspect:
    progress = record.progress
    if record.outcome is not None and record.outcome.reason in ("InvalidDataset", "DatasetNotFound"):
        return Aspect("DataReady", "False", record.outcome.reason, record.outcome.message)
    if record.artifact is not None or (progress is not None and progress.phase in TRAINED_FROM):
        return Aspect("DataReady", "True", "Prepared", "The trainer has read and checked the data")
    return Aspect("DataReady", "Unknown", "NotReadYet", "The trainer reads the data when it runs")


def _pods_ready(seen: Observed, record: Record) -> Aspect:
    live = record.live
    if record.outcome is not None:
        return Aspect("PodsReady", "False", "Finished", "The job has finished")
    waits = waiting_for(seen)
    if waits is not None:
        return Aspect("PodsReady", "False", waits.reason, waits.sentence)
    if live is None:
        return _between(seen, record)
    if live.start is None:
        return Aspect("PodsReady", "False", "PodStarting", f"Attempt {live.number} is starting")
    if live.reason == STOPPING:
        return Aspect("PodsReady", "False", "Suspending", "The trainer saves a checkpoint and stops")
    return Aspect("PodsReady", "True", "Running", f"Attempt {live.number} is running")


def _between(seen: Observed, record: Record) -> Aspect:
    last = record.last
    if seen.intent.suspend:
        return Aspect("PodsReady", "False", "Suspended", "spec.suspend is true; set it to false to go on")
    if last is None:
        return Aspect("PodsReady", "False", "NotStarted", "The first attempt has not started")
    return Aspect(
        "PodsReady", "False", "BetweenAttempts", f"Attempt {last.number} ended ({last.reason}): {last.message}"
    )


def _ends(record: Record) -> Iterator[Aspect]:
    outcome = record.outcome
    for name, succeeded in (("Succeeded", True), ("Failed", False)):
        if outcome is None:
            yield Aspect(name, "Unknown", "NotFinished", "The job has not finished")
        elif outcome.succeeded is succeeded:
            yield Aspect(name, "True", outcome.reason, outcome.message)
        else:
            yield Aspect(name, "False", outcome.reason, f"The job has {'succeeded' if outcome.succeeded else 'failed'}")


def _progressing(seen: Observed, record: Record) -> Iterator[Aspect]:
    """kstatus: at most one of Reconciling and Stalled, neither once the job is done or held."""
    if record.refused and record.outcome is None:
        yield Aspect("Stalled", "True", "InvalidSpec", record.refused)
    elif record.outcome is not None and not record.outcome.succeeded:
        yield Aspect("Stalled", "True", record.outcome.reason, record.outcome.message)
    elif record.outcome is None and not seen.intent.suspend:
        yield Aspect("Reconciling", "True", "Running", "The job has not finished")


def _conditions(before: Mapping[str, Any], seen: Observed, aspects: tuple[Aspect, ...]) -> tuple[Condition, ...]:
    gone = {"Reconciling", "Stalled"} - {aspect.type for aspect in aspects}
    conditions = without(conditions_of(before), *gone)
    for aspect in aspects:
        conditions = set_condition(
            conditions,
            aspect.type,
            aspect.status,
            aspect.reason,
            aspect.message,
            seen.now,
            seen.generation,
        )
    return conditions
