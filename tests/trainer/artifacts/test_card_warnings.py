"""What the card warns of, and what it leaves unsaid."""

import pytest

from trainer.factories import config, sums
from tunebird_trainer import config_file
from tunebird_trainer.artifacts.card import card
from tunebird_trainer.data import reporting

PAIR = {"prompt": "Say hi", "chosen": "Hi, how are you?", "rejected": "No."}
ANSWERS = {"prompts": 20, "endTokenShare": 1.0, "baseEndTokenShare": None, "tokenLimit": 64}
NOTHING = {"evaluation": {}, "servable": {}, "environment": {}}


@pytest.fixture
def described(prepare):
    """The card of a run on these rows, with these facts."""

    def described(rows=None, *, metrics=None, answers=None, **changes):
        checks = {"answers": {**ANSWERS, **(answers or {})}, "mergedDivergence": 0.0, "topTokenAgreement": 1.0}
        facts = {"steps": 40, "metrics": metrics or {}, "checks": checks, **NOTHING}
        return card(config_file.parse(config(**changes)), facts, prepare(rows or sums(4), **changes))

    return described


def test_answers_that_did_not_end_are_told_beside_the_base_models(described):
    said = described(answers={"endTokenShare": 0.1, "baseEndTokenShare": 0.0})
    assert (
        "Of 20 prompts tried, 90% got an answer that did not end by itself within 64 tokens; "
        "with the base model it was 100%, so training did not cause it."
    ) in said


def test_answers_that_ended_more_often_before_are_told_as_such(described):
    said = described(answers={"prompts": 10, "endTokenShare": 0.8, "baseEndTokenShare": 1.0})
    assert "Of 10 prompts tried, 20% got an answer that did not end by itself" in said
    assert "with the base model it was 0%." in said
    assert "did not cause" not in said


def test_answers_that_all_ended_are_no_limitation(described):
    assert "did not end by itself" not in described()


def test_clipped_steps_are_told(described):
    assert "- gradients: clipped at 1, in 3 of 40 steps" in described(metrics={"clippedSteps": 3})


def test_without_clipping_none_is_told(described):
    said = described(training__maxGradientNorm=0.0, metrics={"clippedSteps": 0})
    assert "- gradients: not clipped" in said


@pytest.mark.parametrize(
    ("chosen", "warned"), [(PAIR["chosen"], True), (PAIR["rejected"], False)], ids=["longer", "as long"]
)
def test_preferences_that_lean_to_length_are_warned_of_in_log_and_card(prepare, described, chosen, warned):
    rows = [{**PAIR, "prompt": f"Say hi to {n}", "chosen": chosen, "rejected": "Hm."[: 3 - n % 2]} for n in range(12)]
    changes = {"method__objective": "dpo"}
    log = "\n".join(reporting.summary(prepare(rows, **changes)))
    said = "the chosen answer is the longer one in 100% of the pairs"
    assert (f"data: set0: warning: {said}; the model may learn length rather than quality" in log) is warned
    told = f"In `set0` {said}; the model may have learned length rather than quality."
    assert (told in described(rows, **changes)) is warned


def test_a_few_pairs_tell_nothing_of_length(prepare):
    told = reporting.summary(prepare([PAIR, {**PAIR, "prompt": "Greet me"}], method__objective="dpo"))
    assert not any("longer" in line for line in told)
