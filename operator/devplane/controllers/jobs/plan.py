"""What a Job needs next, from the Job and its pods. Pure; `now` is data.

The order of the real controller is kept: pods are created or deleted, an interim status names what is not counted yet,
finalizers go, and a final status counts it and, when nothing is left to end, finishes the Job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from devplane.controllers.jobs import indexes
from devplane.controllers.jobs.failure_policy import ruling
from devplane.controllers.jobs.pods import Change, NewPod, pods_needed
from devplane.controllers.jobs.seen import FINALIZER, Seen
from devplane.objects import (
    Obj,
    container_statuses,
    finalizers,
    has_condition,
    is_deleting,
    is_ready,
    is_terminal,
    moment,
    phase,
    stamp,
    uid_of,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the Job ends: `type` is Complete or Failed."""

    type: str
    reason: str
    message: str

    @property
    def interim_type(self) -> str:
        return "SuccessCriteriaMet" if self.type == "Complete" else "FailureTarget"


BACKOFF_LIMIT = Verdict("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
DEADLINE = Verdict("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
FAILED_INDEXES = Verdict("Failed", "FailedIndexes", "Job has failed indexes")
MAX_FAILED_INDEXES = Verdict(
    "Failed", "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"
)
COMPLETE = Verdict("Complete", "CompletionsReached", "Reached expected number of succeeded pods")


@dataclass(frozen=True, slots=True)
class Event:
    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """`removed` pods lose their finalizer before they are deleted, `ended` ones are deleted as they are."""

    interim: Obj
    final: Obj
    created: tuple[NewPod, ...] = ()
    removed: tuple[Obj, ...] = ()
    ended: tuple[Obj, ...] = ()
    released: tuple[Obj, ...] = ()
    events: tuple[Event, ...] = ()
    again: float | None = None
    expired: bool = False


def plan(job: Mapping[str, Any], pods: Sequence[Obj], now: datetime) -> Plan:
    """The next step of a Job."""
    seen = Seen(job, pods, now)
    if seen.finished:
        return _afterwards(seen)
    verdict = _verdict(seen)
    change = Change()
    if verdict is None and not is_deleting(job):
        change = pods_needed(seen)
        if _is_complete(seen, change):
            verdict = COMPLETE
    return _written(seen, verdict, change)


def _afterwards(seen: Seen) -> Plan:
    """A finished Job only lets go of pods, and goes when its time to live is over."""
    status = dict(seen.status)
    released = tuple(pod for pod in seen.pods if FINALIZER in finalizers(pod))
    ttl = seen.spec.get("ttlSecondsAfterFinished")
    if ttl is None or is_deleting(seen.job):
        return Plan(status, status, released=released)
    ends = [c for c in seen.status["conditions"] if c["type"] in {"Complete", "Failed"} and c["status"] == "True"]
    left = (moment(ends[0]["lastTransitionTime"]) + timedelta(seconds=ttl) - seen.now).total_seconds()
    return Plan(status, status, released=released, again=max(left, 0) or None, expired=left <= 0)


def _verdict(seen: Seen) -> Verdict | None:
    for decided, type_ in (("SuccessCriteriaMet", "Complete"), ("FailureTarget", "Failed")):
        for one in seen.status.get("conditions") or ():
            if one["type"] == decided and one["status"] == "True":
                return Verdict(type_, one.get("reason", ""), one.get("message", ""))
    return _failure(seen) or _success_by_policy(seen)


def _failure(seen: Seen) -> Verdict | None:
    for pod in seen.pods:
        if phase(pod) == "Failed" and (said := ruling(seen.policy, pod)).action == "FailJob":
            return Verdict("Failed", "PodFailurePolicy", said.message)
    if seen.failed > seen.spec["backoffLimit"] or _restarted_too_often(seen):
        return BACKOFF_LIMIT
    left = _until_deadline(seen)
    if left is not None and left <= 0:
        return DEADLINE
    return _failed_by_indexes(seen)


def _restarted_too_often(seen: Seen) -> bool:
    """With restartPolicy OnFailure the restarts of living pods count."""
    if seen.spec["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    living = (pod for pod in seen.pods if phase(pod) in {"Running", "Pending"})
    restarts = sum(int(status["restartCount"]) for pod in living for status in container_statuses(pod))
    limit = int(seen.spec["backoffLimit"])
    return restarts > 0 if limit == 0 else restarts >= limit


def _until_deadline(seen: Seen) -> float | None:
    seconds = seen.spec.get("activeDeadlineSeconds")
    if seconds is None or seen.suspended or seen.start_time is None:
        return None
    return (moment(seen.start_time) + timedelta(seconds=seconds) - seen.now).total_seconds()


def _failed_by_indexes(seen: Seen) -> Verdict | None:
    if not seen.failed_indexes:
        return None
    most = seen.spec.get("maxFailedIndexes")
    if most is not None and len(seen.failed_indexes) > most:
        return MAX_FAILED_INDEXES
    everything = len(seen.failed_indexes) + len(seen.succeeded_indexes) >= seen.spec["completions"]
    return FAILED_INDEXES if everything else None


def _success_by_policy(seen: Seen) -> Verdict | None:
    for at, rule in enumerate((seen.spec.get("successPolicy") or {}).get("rules") or ()):
        wanted = rule.get("succeededIndexes")
        done = seen.succeeded_indexes if wanted is None else seen.succeeded_indexes & indexes.parsed(wanted)
        needed = rule.get("succeededCount") or len(indexes.parsed(wanted or ""))
        if needed and len(done) >= needed:
            return Verdict("Complete", "SuccessPolicy", f"Matched rules at index {at}")
    return None


def _is_complete(seen: Seen, change: Change) -> bool:
    completions = seen.spec.get("completions")
    if completions is None:
        return seen.succeeded > 0 and len(seen.active) == len(change.removed)
    return seen.succeeded >= int(completions)


def _written(seen: Seen, verdict: Verdict | None, change: Change) -> Plan:
    """Both statuses and everything around them."""
    ended = tuple(seen.active) if verdict is not None else ()
    suspension = _suspension(seen) if verdict is None and not is_deleting(seen.job) else None
    interim = _interim(seen, verdict, change, ended, suspension)
    released = _released(seen, verdict)
    final = _final(seen, interim, verdict)
    events = [Event("Normal", suspension["reason"].removeprefix("Job"), suspension["message"])] if suspension else []
    if verdict is not None and _has(final, verdict.type):
        events.append(_end_event(verdict))
    left = _until_deadline(seen) if verdict is None else None
    again = min((wait for wait in (left, change.again) if wait is not None), default=None)
    return Plan(interim, final, change.created, change.removed, ended, released, tuple(events), again)


def _end_event(verdict: Verdict) -> Event:
    if verdict.type == "Complete":
        return Event("Normal", "Completed", "Job completed")
    return Event("Warning", verdict.reason, verdict.message)


def _has(status: Mapping[str, Any], type_: str) -> bool:
    return any(one["type"] == type_ for one in status.get("conditions") or ())


def _suspension(seen: Seen) -> Obj | None:
    """The Suspended condition where it has to change."""
    if seen.suspended and not has_condition(seen.job, "Suspended"):
        return _condition(seen, "Suspended", "True", "JobSuspended", "Job suspended")
    if not seen.suspended and has_condition(seen.job, "Suspended"):
        return _condition(seen, "Suspended", "False", "JobResumed", "Job resumed")
    return None


def _condition(seen: Seen, type_: str, value: str, reason: str, message: str) -> Obj:
    when = stamp(seen.now)
    times = {"lastProbeTime": when, "lastTransitionTime": when}
    return {"type": type_, "status": value, **times, "reason": reason, "message": message}


def _interim(
    seen: Seen, verdict: Verdict | None, change: Change, ended: tuple[Obj, ...], suspension: Obj | None
) -> Obj:
    gone = {uid_of(pod) for pod in (*change.removed, *ended)}
    living = [pod for pod in seen.active if uid_of(pod) not in gone]
    counts: Obj = {
        "active": len(living) + len(change.created),
        "ready": sum(1 for pod in living if is_ready(pod)),
        "terminating": len(seen.terminating) + len(gone),
        "startTime": _start_time(seen, suspension),
        "conditions": _conditions(seen, verdict, suspension),
        "uncountedTerminatedPods": _uncounted(seen, verdict),
        **_index_fields(seen),
    }
    return _filled({**seen.status, **counts})


def _start_time(seen: Seen, suspension: Obj | None) -> str | None:
    """A Job that is suspended has none, and one that goes on starts again."""
    if suspension is None:
        return seen.start_time
    return stamp(seen.now) if suspension["status"] == "False" else None


def _filled(status: Obj) -> Obj:
    kept = {"ready", "terminating", "uncountedTerminatedPods", "failedIndexes"}
    return {key: value for key, value in status.items() if key in kept or value not in (None, 0, "", [])}


def _index_fields(seen: Seen) -> Obj:
    if not seen.indexed:
        return {}
    fields: Obj = {"completedIndexes": indexes.written(seen.succeeded_indexes), "succeeded": seen.succeeded}
    if "backoffLimitPerIndex" in seen.spec:
        fields["failedIndexes"] = indexes.written(seen.failed_indexes)
    return fields


def _conditions(seen: Seen, verdict: Verdict | None, suspension: Obj | None) -> list[Obj]:
    found = [dict(one) for one in seen.status.get("conditions") or ()]
    if suspension is not None:
        found = [one for one in found if one["type"] != "Suspended"] + [suspension]
    if verdict is not None and not _has({"conditions": found}, verdict.interim_type):
        found.append(_condition(seen, verdict.interim_type, "True", verdict.reason, verdict.message))
    return found


def short_of(decided: Plan, missing: int) -> Plan:
    """The plan where so many of its pods could not be made."""
    if not missing:
        return decided

    def without(status: Obj) -> Obj:
        return _filled({**status, "active": status.get("active", 0) - missing})

    return replace(decided, interim=without(decided.interim), final=without(decided.final))


def _fails_rest(verdict: Verdict | None) -> bool:
    """When a Job fails, every pod that has not ended counts as failed."""
    return verdict is not None and verdict.type == "Failed"


def _uncounted(seen: Seen, verdict: Verdict | None) -> Obj:
    failed = list(seen.new_failed)
    if _fails_rest(verdict):
        known = {uid_of(pod) for pod in failed} | set(seen.uncounted["failed"])
        failed += [pod for pod in seen.tracked if not is_terminal(pod) and uid_of(pod) not in known]
    found = {
        "succeeded": seen.uncounted["succeeded"]
        + ([] if seen.indexed else [uid_of(pod) for pod in seen.new_succeeded]),
        "failed": seen.uncounted["failed"] + [uid_of(pod) for pod in failed],
    }
    return {key: value for key, value in found.items() if value}


def _released(seen: Seen, verdict: Verdict | None) -> tuple[Obj, ...]:
    """Pods that are counted in the interim status, or never will be."""
    everything = verdict is not None or is_deleting(seen.job)
    return tuple(
        pod
        for pod in seen.pods
        if FINALIZER in finalizers(pod) and (everything or phase(pod) == "Succeeded" or seen.is_failed(pod))
    )


def _final(seen: Seen, interim: Obj, verdict: Verdict | None) -> Obj:
    counted = interim["uncountedTerminatedPods"]
    status = {**interim, "uncountedTerminatedPods": {}}
    for key in ("succeeded", "failed"):
        status[key] = status.get(key, 0) + len(counted.get(key, ()))
    if verdict is not None and not status["terminating"] and not is_deleting(seen.job):
        end = _condition(seen, verdict.type, "True", verdict.reason, verdict.message)
        status["conditions"] = [*status["conditions"], end]
        if verdict.type == "Complete":
            status["completionTime"] = stamp(seen.now)
    return _filled(status)
