"""The held-out suite of the examples: its references pass, and no row that is trained on comes near it."""

import json
from pathlib import Path

import pytest

import tunebird_checks
from trainer import factories
from tunebird_checks import Answer, Outcome, check, overall
from tunebird_checks.refusals import is_refusal
from tunebird_trainer import config_file
from tunebird_trainer.data import contamination, duplicates
from tunebird_trainer.data.formats import Format, example
from tunebird_trainer.data.work import Desk, Entry, Ledger, Work

DATA = Path(__file__).parents[3] / "examples" / "data"
SUITE = DATA / "heldout.suite.jsonl"
CASES = tunebird_checks.load(SUITE).cases


def rows(name):
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def trained():
    return [*rows("support.jsonl"), *rows("tunebird.jsonl")]


def passed(answer, case):
    return overall(check(Answer(answer), case)) is Outcome.PASS


@pytest.fixture
def desk(tmp_path):
    work = Work(tmp_path / "examples.jsonl")
    yield Desk(config_file.parse(factories.config()), work, Ledger(), None)
    work.close()


def entries(desk, held):
    examples = [example(row, Format.MESSAGES) for row in held]
    return [Entry(desk.work.add(f"row/{n}", each), 0, b"", b"") for n, each in enumerate(examples)]


def test_every_reference_passes_its_own_checks():
    assert [case.id for case in CASES if not passed(case.reference, case)] == []


@pytest.mark.parametrize("answer", ["", "I'm sorry, I can't help with that.", "Yes.", "no " * 200, "{}"])
def test_one_answer_to_everything_passes_little_but_its_own_kind(answer):
    passing = [case for case in CASES if passed(answer, case)]
    assert len([case for case in passing if "refusal" not in case.tags]) <= 5


def test_rows_that_decline_are_those_that_the_checks_take_for_refusals():
    answers = [row["messages"][-1]["content"] for row in rows("tunebird.jsonl")]
    assert {n for n, answer in enumerate(answers) if is_refusal(answer)} == {*range(155, 181)}


def test_no_row_is_near_to_another_in_training_or_held_out(desk):
    pytest.importorskip("datasketch")
    held = [factories.chat(case.prompt, case.reference) for case in CASES]
    every = entries(desk, [*trained(), *held])
    kept, shown = duplicates.without_near(every, 0.5, desk)
    assert (len(kept), shown) == (len(every), [])


def test_no_row_holds_a_prompt_of_the_suite(desk):
    every = entries(desk, trained())
    suites = contamination.read({"heldout": SUITE, "general": DATA / "general.suite.jsonl"})
    kept, report = contamination.without(every, suites, desk)
    assert (len(kept), report["heldout"]["rows"], report["general"]["rows"]) == (len(every), 0, 0)
