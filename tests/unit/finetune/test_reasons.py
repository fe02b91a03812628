"""What pods and Jobs of a real Kubernetes say, and which typed reason we make of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunebird.finetune.reasons import (
    EXIT_CODES,
    NEVER_RETRIED,
    REASONS,
    SIGNALS,
    Exit,
    Then,
    Why,
    why_disrupted,
    why_exited,
    why_pod_failed,
    why_unschedulable,
    why_waiting,
)
from tunebird.finetune.sightings import job_seen, pod_seen, termination
from tunebird_trainer import outcome

STORIES = {
    story["name"]: story for story in json.loads((Path(__file__).parent / "golden" / "08-jobs.json").read_text())
}


def _pods(story: str) -> list[Any]:
    """Every state of the story's pods, with its one container called as ours is."""
    return [
        pod_seen(
            {
                "metadata": {"name": event["name"], "deletionTimestamp": event["deletionTimestamp"]},
                "status": _as_trainer(event["status"]),
            }
        )
        for event in STORIES[story]["watched pods"]
        if event["type"] != "DELETED"
    ]


def _as_trainer(status: Any) -> Any:
    containers = [{**container, "name": "trainer"} for container in status.get("containerStatuses", [])]
    return {**status, "containerStatuses": containers}


@pytest.mark.parametrize(
    ("story", "reason"),
    [
        ("image that is not there", "ImageNotPresent"),
        ("asks for a GPU that no node has", "InsufficientGPUs"),
        ("missing Secret in env", "SecretNotFound"),
        ("missing PVC", "VolumeNotFound"),
        ("missing ConfigMap volume", "PodStarting"),
    ],
)
def test_what_a_recorded_pod_waits_for(story: str, reason: str) -> None:
    last = _pods(story)[-1]
    assert last.waiting.reason == reason
    assert last.exited is None
    assert not last.terminal


@pytest.mark.parametrize(
    ("story", "reason", "code"),
    [
        ("fails with exit 3 and a termination message", "NaNLoss", 3),
        ("out of memory", "HostOutOfMemory", 137),
        ("command not found", "StartError", 128),
    ],
)
def test_how_a_recorded_pod_ended(story: str, reason: str, code: int) -> None:
    last = _pods(story)[-1]
    assert last.exited.code == code
    assert why_exited(last.exited).reason == reason
    assert last.terminal


def test_a_recorded_deletion_is_seen_as_one() -> None:
    seen = _pods("pod deleted while running: replaced under backoffLimit 0?")
    assert [pod.deleting for pod in seen].index(True) > 0
    assert seen[-1].exited.code in SIGNALS


def test_a_recorded_success_has_times_and_no_complaint() -> None:
    last = _pods("completes")[-1]
    assert (last.exited.code, last.phase, last.waiting) == (0, "Succeeded", None)
    assert last.started is not None
    assert last.ended is not None


@pytest.mark.parametrize(
    ("story", "finished"),
    [
        ("completes", "Complete"),
        ("fails with exit 3 and a termination message", "Failed"),
        ("image that is not there", ""),
        ("out of memory", "Failed"),
    ],
)
def test_the_verdict_of_a_recorded_job(story: str, finished: str) -> None:
    assert job_seen(STORIES[story]["final job"], "nobody").finished == finished


def test_a_job_is_not_finished_while_kubernetes_only_aims_at_it() -> None:
    job = STORIES["completes"]["final job"]
    aimed = {**job, "status": {"conditions": [{"type": "SuccessCriteriaMet", "status": "True"}]}}
    assert job_seen(aimed, "nobody").finished == ""


def test_no_exit_code_that_says_the_users_input_is_wrong_is_ever_retried() -> None:
    for code in range(1, 256):
        why = why_exited(Exit(code, message="as told"))
        assert why.reason in REASONS
        if code in NEVER_RETRIED:
            assert why.then is Then.FAIL
        if code == 85:
            assert why.then is Then.RETRY_FREE
        if code in SIGNALS or code in (86, 200, 201, 202, 203):
            assert why.then is Then.RETRY


