"""Every call of the API fails once, before or after it took effect: the job converges to the same end."""

from collections.abc import Callable

import pytest

from fakes.finetune import World, manifest
from fakes.kube import Call
from tunebird.kube.errors import Conflict, KubeError, Rejected, Unavailable
from tunebird.kube.meta import FINE_TUNE_JOB, JOB, Ref

CALLS = 24


class Fault:
    """Raises at the n-th call, once."""

    def __init__(self, number: int, error: KubeError) -> None:
        self.left = number
        self.error = error

    def __call__(self, call: Call) -> None:
        del call
        self.left -= 1
        if self.left == 0:
            raise self.error


async def _lived(world: World) -> None:
    """A whole life: a failure that is retried, then success."""
    for happen in (
        lambda: None,
        world.runs,
        lambda: world.exits(203),
        lambda: world.runs(2),
        lambda: world.succeeds(2),
    ):
        happen()
        for _ in range(12):
            try:
                await world.step()
            except KubeError:
                continue
        world.clock.advance(30)
        for _ in range(4):
            try:
                await world.step()
            except KubeError:
                continue


@pytest.mark.parametrize("error", [Unavailable("gone"), Conflict("late")], ids=["unavailable", "conflict"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(1, CALLS))
async def test_one_fault_anywhere_changes_nothing_in_the_end(number: int, when: str, error: KubeError) -> None:
    world = World()
    setattr(world.kube, when, Fault(number, error))
    await _lived(world)
    assert world.status["phase"] == "Succeeded"
    assert [job["metadata"]["name"] for job in world.jobs()] == ["bot-1", "bot-2"]
    assert world.status["restarts"] == 1


async def test_status_is_saved_before_children_are_made() -> None:
    world = World()
    await world.settle()
    verbs = [(call.verb, call.ref.kind.kind) for call in world.kube.writes if call.verb != "post"]
    assert verbs[:3] == [("replace_status", "FineTuneJob"), ("create", "ConfigMap"), ("create", "Job")]


async def test_nothing_is_made_while_the_status_cannot_be_saved() -> None:
    world = World()
    world.kube.before = _always("replace_status", Unavailable("read-only"))
    for _ in range(5):
        with pytest.raises(Unavailable):
            await world.step()
    assert world.jobs() == []


async def test_a_job_that_the_server_refuses_fails_with_the_servers_words() -> None:
    world = World()
    world.kube.before = _on_job_creation(Rejected("spec.template: Invalid value", code=422, reason="Invalid"))
    await world.settle()
    assert world.condition("Failed")["reason"] == "JobRejected"
    assert "spec.template: Invalid value" in world.condition("Failed")["message"]


async def test_a_quota_is_tried_again_within_the_restart_budget() -> None:
    world = World(manifest(failurePolicy={"maxRestarts": 1}))
    world.kube.before = _on_job_creation(Rejected("exceeded quota: jobs", code=403, reason="Forbidden"))
    await world.settle()
    assert world.status["phase"] == "Planned"
    world.clock.advance(600)
    await world.settle()
    assert world.condition("Failed")["reason"] == "QuotaExceeded"


async def test_a_job_that_is_being_deleted_or_made_anew_is_left_alone() -> None:
    world = World()
    world.kube.patch(
        Ref(FINE_TUNE_JOB, "default", "bot"),
        {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x"]}},
    )
    assert (await world.step()).seconds is None
    assert world.kube.writes == []


def _always(verb: str, error: KubeError) -> Callable[[Call], None]:
    def hook(call: Call) -> None:
        if call.verb == verb:
            raise error

    return hook


def _on_job_creation(error: KubeError) -> Callable[[Call], None]:
    def hook(call: Call) -> None:
        if call.verb == "create" and call.ref.kind == JOB:
            raise error

    return hook
