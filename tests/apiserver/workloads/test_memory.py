"""Memory limits: a container beyond its own is killed, with and without control groups.

https://kubernetes.io/docs/tasks/configure-pod-container/assign-memory-resource/#exceed-a-container-s-memory-limit
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.apiserver.workloads.conftest import Obj, World, pod, recorded

from devplane.kubelet.processes import cgroups

HUNGRY = "x = []\nwhile True: x.append(b'x' * 4_000_000)"
LIMIT = {"resources": {"limits": {"memory": "100Mi"}}}


async def over(world: World, name: str) -> Obj:
    def state() -> Obj | None:
        found = world.client.get("pods", "default", name)["status"].get("containerStatuses") or [{}]  # type: ignore[index]
        return (found[0].get("state") or {}).get("terminated")  # type: ignore[no-any-return]

    return await world.until(state)  # type: ignore[no-any-return]


async def test_container_beyond_its_limit_is_killed_and_says_so(world: World) -> None:
    world.client.create("pods", "default", pod("hungry", sys.executable, "-c", HUNGRY, container=LIMIT))
    ended = await over(world, "hungry")
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


@pytest.fixture
def group() -> Iterator[Path]:
    """TUNEBIRD_TEST_CGROUP, one made below the v1 memory controller, or the delegated one of this process (v2)."""
    given, made = os.environ.get("TUNEBIRD_TEST_CGROUP"), None
    try:
        made = None if given else _made()
        place = given or made
        yield cgroups.named(Path(place)).directory if place else cgroups.own().directory
    except cgroups.NoGroupsError as why:
        pytest.skip(f"no control groups: {why}")
    finally:
        if made:
            made.rmdir()


def _made() -> Path | None:
    place = cgroups.MOUNT / "memory" / f"tunebird-test-{os.getpid()}"
    try:
        place.mkdir()
    except OSError:
        return None
    return place


@pytest.fixture
async def grouped(tmp_path: Path, group: Path) -> AsyncIterator[World]:
    """With control groups."""
    async with recorded(tmp_path / "devplane", cgroup=group) as one:
        yield one


async def test_kernel_kills_what_is_beyond_its_limit_and_the_group_goes_with_it(grouped: World) -> None:
    body = pod("hungry", sys.executable, "-c", HUNGRY, container=LIMIT)
    made = grouped.client.create("pods", "default", body)
    ended = await over(grouped, "hungry")
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)
    place = grouped.devplane.context().cgroup
    assert place is not None
    assert list(place.glob(f"{made['metadata']['uid']}*")) == []
