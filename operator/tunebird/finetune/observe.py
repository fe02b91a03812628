"""Manifests as values: the job's own record, its Jobs and pods. The only place here that digs in dicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pydantic import ValidationError

from tunebird.api.base import problems
from tunebird.api.finetunejob import FineTuneJob
from tunebird.api.jobstatus import Artifact, ArtifactForm, AttemptStatus, FineTuneJobStatus, Servable
from tunebird.api.reports import ArtifactResult, Report, Termination
from tunebird.finetune.decide import unanswered
from tunebird.finetune.limits import refusals
from tunebird.finetune.manifests import child_name
from tunebird.finetune.merge import CONTAINER
from tunebird.finetune.plan import Plan, resolve
from tunebird.finetune.reasons import Exit, Why, why_disrupted, why_pod_failed, why_unschedulable, why_waiting
from tunebird.finetune.settings import FineTuneJobSettings
from tunebird.finetune.state import Attempt, Intent, JobSeen, Observed, Outcome, PodSeen, Record, Verb
from tunebird.kube.children import Children
from tunebird.kube.client import KubeApi
from tunebird.kube.conditions import conditions_of, find, instant
from tunebird.kube.meta import ATTEMPT, FINE_TUNE_JOB, JOB, POD, Key, Manifest, Ref, owned_by

RETRY = "tunebird.dev/retry"


class Reports(Protocol):
    """The newest progress reports, in memory."""

    def latest(self, job_uid: str, attempt: int) -> Report | None:
        """The newest report of an attempt of a FineTuneJob, if one came."""


@dataclass(frozen=True, slots=True)
class View:
    """What a pass has read. `job` and `plan` are None where the spec is not one that can be run."""

    manifest: Manifest
    seen: Observed
    job: FineTuneJob | None
    plan: Plan | None


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a pass reads from."""

    api: KubeApi
    children: Children
    reports: Reports
    settings: FineTuneJobSettings


async def observe(sources: Sources, key: Key, now: datetime) -> View | None:
    """The job and its world; None where it is gone, being deleted, or another of the same name."""
    manifest = await sources.api.get(Ref(FINE_TUNE_JOB, key.namespace, key.name))
    if manifest is None or manifest["metadata"]["uid"] != key.uid or manifest["metadata"].get("deletionTimestamp"):
        return None
    job, plan, wrong = understood(manifest, sources.settings)
    record = record_of(manifest)
    jobs = await _jobs(sources, key, record)
    seen = Observed(
        now=now,
        name=key.name,
        generation=manifest["metadata"].get("generation", 0),
        intent=intent_of(manifest, job),
        record=record,
        plan_hash=plan.hash if plan is not None else "",
        refusals=wrong,
        jobs=jobs,
        pods=tuple(pod_seen(pod) for pod in sources.children.of(key.uid, POD)),
        report=sources.reports.latest(key.uid, record.live.number) if record.live is not None else None,
    )
    return View(manifest, seen, job, plan)


def understood(
    manifest: Manifest, settings: FineTuneJobSettings
) -> tuple[FineTuneJob | None, Plan | None, tuple[str, ...]]:
    """The parsed job and its plan, or all that is wrong with it."""
    try:
        job = FineTuneJob.model_validate({**manifest, "status": {}})
    except ValidationError as error:
        return None, None, problems(error)
    wrong = refusals(job.spec, allow_file_uris=settings.allow_file_uris)
    return (job, None, wrong) if wrong else (job, resolve(job.spec), ())


async def _jobs(sources: Sources, key: Key, record: Record) -> tuple[JobSeen, ...]:
    """Jobs from the watch; the live attempt's is asked for where the watch has none (yet, or any more)."""
    seen = tuple(job_seen(job, key.uid) for job in sources.children.of(key.uid, JOB))
    live = record.live
    if live is None or any(job.attempt == live.number for job in seen):
        return seen
    found = await sources.api.get(Ref(JOB, key.namespace, child_name(key.name, live.number)))
    return seen if found is None else (*seen, job_seen(found, key.uid, live.number))


