"""A namespace's ResourceQuota, with the controllers that meet it."""

from __future__ import annotations

import pytest
from tests.apiserver.workloads.conftest import World, job, pod

from devplane.errors import ApiError


async def test_quota_refuses_pods_and_makes_room_when_they_go(world: World) -> None:
    body = {"metadata": {"name": "team"}, "spec": {"hard": {"pods": "1", "count/jobs.batch": "1"}}}
    world.client.create("resourcequotas", "default", body)
    world.client.create("pods", "default", pod("first", "sleep", "600"))
    await world.until(lambda: used(world) == {"pods": "1", "count/jobs.batch": "0"})
    with pytest.raises(ApiError, match="exceeded quota: team, requested: pods=1, used: pods=1, limited: pods=1"):
        world.client.create("pods", "default", pod("second", "true"))

    world.client.create("jobs.batch", "default", job("waits", "true"))
    with pytest.raises(ApiError, match=r"exceeded quota: team, requested: count/jobs\.batch=1"):
        world.client.create("jobs.batch", "default", job("other", "true"))
    await world.until(lambda: world.messages("FailedCreate"))
    world.client.delete("pods", "default", "first", grace_seconds=0)
    await world.until(lambda: world.has("jobs.batch", "waits", "Complete"))


def used(world: World) -> object:
    found = world.client.get("resourcequotas", "default", "team")
    assert found is not None
    return (found.get("status") or {}).get("used")
