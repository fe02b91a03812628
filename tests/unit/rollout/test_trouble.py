"""Why a server's pod doesn't get ready is read from what Kubernetes says of it."""

import json
from typing import Any

import pytest

from tunebird.rollout.trouble import first_trouble, refused, trouble


def a_pod(name: str = "chat-abc-1", **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": status}


def container(**state: Any) -> list[dict[str, Any]]:
    return [{"name": "server", **state}]


def test_an_image_that_cannot_be_pulled_is_named_with_the_remedy() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "no/such:1"'}}
    found = trouble(a_pod(containerStatuses=container(state=waiting)))
    assert found is not None
    for words in ("ImagePullBackOff", 'image "no/such:1"', "spec.server.image", "pod chat-abc-1"):
        assert words in found.sentence


def test_a_pull_that_failed_and_one_that_waits_to_be_tried_again_are_one_trouble() -> None:
    turns = ("ErrImagePull", "ImagePullBackOff")
    pods = (a_pod(containerStatuses=container(state={"waiting": {"reason": turn}})) for turn in turns)
    assert {found.reason for pod in pods if (found := trouble(pod))} == {"ImagePullBackOff"}


def test_a_server_that_keeps_ending_tells_what_it_said_last() -> None:
    told = json.dumps({"reason": "ModelMismatch", "message": "the model has digest sha256:1, not sha256:2"})
    states = {
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}},
        "lastState": {"terminated": {"exitCode": 4, "message": told}},
    }
    found = trouble(a_pod(containerStatuses=container(**states)))
    assert found is not None
    assert found.reason == "CrashLoopBackOff"
    assert "exit code 4: the model has digest sha256:1" in found.sentence
    assert "40s" not in found.sentence


def test_the_reason_stays_while_the_server_is_started_again() -> None:
    ended = {"terminated": {"exitCode": 4, "reason": "Error", "message": "ModelMismatch: another digest"}}
    turns: list[dict[str, Any]] = [
        {"state": ended},
        {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}, "lastState": ended},
        {"state": {"running": {}}, "lastState": ended, "ready": False, "restartCount": 1},
    ]
    told = {trouble(a_pod(containerStatuses=container(**turn))) for turn in turns}
    assert len(told) == 1
    (found,) = told
    assert found is not None
    assert found.reason == "CrashLoopBackOff"


REFUSAL = (
    'pods "chat-r1-6b565dc7bb-%s" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true (pod or '
    'container "server" must set securityContext.runAsNonRoot=true)'
)


def a_deployment(status: str, message: str) -> dict[str, Any]:
    available = {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"}
    failure = {"type": "ReplicaFailure", "status": status, "reason": "FailedCreate", "message": message}
    return {"metadata": {"name": "chat-r1"}, "status": {"conditions": [available, failure]}}


def test_pods_that_admission_refuses_are_a_trouble_of_their_deployment_told_alike_at_each_try() -> None:
    first, second = (refused(a_deployment("True", REFUSAL % suffix)) for suffix in ("bbnb9", "x7k2p"))
    assert first == second
    assert first is not None
    for words in (
        "PodsNotCreated",
        "violates PodSecurity",
        "runAsNonRoot",
        "spec.server.template",
        "Deployment chat-r1",
    ):
        assert words in first.sentence


def test_the_words_of_a_webhook_are_told_whole() -> None:
    found = refused(a_deployment("True", 'admission webhook "policy.example.com" denied the request: no label "team"'))
    assert found is not None
    assert (
        'PodsNotCreated: admission webhook "policy.example.com" denied the request: no label "team"' in found.sentence
    )


def test_a_deployment_whose_pods_were_created_has_no_trouble() -> None:
    assert refused(a_deployment("False", REFUSAL % "bbnb9")) is None
    assert refused({"metadata": {"name": "chat-r1"}}) is None


def test_a_server_that_came_back_and_is_ready_has_no_trouble() -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    turn = {"state": {"running": {}}, "lastState": ended, "ready": True, "restartCount": 1}
    assert trouble(a_pod(containerStatuses=container(**turn))) is None


def test_a_server_that_the_kernel_killed_says_so() -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    found = trouble(a_pod(containerStatuses=container(state=ended)))
    assert found is not None
    assert "exit code 137 (OOMKilled)" in found.sentence


def test_of_a_log_only_the_last_line_is_told() -> None:
    log = "2026-11-21 21:52:58 INFO Listening host=0.0.0.0\nModelMismatch: the digest is sha256:1, not sha256:2\n\n"
    found = trouble(a_pod(containerStatuses=container(state={"terminated": {"exitCode": 4, "message": log}})))
    assert found is not None
    assert found.message == "the server ended with exit code 4: ModelMismatch: the digest is sha256:1, not sha256:2"


def test_a_pod_that_fits_no_node_has_the_schedulers_sentence() -> None:
    message = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: 0/2 nodes are available"
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]
    found = trouble(a_pod(conditions=conditions))
    assert found is not None
    assert found.message == "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"containerStatuses": container(state={"waiting": {"reason": "ContainerCreating"}})},
        {"containerStatuses": container(state={"running": {}})},
        {"conditions": [{"type": "PodScheduled", "status": "True"}]},
    ],
)
def test_a_pod_that_starts_or_runs_has_none(status: dict[str, Any]) -> None:
    assert trouble(a_pod(**status)) is None


def test_a_pod_that_is_being_deleted_has_none() -> None:
    pod = a_pod(containerStatuses=container(state={"terminated": {"exitCode": 1}}))
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert trouble(pod) is None


def test_the_first_pod_by_name_speaks_for_all() -> None:
    ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
    pods = [a_pod(name, containerStatuses=container(state=ended)) for name in ("b", "a")]
    found = first_trouble(pods)
    assert found is not None
    assert found.about == "pod a"