def intent_of(manifest: Manifest, job: FineTuneJob | None) -> Intent:
    """What may change while a job runs; of a spec that doesn't parse, only the verb."""
    retry = (manifest["metadata"].get("annotations") or {}).get(RETRY)
    if job is None:
        return Intent(retry=retry)
    spec = job.spec
    return Intent(
        suspend=spec.suspend,
        max_restarts=spec.failure_policy.max_restarts,
        active_deadline_seconds=spec.active_deadline_seconds,
        pending_deadline_seconds=spec.pending_deadline_seconds,
        ttl_seconds=spec.ttl_seconds_after_finished,
        retry=retry,
    )


def record_of(manifest: Manifest) -> Record:
    """The record that was saved in the status."""
    status = FineTuneJobStatus.model_validate(manifest.get("status") or {})
    stalled = find(conditions_of(manifest.get("status") or {}), "Stalled")
    return Record(
        attempts=tuple(_attempt_of(attempt, manifest) for attempt in status.attempts),
        restarts=status.restarts,
        start_time=_instant(status.start_time),
        completion_time=_instant(status.completion_time),
        cleanup_time=_instant(status.cleanup_time),
        outcome=_outcome(manifest),
        artifact=status.artifact,
        progress=status.progress,
        verbs=tuple(Verb(verb.verb, verb.value, instant(verb.time), verb.refusal) for verb in status.consumed_verbs),
        plan_hash=status.plan.hash if status.plan is not None else "",
        refused=stalled.message if stalled is not None and stalled.reason == "InvalidSpec" else "",
    )


def _attempt_of(saved: AttemptStatus, manifest: Manifest) -> Attempt:
    return Attempt(
        number=saved.number,
        created=instant(saved.created or manifest["metadata"]["creationTimestamp"]),
        job_uid=saved.job_uid,
        start=_instant(saved.start),
        end=_instant(saved.end),
        reason=saved.reason,
        message=saved.message,
        exit_code=saved.exit_code,
        checkpoint=saved.checkpoint,
        counted=saved.counted,
    )


def finished(body: Manifest) -> bool:
    """Whether nothing is left to do for a job as it is now: it needs no loop and no finalizer.

    Pure, for `when=` of handlers: ended, its generation seen, the verb answered, children deleted where a TTL says so.
    """
    record, saved = record_of(body), body.get("status") or {}
    if record.outcome is None or saved.get("observedGeneration") != body["metadata"].get("generation"):
        return False
    retry = (body["metadata"].get("annotations") or {}).get(RETRY)
    if unanswered(record, retry):
        return False
    expires = body["spec"].get("ttlSecondsAfterFinished") is not None
    return record.cleanup_time is not None or not expires


def _outcome(manifest: Manifest) -> Outcome | None:
    conditions = conditions_of(manifest.get("status") or {})
    for name, succeeded in (("Succeeded", True), ("Failed", False)):
        condition = find(conditions, name)
        if condition is not None and condition.status == "True":
            return Outcome(succeeded, condition.reason, condition.message)
    return None


def _instant(text: str | None) -> datetime | None:
    return instant(text) if text else None


def job_seen(job: Manifest, owner_uid: str, attempt: int | None = None) -> JobSeen:
    """A Job as the decision sees it."""
    metadata, status = job["metadata"], job.get("status") or {}
    ended = next((c for c in status.get("conditions") or () if _holds(c) and c["type"] in ("Complete", "Failed")), None)
    return JobSeen(
        name=metadata["name"],
        uid=metadata["uid"],
        attempt=_attempt(job) if attempt is None else attempt,
        created=instant(metadata["creationTimestamp"]),
        ours=owned_by(job, owner_uid),
        deleting=bool(metadata.get("deletionTimestamp")),
        finished=ended["type"] if ended is not None else "",
        message=ended.get("message", "") if ended is not None else "",
    )


def _attempt(child: Manifest) -> int:
    told = str((child["metadata"].get("labels") or {}).get(ATTEMPT, ""))
    return int(told) if told.isdecimal() else 0


def _holds(condition: Mapping[str, Any]) -> bool:
    return condition.get("status") == "True"


