"""Whether a kubelet takes a pod that is bound to its node."""

from __future__ import annotations

from typing import Any

import pytest

from devplane.kubelet.entry import refusal

Obj = dict[str, Any]
ALLOCATABLE = {"cpu": "2", "memory": "1Gi", "pods": "2", "nvidia.com/gpu": "1"}


def node(*taints: Obj, **labels: str) -> Obj:
    return {
        "metadata": {"name": "n", "labels": labels},
        "spec": {"taints": list(taints)},
        "status": {"allocatable": ALLOCATABLE},
    }


def pod(name: str = "p", phase: str = "Pending", container: Obj | None = None, **spec: Any) -> Obj:
    asked = {"containers": [{"name": "c", **(container or {})}], **spec}
    return {"metadata": {"name": name, "namespace": "ns", "uid": name}, "spec": asked, "status": {"phase": phase}}


def asking(**amounts: str) -> Obj:
    return {"resources": {"requests": {key.replace("gpu", "nvidia.com/gpu"): value for key, value in amounts.items()}}}


def test_pod_that_fits_is_taken() -> None:
    assert refusal(pod(container=asking(cpu="1500m")), node(), [pod("a", container=asking(cpu="500m"))]) is None


@pytest.mark.parametrize(
    ("container", "reason", "figures"),
    [
        (asking(cpu="1600m"), "OutOfcpu", "cpu, requested: 1600, used: 500, capacity: 2000"),
        (asking(memory="2Gi"), "OutOfmemory", "memory, requested: 2147483648, used: 0, capacity: 1073741824"),
        (asking(gpu="2"), "OutOfnvidia.com/gpu", "nvidia.com/gpu, requested: 2, used: 0, capacity: 1"),
        (
            asking(**{"ephemeral-storage": "1"}),
            "OutOfephemeral-storage",
            "ephemeral-storage, requested: 1, used: 0, capacity: 0",
        ),
    ],
)
def test_first_amount_that_is_too_large_is_told(container: Obj, reason: str, figures: str) -> None:
    why = refusal(pod(container=container), node(), [pod("a", container=asking(cpu="500m"))])
    assert why is not None
    assert (why.reason, why.message) == (reason, f"Node didn't have enough resource: {figures}")
    assert why.status["message"] == f"Pod was rejected: {why.message}"


def test_pods_are_counted_unless_they_have_ended() -> None:
    full = refusal(pod(), node(), [pod("a"), pod("b")])
    assert full is not None
    assert (full.reason, full.message) == (
        "OutOfpods",
        "Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2",
    )
    assert refusal(pod(), node(), [pod("a"), pod("b", "Succeeded")]) is None


def test_resource_that_the_node_does_not_know_is_not_its_to_refuse() -> None:
    assert refusal(pod(container={"resources": {"requests": {"example.com/x": "9"}}}), node(), []) is None


def test_taint_that_drives_pods_away_keeps_them_out_too() -> None:
    taint = {"key": "k", "effect": "NoExecute"}
    why = refusal(pod(), node(taint), [])
    assert why is not None
    assert why.reason == "TaintToleration"
    assert refusal(pod(tolerations=[{"key": "k", "operator": "Exists"}]), node(taint), []) is None
    assert refusal(pod(), node({"key": "k", "effect": "NoSchedule"}), []) is None