def test_the_trainers_finer_reason_is_used_only_where_the_exit_code_agrees() -> None:
    assert why_exited(Exit(4, told="GatedModel", message="m")).reason == "GatedModel"
    assert why_exited(Exit(137, "ContainerStatusUnknown", "could not be located")).reason == "NodeLost"
    assert why_exited(Exit(202, told="DiskFull", message="m")).reason == "DiskFull"
    assert why_exited(Exit(203, told="InvalidDataset", message="m")).reason == "Internal"
    assert why_exited(Exit(3, told="NoSuchReason", message="m")).reason == "InvalidDataset"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("0/2 nodes are available: 2 Insufficient cpu.", "InsufficientCPU"),
        ("0/2 nodes are available: 1 Insufficient cpu, 1 Insufficient amd.com/gpu.", "InsufficientGPUs"),
        ("0/2 nodes are available: 2 Insufficient memory.", "InsufficientMemory"),
        ("0/2 nodes are available: 2 Insufficient ephemeral-storage.", "InsufficientStorage"),
        ("0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.", "VolumeNotBound"),
        ("0/2 nodes are available: 2 node(s) had volume node affinity conflict.", "VolumeNotShared"),
        ("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.", "NoMatchingNode"),
        ("0/2 nodes are available: 2 node(s) had untolerated taint {gpu: true}.", "TaintNotTolerated"),
        ("0/2 nodes are available: something new.", "Unschedulable"),
    ],
)
def test_what_the_scheduler_says(message: str, reason: str) -> None:
    for attempts in ("preemption:", "no new claims to deallocate, preemption:"):  # up to Kubernetes 1.33, and after
        found = why_unschedulable(f"{message} {attempts} 0/2 nodes are available: no victims.")
        assert (found.reason, found.message) == (reason, message)


@pytest.mark.parametrize(
    ("state", "message", "reason"),
    [
        ("ErrImagePull", "not found", "ImagePullBackOff"),
        ("ImagePullBackOff", "Back-off pulling image", "ImagePullBackOff"),
        ("InvalidImageName", "couldn't parse", "InvalidImageName"),
        ("CreateContainerConfigError", 'secret "hf" not found', "SecretNotFound"),
        ("CreateContainerConfigError", "couldn't find key HF_TOKEN in Secret ml/hf", "SecretNotFound"),
        ("CreateContainerConfigError", 'configmap "nccl" not found', "ConfigMapNotFound"),
        ("CreateContainerConfigError", "container has runAsNonRoot", "ContainerConfigError"),
        ("CreateContainerError", "context deadline exceeded", "ContainerCannotRun"),
        ("ContainerCreating", "", "PodStarting"),
    ],
)
def test_what_the_kubelet_says(state: str, message: str, reason: str) -> None:
    why = why_waiting(state, message)
    assert why.reason == reason
    assert message in why.message


def test_there_are_more_than_twenty_reasons_and_each_says_what_to_do() -> None:
    assert len(REASONS) >= 40
    assert set(EXIT_CODES.values()) <= set(REASONS)
    for reason, meaning in REASONS.items():
        assert reason[0].isupper()
        assert reason.isalnum()
        assert len(meaning.remedy) > 10


def test_every_reason_of_the_trainer_is_known_with_its_exit_code() -> None:
    for reason, code in outcome.EXIT_CODES.items():
        if reason is not outcome.Reason.COMPLETED:
            assert why_exited(Exit(int(code), told=reason.value, message="as told")).reason == reason.value


def test_evictions_and_disruptions_have_their_reasons() -> None:
    assert why_pod_failed("Evicted", "The node was low on resource: ephemeral-storage").reason == "Evicted"
    assert why_pod_failed("NodeLost", "").reason == "NodeLost"
    assert why_pod_failed("", "").reason == "PodDeleted"
    assert why_disrupted("PreemptionByScheduler", "a pod of higher priority").then is Then.RETRY_FREE


def test_a_termination_message_that_is_a_log_is_no_termination_message() -> None:
    assert termination("Traceback (most recent call last): …") is None
    assert termination('{"artifact": {"uri": "pvc://a/b", "digest": "sha256:short"}}') is None
    told = termination('{"v":1,"attempt":1,"reason":"NaNLoss","exitCode":6,"message":"loss\\nis nan","metrics":{}}')
    assert told is not None
    assert told.message == "loss is nan"


def test_of_a_trainer_that_ended_without_a_word_the_last_line_of_its_log_is_told() -> None:
    log = "2026-11-22T01:29:33Z train: step 20/40\n2026-11-22T01:29:35Z train: step 21/40  loss 6.8893\n\n"
    state = {"terminated": {"exitCode": 137, "reason": "Error", "message": log}}
    containers = [{"name": "trainer", "state": state}]
    exited = pod_seen({"metadata": {"name": "p"}, "status": {"containerStatuses": containers}}).exited
    assert exited is not None
    assert exited.message == "2026-11-22T01:29:35Z train: step 21/40 loss 6.8893"


def test_where_nothing_is_to_be_done_the_sentence_says_so() -> None:
    assert Why("Preempted", "the node shuts down").sentence == (
        "the node shuts down; nothing to do: it goes on from its checkpoint"
    )
