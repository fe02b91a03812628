"""Where pods fit, and why not."""

from __future__ import annotations

from typing import Any

import pytest

from devplane.placing.fitting import Room, best, patience, refusal, room

Obj = dict[str, Any]


def node(name: str = "n1", gpus: int = 8, *, taints: tuple[Obj, ...] = (), **spec: Any) -> Obj:
    amounts = {"cpu": "8", "memory": "32Gi", "pods": "10", "nvidia.com/gpu": str(gpus)}
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {"taints": list(taints), **spec},
        "status": {"allocatable": amounts},
    }


def pod(gpus: int = 0, **spec: Any) -> Obj:
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    return {"spec": {"containers": [{"name": "c", "resources": {"limits": limits}}], **spec}, "status": {}}


def rooms(*nodes: Obj, **pods: list[Obj]) -> list[Room]:
    return [room(one, pods.get(one["metadata"]["name"], ())) for one in nodes]


TAINT = {"key": "gpu", "value": "only", "effect": "NoSchedule"}


def test_sentence_counts_the_nodes_of_each_reason() -> None:
    two = rooms(node("n1", 1), node("n2", 1))
    assert refusal(pod(2), two) == (
        "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. "
        "preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod."
    )


def test_each_node_says_why_and_whether_preemption_could_help() -> None:
    three = rooms(node("n1", unschedulable=True), node("n2", taints=(TAINT,)), node("n3", 1))
    assert refusal(pod(2), three) == (
        "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) had untolerated taint {gpu: only}, "
        "1 node(s) were unschedulable. preemption: 0/3 nodes are available: "
        "1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling."
    )


def test_pods_of_a_node_take_its_room_until_they_end() -> None:
    held, ended = pod(8), {**pod(8), "status": {"phase": "Succeeded"}}
    assert refusal(pod(1), rooms(node(), n1=[held]))
    assert refusal(pod(1), rooms(node(), n1=[ended])) == ""


def test_least_full_node_is_taken() -> None:
    found = best(pod(2), rooms(node("n1"), node("n2"), n1=[pod(4)]))
    assert found is not None
    assert found.name == "n2"


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"key": "gpu", "value": "only"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "value": "other"}, False),
        ({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_toleration(toleration: Obj, fits: bool) -> None:
    assert (refusal(pod(tolerations=[toleration]), rooms(node(taints=(TAINT,)))) == "") is fits


@pytest.mark.parametrize(
    ("requirement", "fits"),
    [
        ({"key": "kubernetes.io/hostname", "operator": "In", "values": ["n1", "n3"]}, True),
        ({"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["n1"]}, False),
        ({"key": "zone", "operator": "Exists"}, False),
        ({"key": "zone", "operator": "DoesNotExist"}, True),
        ({"key": "zone", "operator": "NotIn", "values": ["a"]}, True),
        ({"key": "zone", "operator": "Gt", "values": ["1"]}, False),
    ],
)
def test_required_node_affinity(requirement: Obj, fits: bool) -> None:
    terms = [{"matchExpressions": [requirement]}]
    wanted = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    said = refusal(pod(affinity=wanted), rooms(node()))
    assert (said == "") is fits
    assert fits or "1 node(s) didn't match Pod's node affinity/selector" in said


def test_shortest_toleration_is_how_long_a_pod_stays() -> None:
    lost = [{"key": "unreachable", "effect": "NoExecute"}, {"key": "slow", "effect": "NoExecute"}]
    both = [
        {"key": one, "operator": "Exists", "tolerationSeconds": at} for one, at in (("unreachable", 300), ("slow", 5))
    ]
    assert patience(pod(tolerations=both), lost) == 5
    assert patience(pod(tolerations=[{"operator": "Exists"}]), lost) is None
    assert patience(pod(), lost) == 0
