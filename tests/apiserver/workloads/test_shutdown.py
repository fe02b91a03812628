"""SIGTERM of the control plane: pods get theirs and the time to obey it, and the next start knows how they ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.apiserver.workloads.conftest import PATIENCE, Obj, World, job, pod, started

SAVES = "trap 'echo saving; sleep 0.3; echo saved; exit 85' TERM; echo ready; while :; do sleep 0.05; done"
STUBBORN = "trap 'echo heard' TERM; echo ready; while :; do sleep 0.05; done"


@asynccontextmanager
async def running(data_dir: Path, **options: Any) -> AsyncIterator[World]:
    world = await started(data_dir, **options)
    recording = asyncio.create_task(world.record())
    try:
        yield world
    finally:
        recording.cancel()
        await world.devplane.stop()


async def says(world: World, name: str, word: str) -> None:
    await world.until(lambda: world.client.get("pods", "default", name)["status"].get("containerStatuses"))  # type: ignore[index]
    await world.until(lambda: "running" in container(world, name)["state"])
    async with asyncio.timeout(PATIENCE):
        while word not in await world.log(name):  # noqa: ASYNC110 - a log has no watch
            await asyncio.sleep(0.02)


def container(world: World, name: str) -> Obj:
    found = world.client.get("pods", "default", name)
    assert found is not None
    status: Obj = found["status"]["containerStatuses"][0]
    return status


async def test_container_writes_its_checkpoint_before_the_control_plane_ends(tmp_path: Path) -> None:
    async with running(tmp_path / "d") as first:
        body = pod("trainer", "sh", "-c", SAVES, terminationGracePeriodSeconds=20)
        first.client.create("pods", "default", body)
        await says(first, "trainer", "ready")

    async with running(tmp_path / "d") as second:
        found = second.client.get("pods", "default", "trainer")
        assert found is not None
        assert (found["status"]["phase"], found["status"]["reason"]) == ("Failed", "Terminated")
        assert found["status"]["message"] == "Pod was terminated in response to imminent node shutdown."
        assert container(second, "trainer")["state"]["terminated"]["exitCode"] == 85
        disrupted = [one for one in found["status"]["conditions"] if one["type"] == "DisruptionTarget"]
        assert [(one["status"], one["reason"]) for one in disrupted] == [("True", "TerminationByKubelet")]
        assert (await second.log("trainer")).splitlines() == ["ready", "saving", "saved"]


async def test_pod_that_ends_well_during_the_shutdown_has_succeeded(tmp_path: Path) -> None:
    async with running(tmp_path / "d") as first:
        body = pod("done", "sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done")
        first.client.create("pods", "default", body)
        await says(first, "done", "ready")

    async with running(tmp_path / "d") as second:
        assert second.client.get("pods", "default", "done")["status"]["phase"] == "Succeeded"  # type: ignore[index]


async def test_server_that_is_restarted_always_is_the_same_pod_after_the_start(tmp_path: Path) -> None:
    async with running(tmp_path / "d") as first:
        first.client.create(
            "pods",
            "default",
            pod("server", "sh", "-c", SAVES, restartPolicy="Always", terminationGracePeriodSeconds=20),
        )
        await says(first, "server", "ready")

    async with running(tmp_path / "d") as second:
        await second.until(lambda: container(second, "server")["restartCount"] == 1)
        assert container(second, "server")["lastState"]["terminated"]["exitCode"] == 85


async def test_all_pods_together_have_the_time_that_was_given(tmp_path: Path) -> None:
    async with running(tmp_path / "d", shutdown_seconds=0.5) as first:
        for name in ("one", "two"):
            body = pod(name, "sh", "-c", STUBBORN, terminationGracePeriodSeconds=60)
            first.client.create("pods", "default", body)
            await says(first, name, "ready")
        before = time.monotonic()
        await first.devplane.stop()
        assert 0.5 <= time.monotonic() - before < 30

    async with running(tmp_path / "d") as second:
        assert [container(second, name)["state"]["terminated"]["exitCode"] for name in ("one", "two")] == [137, 137]
        assert "heard" in await second.log("one")


async def test_deaf_process_is_not_waited_for(tmp_path: Path) -> None:
    world = await started(tmp_path / "d")
    world.client.create("pods", "default", pod("deaf", "sleep", "600", terminationGracePeriodSeconds=100))
    async with asyncio.timeout(PATIENCE):
        while world.client.get("pods", "default", "deaf")["status"]["phase"] != "Running":  # type: ignore[index]  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    before = time.monotonic()
    await world.devplane.stop()
    assert time.monotonic() - before < 50


async def test_job_hears_of_the_end_at_the_next_start(tmp_path: Path) -> None:
    rules = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]
    body = job("train", "sh", "-c", SAVES, podFailurePolicy={"rules": rules})
    body["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 20
    async with running(tmp_path / "d") as first:
        first.client.create("jobs.batch", "default", body)
        held = await first.until(first.pods)
        await says(first, held[0]["metadata"]["name"], "ready")

    async with running(tmp_path / "d") as second:
        names = {held[0]["metadata"]["name"]}
        await second.until(lambda: [one for one in second.pods() if one["metadata"]["name"] not in names])
        assert not second.has("jobs.batch", "train", "Failed")
