"""What a running job says that it does: the trainer's own phase, not only its last step."""

import pytest

from fakes.finetune import World


async def training() -> World:
    world = World()
    await world.settle()
    world.runs()
    await world.settle()
    return world


async def test_before_the_first_report_the_attempt_just_runs() -> None:
    world = await training()
    assert world.status["message"] == "Attempt 1 is running"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"phase": "load"}, "Attempt 1: loading the model"),
        ({"phase": "train", "step": 3, "of": 10}, "Attempt 1: training, step 3 of 10"),
        ({"phase": "save", "step": 10, "of": 10}, "Attempt 1: saving, step 10 of 10"),
        ({"phase": "evaluate", "step": 10, "of": 10}, "Attempt 1: evaluating, step 10 of 10"),
        (
            {"phase": "save", "step": 6, "of": 6, "activity": "base model: 0 of 20 answers, token 57"},
            "Attempt 1: saving, step 6 of 6: base model: 0 of 20 answers, token 57",
        ),
    ],
)
async def test_the_message_names_the_phase_and_the_step(told: dict, said: str) -> None:
    world = await training()
    world.report(**told)
    await world.settle()
    assert (world.status["message"], world.status["summary"]) == (said, said)
    world.kube.writes.clear()
    await world.step()
    assert world.kube.writes == []


async def test_what_is_done_within_a_phase_is_shown_ten_seconds_after_the_last_news() -> None:
    world = await training()
    told = {"phase": "save", "step": 6, "of": 6}
    world.report(**told, activity="0 of 20 answers, token 1 of 176")
    await world.settle()
    world.report(**told, activity="0 of 20 answers, token 9 of 176")
    await world.step()
    assert world.status["progress"]["activity"] == "0 of 20 answers, token 1 of 176"
    world.clock.advance(10)
    await world.settle()
    assert world.status["progress"]["activity"] == "0 of 20 answers, token 9 of 176"


async def test_a_new_attempt_does_not_show_the_figures_of_the_one_before() -> None:
    world = await training()
    world.report(phase="save", step=10, of=10, loss=2.0, etaSeconds=0)
    await world.settle()
    world.exits(85)
    await world.settle()
    world.clock.advance(600)
    await world.settle()
    assert world.status["attempts"][-1]["number"] == 2
    assert "progress" not in world.status
