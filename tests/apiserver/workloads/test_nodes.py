"""Several declared nodes: GPUs, cordon and drain by a real kubectl, a node that fails and returns."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.apiserver.workloads.conftest import Obj, World, pod, started

from devplane.outside.remote import RemoteError, mark_node

BESIDE = Path(sys.executable).parent / "kubectl"
KUBECTL = str(BESIDE) if BESIDE.exists() else shutil.which("kubectl")


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[World]:
    """Nodes n1 and n2 with four GPUs each."""
    world = await started(tmp_path / "devplane", nodes=2, gpus=4)
    recording = asyncio.create_task(world.record())
    await world.until(lambda: world.client.get("serviceaccounts", "default", "default"))
    await world.until(lambda: len(world.client.list("nodes")) == 2)
    yield world
    recording.cancel()
    await world.devplane.stop()
    await asyncio.gather(recording, return_exceptions=True)


def holder(name: str, gpus: int, **spec: Any) -> Obj:
    return pod(name, "sleep", "600", container={"resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}, **spec)


def get(world: World, name: str) -> Obj:
    found = world.client.get("pods", "default", name)
    assert found is not None
    return found


def is_running(world: World, name: str) -> bool:
    return bool(get(world, name)["status"]["phase"] == "Running")


async def kubectl(world: World, *words: str) -> str:
    assert KUBECTL is not None
    process = await asyncio.create_subprocess_exec(
        *(KUBECTL, "--kubeconfig", str(world.devplane.kubeconfig), *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


async def test_a_pod_that_asks_for_room_on_the_disk_finds_it(two: World) -> None:
    room = {"resources": {"requests": {"ephemeral-storage": "1Mi"}, "limits": {"ephemeral-storage": "2Mi"}}}
    two.client.create("pods", "default", pod("room", "sleep", "600", container=room))
    await two.until(lambda: is_running(two, "room"))


def taints(world: World, node: str) -> list[tuple[str, str]]:
    found = world.client.get("nodes", "", node)
    assert found is not None
    return [(one["key"], one["effect"]) for one in found["spec"].get("taints") or ()]


async def test_pods_spread_over_the_nodes_and_wait_for_gpus(two: World) -> None:
    for name in ("a", "b"):
        two.client.create("pods", "default", holder(name, 3))
        await two.until(lambda name=name: is_running(two, name))  # type: ignore[misc]
    assert {get(two, name)["spec"]["nodeName"] for name in ("a", "b")} == {"n1", "n2"}
    two.client.create("pods", "default", holder("c", 3))
    await two.until(lambda: two.messages("FailedScheduling"))
    assert two.messages("FailedScheduling")[0] == (
        "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: 0/2 nodes are available: "
        "2 No preemption victims found for incoming pod."
    )
    two.client.delete("pods", "default", "a", grace_seconds=0)
    await two.until(lambda: is_running(two, "c"))


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
async def test_drained_node_is_empty_and_takes_nothing_until_it_is_uncordoned(two: World) -> None:
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": pod("w", "sleep", "600", restartPolicy="Always")["spec"],
    }
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    two.client.create("deployments.apps", "default", {"metadata": {"name": "web"}, "spec": spec})
    budget = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    two.client.create("poddisruptionbudgets.policy", "default", {"metadata": {"name": "web"}, "spec": budget})
    await two.until(lambda: {one["spec"].get("nodeName") for one in two.pods(labels="app=web")} == {"n1", "n2"})
    await two.until(lambda: allowed(two) == 1)
    said = await kubectl(two, "drain", "n1", "--timeout=60s")
    assert "node/n1 drained" in said
    assert taints(two, "n1") == [("node.kubernetes.io/unschedulable", "NoSchedule")]
    await two.until(lambda: [one["spec"].get("nodeName") for one in two.pods(labels="app=web")] == ["n2", "n2"])
    await kubectl(two, "uncordon", "n1")
    await two.until(lambda: not taints(two, "n1"))


def allowed(world: World) -> int:
    found = world.client.get("poddisruptionbudgets.policy", "default", "web")
    assert found is not None
    return int((found.get("status") or {}).get("disruptionsAllowed", 0))


def ready(world: World, node: str) -> str:
    found = world.client.get("nodes", "", node)
    assert found is not None
    return next(str(one["status"]) for one in found["status"]["conditions"] if one["type"] == "Ready")


async def test_pods_of_a_failed_node_are_deleted_when_they_bear_it_no_longer(two: World) -> None:
    brief = [
        {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}
    ]
    where = {"nodeSelector": {"kubernetes.io/hostname": "n2"}}
    two.client.create("pods", "default", holder("brief", 1, tolerations=brief, **where))
    two.client.create("pods", "default", holder("patient", 1, restartPolicy="Always", **where))
    await two.until(lambda: is_running(two, "brief") and is_running(two, "patient"))
    await asyncio.to_thread(mark_node, two.devplane.kubeconfig, "n2", failed=True)
    await two.until(lambda: ready(two, "n2") == "Unknown")
    lost = ("node.kubernetes.io/unreachable", "NoSchedule"), ("node.kubernetes.io/unreachable", "NoExecute")
    await two.until(lambda: taints(two, "n2") == list(lost))
    await two.until(lambda: "deletionTimestamp" in get(two, "brief")["metadata"])
    assert "deletionTimestamp" not in get(two, "patient")["metadata"]

    await asyncio.to_thread(mark_node, two.devplane.kubeconfig, "n2", failed=False)
    await two.until(lambda: ready(two, "n2") == "True" and not taints(two, "n2"))
    await two.until(lambda: two.client.get("pods", "default", "brief") is None)
    await two.until(lambda: get(two, "patient")["status"]["containerStatuses"][0]["restartCount"] == 1)
    told = {
        (one["reason"], one["count"], one["message"], tuple(one["source"].values()))
        for one in two.events()
        if (one["involvedObject"]["kind"], one["involvedObject"]["name"]) == ("Node", "n2")
    }
    assert told >= {
        ("RegisteredNode", 1, "Node n2 event: Registered Node n2 in Controller", ("node-controller",)),
        ("NodeNotReady", 1, "Node n2 status is now: NodeNotReady", ("node-controller",)),
        ("Starting", 2, "Starting kubelet.", ("kubelet", "n2")),
        ("NodeHasSufficientMemory", 2, "Node n2 status is now: NodeHasSufficientMemory", ("kubelet", "n2")),
        ("NodeReady", 2, "Node n2 status is now: NodeReady", ("kubelet", "n2")),
    }


async def test_node_that_is_declared_no_longer_goes_with_its_pods(tmp_path: Path) -> None:
    first = await started(tmp_path / "d", nodes=2)
    watching = asyncio.create_task(first.record())
    await first.until(lambda: len(first.client.list("nodes")) == 2)
    body = pod("left", "sleep", "600", restartPolicy="Always", nodeSelector={"kubernetes.io/hostname": "n2"})
    first.client.create("pods", "default", body)
    await first.until(lambda: is_running(first, "left"))
    watching.cancel()
    await first.devplane.stop()

    second = await started(tmp_path / "d", nodes=1)
    watching = asyncio.create_task(second.record())
    await second.until(lambda: second.client.get("pods", "default", "left") is None)
    assert [one["metadata"]["name"] for one in second.client.list("nodes")] == ["devplane"]
    watching.cancel()
    await second.devplane.stop()


async def test_node_that_is_not_there_can_not_fail(two: World) -> None:
    with pytest.raises(RemoteError, match='nodes "n3" not found'):
        await asyncio.to_thread(mark_node, two.devplane.kubeconfig, "n3", failed=True)
