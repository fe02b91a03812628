"""What a Job needs next, from the Job and its pods. Pure; `now` is data.

The order of the real controller is kept: pods are created or deleted, an interim status names what is not counted yet,
finalizers go, and a final status counts it and, when nothing is left to end, finishes the Job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from devplane.controllers import indexes
from devplane.controllers.indexes import index_of
from devplane.controllers.pod_failure_policy import ruling
from devplane.objects import (
    Obj,
    container_statuses,
    created,
    finalizers,
    has_condition,
    is_active,
    is_deleting,
    is_ready,
    is_terminal,
    moment,
    phase,
    stamp,
    uid_of,
)

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count"
FIRST_BACKOFF = 10
LAST_BACKOFF = 600


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
class NewPod:
    """`index` and its earlier failures for an Indexed Job."""

    index: int | None = None
    failures: int = 0


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


@dataclass(frozen=True, slots=True)
class Change:
    """The pods to make and to take away, and when to look again because of a delay."""

    created: tuple[NewPod, ...] = ()
    removed: tuple[Obj, ...] = ()
    again: float | None = None


class Seen:
    """A Job and its pods as they are, and what follows from that alone."""

    def __init__(self, job: Mapping[str, Any], pods: Sequence[Obj], now: datetime) -> None:
        self.job = job
        self.pods = pods
        self.now = now
        self.spec: Mapping[str, Any] = job["spec"]
        self.status: Mapping[str, Any] = job.get("status") or {}
        self.policy = self.spec.get("podFailurePolicy")

    @cached_property
    def suspended(self) -> bool:
        return bool(self.spec.get("suspend"))

    @cached_property
    def indexed(self) -> bool:
        return self.spec.get("completionMode") == "Indexed"

    @cached_property
    def replaces_only_failed(self) -> bool:
        return self.spec.get("podReplacementPolicy") == "Failed" or self.policy is not None

    @cached_property
    def active(self) -> list[Obj]:
        return [pod for pod in self.pods if is_active(pod)]

    @cached_property
    def terminating(self) -> list[Obj]:
        return [pod for pod in self.pods if is_deleting(pod) and not is_terminal(pod)]

    @cached_property
    def uncounted(self) -> dict[str, list[str]]:
        found = self.status.get("uncountedTerminatedPods") or {}
        return {key: list(found.get(key) or ()) for key in ("succeeded", "failed")}

    def is_failed(self, pod: Mapping[str, Any]) -> bool:
        if phase(pod) == "Failed":
            return True
        return not self.replaces_only_failed and is_deleting(pod) and phase(pod) != "Succeeded"

    def is_counted_failure(self, pod: Mapping[str, Any]) -> bool:
        return ruling(self.policy, pod).counted

    def in_range(self, pod: Mapping[str, Any]) -> bool:
        at = index_of(pod)
        return not self.indexed or (at is not None and at < self.spec["completions"])

    @cached_property
    def new_succeeded(self) -> list[Obj]:
        return [p for p in self.tracked if phase(p) == "Succeeded" and uid_of(p) not in self.uncounted["succeeded"]]

    @cached_property
    def new_failed(self) -> list[Obj]:
        return [
            pod
            for pod in self.tracked
            if self.is_failed(pod) and uid_of(pod) not in self.uncounted["failed"] and self.is_counted_failure(pod)
        ]

    @cached_property
    def tracked(self) -> list[Obj]:
        return [pod for pod in self.pods if FINALIZER in finalizers(pod) and self.in_range(pod)]

    @cached_property
    def succeeded_indexes(self) -> set[int]:
        before = indexes.parsed(self.status.get("completedIndexes") or "")
        return before | {at for pod in self.new_succeeded if (at := index_of(pod)) is not None}

    @cached_property
    def failed_indexes(self) -> set[int]:
        """Indexes with more failures than backoffLimitPerIndex, or failed by policy."""
        limit = self.spec.get("backoffLimitPerIndex")
        found = indexes.parsed(self.status.get("failedIndexes") or "")
        if not self.indexed or limit is None:
            return found
        for pod in self.new_failed:
            at = index_of(pod)
            by_policy = ruling(self.policy, pod).action == "FailIndex"
            if at is not None and (by_policy or index_failures(pod) + 1 > limit):
                found.add(at)
        return found - self.succeeded_indexes

    @cached_property
    def succeeded(self) -> int:
        if self.indexed:
            return len(self.succeeded_indexes)
        return self.status.get("succeeded", 0) + len(self.new_succeeded) + len(self.uncounted["succeeded"])

    @cached_property
    def failed(self) -> int:
        return int(self.status.get("failed", 0)) + len(self.new_failed) + len(self.uncounted["failed"])

    @cached_property
    def start_time(self) -> str | None:
        return self.status.get("startTime") or (None if self.suspended else stamp(self.now))

    @cached_property
    def finished(self) -> bool:
        return has_condition(self.job, "Complete") or has_condition(self.job, "Failed")


def index_failures(pod: Mapping[str, Any]) -> int:
    return int((pod["metadata"].get("annotations") or {}).get(INDEX_FAILURES, "0"))


def plan(job: Mapping[str, Any], pods: Sequence[Obj], now: datetime) -> Plan:
    """The next step of a Job."""
    seen = Seen(job, pods, now)
    if seen.finished:
        return _afterwards(seen)
    verdict = _verdict(seen)
    change = Change()
    if verdict is None and not is_deleting(job):
        change = _pods(seen)
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
    restarts = sum(status["restartCount"] for pod in living for status in container_statuses(pod))
    limit = seen.spec["backoffLimit"]
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


def _pods(seen: Seen) -> Change:
    """Pods to make, or pods to take away: never both at once."""
    if seen.suspended:
        return Change(removed=tuple(seen.active))
    wanted = _wanted_active(seen)
    surplus = _surplus(seen, wanted)
    if surplus:
        return Change(removed=tuple(surplus))
    occupied = len(seen.active) + (len(seen.terminating) if seen.replaces_only_failed else 0)
    missing = wanted - occupied
    if missing <= 0:
        return Change()
    if seen.indexed:
        return _new_indexes(seen, missing)
    delay = _delay(seen, seen.pods)
    return Change(again=delay) if delay else Change(created=(NewPod(),) * missing)


def _wanted_active(seen: Seen) -> int:
    parallelism = int(seen.spec["parallelism"])
    completions = seen.spec.get("completions")
    if completions is None:
        return len(seen.active) if seen.succeeded > 0 else parallelism
    return max(min(completions - seen.succeeded - len(seen.failed_indexes), parallelism), 0)


def _surplus(seen: Seen, wanted: int) -> list[Obj]:
    """Pods that are too many: those of an index that has another or is done, then the least advanced."""
    useless: list[Obj] = []
    kept: list[Obj] = []
    held: set[int] = set()
    for pod in sorted(seen.active, key=lambda pod: (not is_ready(pod), created(pod))):
        at = index_of(pod)
        if seen.indexed and (at is None or at in held or not seen.in_range(pod) or at in seen.succeeded_indexes):
            useless.append(pod)
        else:
            kept.append(pod)
            held |= {at} if at is not None else set()
    return useless + kept[wanted:]


def _new_indexes(seen: Seen, missing: int) -> Change:
    held = {index_of(pod) for pod in seen.active}
    if seen.replaces_only_failed:
        held |= {index_of(pod) for pod in seen.terminating}
    taken = held | seen.succeeded_indexes | seen.failed_indexes
    free = [at for at in range(seen.spec["completions"]) if at not in taken][:missing]
    if "backoffLimitPerIndex" not in seen.spec:
        delay = _delay(seen, seen.pods)
        return Change(again=delay) if delay and free else Change(created=tuple(NewPod(at) for at in free))
    made, delays = [], []
    for at in free:
        earlier = [pod for pod in seen.pods if index_of(pod) == at]
        delay = _delay(seen, earlier)
        if delay:
            delays.append(delay)
        else:
            failed = [pod for pod in earlier if phase(pod) == "Failed" and seen.is_counted_failure(pod)]
            made.append(NewPod(at, max((index_failures(pod) + 1 for pod in failed), default=0)))
    return Change(created=tuple(made), again=min(delays, default=None))


def _delay(seen: Seen, pods: Sequence[Obj]) -> float:
    """Seconds until the next pod may be made: 10 s after a failure, doubled for each one in a row."""
    ended = sorted((when, phase(pod) == "Succeeded") for pod in pods if (when := _ended_at(pod, seen)) is not None)
    failures: list[datetime] = []
    for when, succeeded in ended:
        failures = [] if succeeded else [*failures, when]
    if not failures:
        return 0
    pause = min(FIRST_BACKOFF * 2 ** (len(failures) - 1), LAST_BACKOFF)
    return max((failures[-1] + timedelta(seconds=pause) - seen.now).total_seconds(), 0)


def _ended_at(pod: Mapping[str, Any], seen: Seen) -> datetime | None:
    if phase(pod) != "Succeeded" and not seen.is_failed(pod):
        return None
    ends = [status["state"].get("terminated") for status in container_statuses(pod)]
    times = [moment(end["finishedAt"]) for end in ends if end]
    return max(times, default=moment(pod["metadata"].get("deletionTimestamp") or created(pod)))


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
        "startTime": stamp(seen.now) if suspension and suspension["status"] == "False" else seen.start_time,
        "conditions": _conditions(seen, verdict, suspension),
        "uncountedTerminatedPods": _uncounted(seen, verdict),
        **_index_fields(seen),
    }
    return _filled({**seen.status, **counts})


def _filled(status: Obj) -> Obj:
    kept = {"ready", "terminating", "uncountedTerminatedPods"}
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