def pod_seen(pod: Manifest) -> PodSeen:
    """A pod as the decision sees it: by the state of its trainer container."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    state = _trainer_state(status)
    terminated, running = state.get("terminated"), state.get("running") or {}
    ended = terminated or {}
    told = termination(ended.get("message", "")) if terminated is not None else None
    begun = running.get("startedAt") or (ended.get("startedAt") if ended.get("reason") != "StartError" else None)
    return PodSeen(
        name=metadata["name"],
        attempt=_attempt(pod),
        phase=status.get("phase", "Pending"),
        deleting=bool(metadata.get("deletionTimestamp")),
        started=_instant(begun),
        ended=_instant(ended.get("finishedAt")),
        waiting=_waiting(status, state),
        exited=_exit(terminated, told) if terminated is not None else None,
        disrupted=_disrupted(status),
        failed=why_pod_failed(status.get("reason", ""), status.get("message", "")) if not state else None,
        artifact=_artifact(told.artifact) if told is not None and told.artifact is not None else None,
        checkpoint=(told.checkpoint or "") if told is not None else "",
    )


def _trainer_state(status: Mapping[str, Any]) -> Mapping[str, Any]:
    containers = status.get("containerStatuses") or ()
    own = next((container for container in containers if container["name"] == CONTAINER), None)
    state: Mapping[str, Any] = own.get("state") or {} if own is not None else {}
    return state


def termination(message: str) -> Termination | None:
    """What the trainer said at its end; None where the message is something else (the log's tail, the runtime's)."""
    try:
        return Termination.model_validate_json(message)
    except ValidationError:
        return None


def _exit(terminated: Mapping[str, Any], told: Termination | None) -> Exit:
    text = told.message if told is not None else str(terminated.get("message", ""))
    return Exit(
        code=terminated["exitCode"],
        reason=terminated.get("reason", ""),
        message=_shortened(text),
        told=told.reason if told is not None else "",
    )


def _shortened(text: str, limit: int = 1000) -> str:
    """The end of a long text in one line: the last lines of a log say most."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"…{line[-limit:]}"


def _waiting(status: Mapping[str, Any], state: Mapping[str, Any]) -> Why | None:
    if status.get("phase") != "Pending":
        return None
    if "waiting" in state:
        return why_waiting(state["waiting"].get("reason", ""), state["waiting"].get("message", ""))
    scheduled = _condition(status, "PodScheduled")
    if scheduled is None or scheduled.get("status") == "True":
        return Why("PodStarting", "") if scheduled is not None else Why("Scheduling", "")
    if scheduled.get("reason") == "SchedulingGated":
        return Why("SchedulingGated", scheduled.get("message", ""))
    return why_unschedulable(scheduled.get("message", ""))


def _disrupted(status: Mapping[str, Any]) -> Why | None:
    condition = _condition(status, "DisruptionTarget")
    if condition is None or not _holds(condition):
        return None
    return why_disrupted(condition.get("reason", "Disrupted"), condition.get("message", ""))


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    conditions = status.get("conditions") or ()
    return next((condition for condition in conditions if condition["type"] == kind), None)


def _artifact(result: ArtifactResult) -> Artifact:
    """The artifact of a job without gates: never chosen by a selector."""
    return Artifact(
        uri=result.uri,
        digest=result.digest,
        base_digest=result.base_digest,
        data_digest=result.data_digest,
        config_digest=result.config_digest,
        code_digest=result.code_digest,
        forms={name: ArtifactForm(path=form.path, digest=form.digest) for name, form in result.forms.items()},
        gates_passed=False,
        gates_reason="Ungated",
        card=f"{result.uri}/README.md",
        provenance=f"{result.uri}/tunebird.json",
        servable=_servable(result),
    )


def _servable(result: ArtifactResult) -> tuple[Servable, ...]:
    merged = "merged" in result.forms
    reason = "" if merged else "output.forms has no merged form"
    return tuple(Servable(runtime=name, form="merged", loads=merged, reason=reason) for name in ("vllm", "tunebird"))
