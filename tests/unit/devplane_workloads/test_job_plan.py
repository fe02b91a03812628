"""What a Job needs next, decided from tables: counting, limits, policies, indexes, suspension."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devplane.controllers.jobs import indexes
from devplane.controllers.jobs.plan import Plan, plan
from devplane.controllers.jobs.seen import FINALIZER
from devplane.objects import stamp

Obj = dict[str, Any]
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def job(status: Obj | None = None, **spec: Any) -> Obj:
    defaults = {"parallelism": 1, "completions": 1, "backoffLimit": 6, "template": {"spec": {"restartPolicy": "Never"}}}
    metadata = {"name": "j", "namespace": "ns", "uid": "job"}
    begun = {"startTime": stamp(NOW - timedelta(seconds=60)), **(status or {})}
    return {"metadata": metadata, "spec": {**defaults, **spec}, "status": begun}


def pod(
    uid: str, phase: str = "Running", *, code: int = 1, index: int | None = None, deleting: bool = False, **more: Any
) -> Obj:
    metadata: Obj = {
        "name": f"j-{uid}",
        "namespace": "ns",
        "uid": uid,
        "creationTimestamp": stamp(NOW - timedelta(seconds=50)),
        "finalizers": [FINALIZER],
    }
    if index is not None:
        metadata["annotations"] = {indexes.ANNOTATION: str(index)}
    if deleting:
        metadata["deletionTimestamp"] = stamp(NOW)
    status: Obj = {"phase": phase, "conditions": more.get("conditions", [])}
    if phase in {"Succeeded", "Failed"}:
        finished = stamp(NOW - timedelta(seconds=more.get("ago", 30)))
        state = {"terminated": {"exitCode": 0 if phase == "Succeeded" else code, "finishedAt": finished}}
        status["containerStatuses"] = [{"name": "c", "restartCount": 0, "state": state}]
    return {"metadata": metadata, "spec": {}, "status": status}


def types(status: Obj) -> list[str]:
    return [f"{one['type']}={one['reason']}" for one in status.get("conditions", ())]


def test_new_job_makes_its_pods_and_counts_them() -> None:
    fresh = {**job(parallelism=2, completions=3), "status": {}}
    decided = plan(fresh, [], NOW)
    assert len(decided.created) == 2
    assert decided.interim == {
        "startTime": stamp(NOW),
        "active": 2,
        "ready": 0,
        "terminating": 0,
        "uncountedTerminatedPods": {},
    }


def test_second_look_at_an_unchanged_job_changes_nothing() -> None:
    before = plan({**job(), "status": {}}, [], NOW).final
    decided = plan(job(before), [pod("a", "Pending")], NOW)
    assert (decided.interim, decided.final) == (before, before)
    assert decided == Plan(before, before)


def test_success_is_named_before_it_is_counted() -> None:
    decided = plan(job(), [pod("a", "Succeeded")], NOW)
    assert decided.interim["uncountedTerminatedPods"] == {"succeeded": ["a"]}
    assert types(decided.interim) == ["SuccessCriteriaMet=CompletionsReached"]
    assert decided.final["succeeded"] == 1
    assert types(decided.final)[-1] == "Complete=CompletionsReached"
    assert [one["metadata"]["uid"] for one in decided.released] == ["a"]


def test_failure_is_tried_again_ten_seconds_after_it() -> None:
    decided = plan(job(), [pod("a", "Failed", ago=4)], NOW)
    assert decided.created == ()
    assert decided.again == 6
    assert decided.final["failed"] == 1
    again = plan(
        job(decided.final),
        [{**pod("a", "Failed", ago=10), "metadata": {**pod("a")["metadata"], "finalizers": []}}],
        NOW,
    )
    assert len(again.created) == 1


def test_delay_doubles_with_each_failure_in_a_row() -> None:
    pods = [pod("a", "Failed", ago=30), pod("b", "Failed", ago=5)]
    assert plan(job(), pods, NOW).again == 15


def test_pod_that_is_not_ready_and_deleted_has_failed_since_it_was_not_ready() -> None:
    lost = {"type": "Ready", "status": "False", "lastTransitionTime": stamp(NOW - timedelta(seconds=7))}
    assert plan(job(), [pod("a", deleting=True, conditions=[lost])], NOW).again == 3


def test_job_fails_beyond_its_backoff_limit_when_nothing_runs_any_more() -> None:
    pods = [pod("a", "Failed"), pod("b", "Running")]
    decided = plan(job(backoffLimit=0, parallelism=2, completions=2), pods, NOW)
    assert [one["metadata"]["uid"] for one in decided.ended] == ["b"]
    assert decided.final["failed"] == 2
    assert types(decided.final) == ["FailureTarget=BackoffLimitExceeded"]
    assert decided.events == ()


@pytest.mark.parametrize(
    ("rule", "failed", "ends"),
    [
        (
            {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}},
            1,
            ["FailureTarget=PodFailurePolicy"],
        ),
        ({"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [1]}}, 1, []),
        ({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}, 0, []),
        ({"action": "Count", "onExitCodes": {"operator": "In", "values": [1]}}, 1, []),
    ],
)
def test_pod_failure_policy_decides_what_a_failure_means(rule: Obj, failed: int, ends: list[str]) -> None:
    disrupted = [{"type": "DisruptionTarget", "status": "True"}]
    pods = [pod("a", "Failed", conditions=disrupted if rule["action"] == "Ignore" else [])]
    decided = plan(job(podFailurePolicy={"rules": [rule]}), pods, NOW)
    assert decided.final.get("failed", 0) == failed
    assert types(decided.interim) == ends


def test_policy_message_names_container_pod_code_and_rule() -> None:
    rule = {"action": "FailJob", "onExitCodes": {"containerName": "c", "operator": "In", "values": [42]}}
    decided = plan(job(podFailurePolicy={"rules": [rule]}), [pod("a", "Failed", code=42)], NOW)
    expected = "Container c for pod ns/j-a failed with exit code 42 matching FailJob rule at index 0"
    assert decided.events[0].message == expected


def test_deleted_pod_is_replaced_at_once_or_when_it_has_ended() -> None:
    leaving = [pod("a", deleting=True)]
    assert len(plan(job(), leaving, NOW + timedelta(minutes=2)).created) == 1
    waiting = plan(job(podReplacementPolicy="Failed"), leaving, NOW + timedelta(minutes=2))
    assert waiting.created == ()
    assert waiting.interim["terminating"] == 1


def test_suspended_job_takes_its_pods_away_without_counting_them() -> None:
    decided = plan(job(suspend=True), [pod("a")], NOW)
    assert [one["metadata"]["uid"] for one in decided.removed] == ["a"]
    assert "failed" not in decided.final
    assert types(decided.final) == ["Suspended=JobSuspended"]


def test_deadline_counts_from_the_start() -> None:
    assert plan(job(activeDeadlineSeconds=100), [pod("a")], NOW).again == 40
    assert types(plan(job(activeDeadlineSeconds=60), [pod("a")], NOW).interim) == ["FailureTarget=DeadlineExceeded"]


def test_indexed_job_makes_the_lowest_free_indexes() -> None:
    given = job({"completedIndexes": "0", "succeeded": 1}, completionMode="Indexed", completions=4, parallelism=2)
    decided = plan(given, [pod("a", index=2)], NOW)
    assert [one.index for one in decided.created] == [1]


def test_index_fails_for_itself_with_a_limit_per_index() -> None:
    given = job(completionMode="Indexed", completions=2, parallelism=2, backoffLimitPerIndex=0, backoffLimit=2**31 - 1)
    decided = plan(given, [pod("a", "Failed", index=0), pod("b", "Succeeded", index=1)], NOW)
    assert decided.interim["failedIndexes"] == "0"
    assert types(decided.final)[-1] == "Failed=FailedIndexes"


def test_finished_job_goes_when_its_time_to_live_is_over() -> None:
    end = {"type": "Complete", "status": "True", "reason": "x", "lastTransitionTime": stamp(NOW - timedelta(seconds=5))}
    status = {"conditions": [end]}
    assert plan(job(status, ttlSecondsAfterFinished=8), [], NOW).again == 3
    assert plan(job(status, ttlSecondsAfterFinished=5), [], NOW).expired


@pytest.mark.parametrize(("numbers", "text"), [(set(), ""), ({3}, "3"), ({0, 1}, "0,1"), ({0, 2, 3, 4, 9}, "0,2-4,9")])
def test_indexes_are_written_as_runs(numbers: set[int], text: str) -> None:
    assert indexes.written(numbers) == text
    assert indexes.parsed(text) == numbers
