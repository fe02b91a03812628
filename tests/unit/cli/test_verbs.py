"""Verbs carry the rollout and step that the user saw, so that they can't hit a later one."""

import re

import click
import pytest

from tunebird.cli.verbs import verb_value


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
