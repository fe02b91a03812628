"""Manifests as values: the job's own record and its world. With `sightings` the only place here that digs in dicts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from pydantic import ValidationError

from tunebird.api.base import problems
from tunebird.api.finetunejob import FineTuneJob
from tunebird.api.jobstatus import AttemptStatus, FineTuneJobStatus
from tunebird.api.reports import Report
from tunebird.finetune.limits import lasting, refusals
from tunebird.finetune.manifests import child_name
from tunebird.finetune.plan import Plan, resolve
from tunebird.finetune.references import Referred, referenced, referred
from tunebird.finetune.settings import FineTuneJobSettings
from tunebird.finetune.sightings import job_seen, pod_seen
from tunebird.finetune.state import Attempt, Intent, JobSeen, Observed, Outcome, PodSeen, Record, Verb
from tunebird.finetune.verbs import VERBS, known, unanswered
from tunebird.kube.children import Children
from tunebird.kube.client import KubeApi
from tunebird.kube.conditions import conditions_of, find, instant
from tunebird.kube.meta import FINE_TUNE_JOB, JOB, POD, Key, Manifest, Ref
from tunebird.kube.verbs import asked

AWAITING = ("WaitingForJob", "JobNotFound")


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
    attempt = record.live.number if record.live is not None else None
    pods = tuple(pod_seen(pod) for pod in sources.children.of(key.uid, POD))
    seen = Observed(
        now=now,
        name=key.name,
        generation=manifest["metadata"].get("generation", 0),
        intent=intent_of(manifest, job),
        record=record,
        plan_hash=plan.hash if plan is not None else "",
        refusals=lasting(wrong),
        jobs=jobs,
        pods=pods,
        gone=() if any(pod.attempt == attempt for pod in pods) else _gone(sources, key, attempt),
        referred=() if job is None else await _referred(sources, key, job, record),
        nodes=job.spec.compute.num_nodes if job is not None else 1,
        suites=len(plan.evaluation.suites) if plan is not None else 0,
        gates=len(plan.evaluation.gates) if plan is not None else 0,
        report=sources.reports.latest(key.uid, attempt) if attempt is not None else None,
    )
    return View(manifest, seen, job, plan)


def _gone(sources: Sources, key: Key, attempt: int | None) -> tuple[PodSeen, ...]:
    """The last sight of an attempt's pods that ended."""
    if attempt is None:
        return ()
    last = (pod_seen(pod) for pod in sources.children.last_words(key.uid))
    return tuple(pod for pod in last if pod.attempt == attempt and pod.terminal)


def understood(
    manifest: Manifest, settings: FineTuneJobSettings
) -> tuple[FineTuneJob | None, Plan | None, tuple[str, ...]]:
    """The parsed job and its plan, or all that is wrong with it."""
    try:
        job = FineTuneJob.model_validate({**manifest, "status": {}})
    except ValidationError as error:
        return None, None, problems(error)
    wrong = refusals(job.spec, allow_file_uris=settings.allow_file_uris)
    if wrong:
        return job, None, wrong
    try:
        return job, resolve(job.spec), ()
    except ValidationError as error:  # a number that the trainer's config doesn't take
        return job, None, problems(error)


async def _referred(sources: Sources, key: Key, job: FineTuneJob, record: Record) -> tuple[Referred, ...]:
    """The jobs whose results are needed and not yet noted; a finished job needs none."""
    noted = {reference.job for reference in record.references}
    names = () if record.outcome is not None else tuple(name for name in referenced(job.spec) if name not in noted)
    found = [(name, await sources.api.get(Ref(FINE_TUNE_JOB, key.namespace, name))) for name in names]
    return tuple(referred(name, manifest, key.uid) for name, manifest in found)


async def _jobs(sources: Sources, key: Key, record: Record) -> tuple[JobSeen, ...]:
    """Jobs from the watch; the live attempt's is asked for where the watch has none (yet, or any more)."""
    seen = tuple(job_seen(job, key.uid) for job in sources.children.of(key.uid, JOB))
    live = record.live
    if live is None or any(job.attempt == live.number for job in seen):
        return seen
    found = await sources.api.get(Ref(JOB, key.namespace, child_name(key.name, live.number)))
    return seen if found is None else (*seen, job_seen(found, key.uid, live.number))


def intent_of(manifest: Manifest, job: FineTuneJob | None) -> Intent:
    """What may change while a job runs; of a spec that doesn't parse, only the verbs."""
    verbs = _verbs(manifest)
    if job is None:
        return verbs
    spec = job.spec
    return replace(
        verbs,
        suspend=spec.suspend,
        max_restarts=spec.failure_policy.max_restarts,
        active_deadline_seconds=spec.active_deadline_seconds,
        pending_deadline_seconds=spec.pending_deadline_seconds,
        ttl_seconds=spec.ttl_seconds_after_finished,
    )


def _verbs(manifest: Manifest) -> Intent:
    verbs = asked(manifest, VERBS)
    retry = next((value for name, value in verbs if name in VERBS), None)
    return Intent(retry=retry, unknown=tuple(verb for verb in verbs if verb[0] not in VERBS))


def record_of(manifest: Manifest) -> Record:
    """The record that was saved in the status."""
    status = FineTuneJobStatus.model_validate(manifest.get("status") or {})
    conditions = conditions_of(manifest.get("status") or {})
    stalled, pods = find(conditions, "Stalled"), find(conditions, "PodsReady")
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
        awaiting=pods.message if pods is not None and pods.reason in AWAITING else "",
        references=status.references,
        evaluation=status.evaluation,
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

    Pure, for `when=` of handlers: ended, its generation seen, the verbs answered, children deleted where a TTL says so.
    """
    record, saved = record_of(body), body.get("status") or {}
    if record.outcome is None or saved.get("observedGeneration") != body["metadata"].get("generation"):
        return False
    verbs = _verbs(body)
    if unanswered(record, verbs.retry) or not all(known(record, *verb) for verb in verbs.unknown):
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
