"""Verbs carry the rollout and step that the user saw, so that they can't hit a later one."""

import re

import click
import pytest

from tunebird.cli.verbs import Patience, answered, verb_value


def test_a_rollouts_verb_names_its_rollout_and_step() -> None:
    seen = {"metadata": {"name": "chat"}, "status": {"rollout": {"number": 7}, "step": {"index": 2}}}
    first, second = verb_value("modelrollout", seen), verb_value("modelrollout", seen)
    assert re.fullmatch(r"7/2/[0-9a-f]{6}", first)
    assert first != second, "the same verb given again must be a new one"


def test_a_rollout_that_never_started_takes_no_verb() -> None:
    with pytest.raises(click.ClickException, match="has not started a rollout"):
        verb_value("modelrollout", {"metadata": {"name": "chat"}})


def test_a_jobs_retry_names_the_next_attempt() -> None:
    seen = {"metadata": {"name": "bot"}, "status": {"attempts": [{"number": 1}, {"number": 2}]}}
    assert verb_value("finetunejob", seen) == "3"


def an_answer(**verb: str) -> dict[str, object]:
    return {"status": {"consumedVerbs": [{"verb": "promote", "value": "3/1/ab", **verb}]}}


def test_the_operators_refusal_is_waited_for_and_told() -> None:
    answers = iter([None, {"status": {}}, an_answer(refusal="step 1 is not a pause")])
    quick = Patience(sleep=lambda _: None)
    assert answered(lambda: next(answers), "promote", "3/1/ab", quick) == "step 1 is not a pause"


def test_a_verb_that_was_obeyed_has_no_refusal() -> None:
    assert answered(an_answer, "promote", "3/1/ab", Patience(tries=1)) == ""


def test_an_operator_that_says_nothing_is_no_success() -> None:
    assert answered(an_answer, "promote", "3/1/cd", Patience(tries=3, sleep=lambda _: None)) is None
