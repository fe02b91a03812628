"""Verbs on a FineTuneJob that nothing can obey: each is refused once, and said to be."""

import pytest

from fakes.finetune import World, manifest
from tunebird.finetune.observe import finished
from tunebird.kube.meta import JOB

INVALID = {"method": {"objective": "kto"}}


def refusals(world: World) -> dict[str, str]:
    return {f"{item['verb']}={item['value']}": item["refusal"] for item in world.status["consumedVerbs"]}


async def wrote_nothing(world: World) -> bool:
    world.kube.writes.clear()
    await world.step()
    return world.kube.writes == []


async def test_retry_of_a_job_with_an_invalid_spec_is_refused_with_an_event() -> None:
    world = World(manifest(**INVALID))
    await world.settle()
    world.annotate(retry="1")
    await world.settle()
    assert "specification is not valid" in refusals(world)["retry=1"]
    assert world.reasons == ["InvalidSpec", "VerbIgnored"]
    assert await wrote_nothing(world)


async def test_retry_that_is_there_from_the_beginning_is_refused_too() -> None:
    world = World(manifest(**INVALID))
    world.annotate(retry="1")
    await world.settle()
    assert "retry=1" in refusals(world)
    assert world.reasons == ["InvalidSpec", "VerbIgnored"]


async def test_an_unknown_verb_is_refused_once_and_the_job_goes_on() -> None:
    world = World()
    world.annotate(bogus="1")
    await world.settle()
    assert "no such verb" in refusals(world)["bogus=1"]
    assert world.reasons.count("VerbIgnored") == 1
    assert world.kube.find(JOB, "bot-1") is not None
    assert await wrote_nothing(world)


async def test_an_unknown_verb_wakes_a_finished_job_for_its_answer_only() -> None:
    world = World()
    await world.settle()
    world.exits(6)
    await world.settle()
    assert finished(world.job)
    world.annotate(bogus="1", retry="1")
    assert not finished(world.job)
    await world.settle()
    assert set(refusals(world)) == {"bogus=1", "retry=1"}
    assert finished(world.job)
    assert await wrote_nothing(world)


async def test_more_unknown_verbs_than_can_be_remembered_end() -> None:
    world = World()
    world.annotate(**{f"bogus-{number}": "x" * 200 for number in range(30)})
    await world.settle()
    assert 0 < world.reasons.count("VerbIgnored") < 10
    assert await wrote_nothing(world)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (INVALID, "spec.method can't be changed in place: delete this job and apply the corrected one"),
        ({"queueName": "a", "budget": {"gpuHours": 3}}, "spec.queueName can't be changed in place"),
    ],
)
async def test_an_invalid_field_that_cannot_be_changed_has_a_remedy_that_works(spec: dict, said: str) -> None:
    world = World(manifest(**spec))
    await world.settle()
    assert said in world.condition("Stalled")["message"]


async def test_an_invalid_field_that_can_be_changed_is_corrected_in_place() -> None:
    world = World(manifest(budget={"gpuHours": 3}))
    await world.settle()
    assert "spec.budget" in world.condition("Stalled")["message"]
    assert "delete this job" not in world.condition("Stalled")["message"]
