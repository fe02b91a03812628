"""A Job and its pods as they are, and what follows from that alone. Pure; `now` is data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from devplane.controllers.jobs import indexes
from devplane.controllers.jobs.failure_policy import ruling
from devplane.controllers.jobs.indexes import index_of
from devplane.objects import Obj, finalizers, has_condition, is_active, is_deleting, is_terminal, phase, stamp, uid_of

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count"


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
        return int(self.status.get("succeeded", 0)) + len(self.new_succeeded) + len(self.uncounted["succeeded"])

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
