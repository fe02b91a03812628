"""The suites that quality is measured with: right answers pass, wrong ones don't, and no row that is trained on comes
near them."""

import functools
import json
import re
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
GENERAL = tunebird_checks.load(DATA / "general.suite.jsonl").cases
ROWS = ("support", "tunebird", "border", "general")


def rows(name):
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def trained():
    return [row for name in ROWS for row in rows(f"{name}.jsonl")]


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


def right_answer(case):
    """A sentence with the first word that the case's check looks for."""
    (wanted,) = rows_by_id()[case.id]["checks"]
    first = wanted["all"][0] if "all" in wanted else re.sub(r"\\A\\W\*|\\b|\(\?:|[\\()]", "", wanted["pattern"])
    return f"{first.partition('|')[0].capitalize() if 'all' not in wanted else first}, that is it."


@functools.cache
def rows_by_id():
    return {row["id"]: row for row in rows("general.suite.jsonl")}


def test_a_right_answer_to_each_general_question_passes():
    assert [case.prompt for case in GENERAL if not passed(right_answer(case), case)] == []


def test_hardly_a_general_question_takes_the_right_answer_to_another():
    """Of the answers to the twenty cases that follow; by chance two cases want the same word."""
    others = [(case, GENERAL[(n + k) % len(GENERAL)]) for n, case in enumerate(GENERAL) for k in range(1, 21)]
    taken = [(case.prompt, other.prompt) for case, other in others if passed(right_answer(other), case)]
    assert len(taken) <= 0.02 * len(others), taken


@pytest.mark.parametrize("answer", ["", "I'm sorry, I can't help with that.", "I don't know.", "Good question!"])
def test_an_evasive_answer_passes_no_general_question(answer):
    assert [case.prompt for case in GENERAL if passed(answer, case)] == []


def test_a_general_question_does_not_hold_its_own_answer():
    assert [case.prompt for case in GENERAL if passed(case.prompt, case)] == []


def test_rows_that_decline_are_those_that_the_checks_take_for_refusals():
    answers = [row["messages"][-1]["content"] for row in rows("tunebird.jsonl")]
    assert {n for n, answer in enumerate(answers) if is_refusal(answer)} == {*range(155, 181)}
    harmless = [row["messages"][-1]["content"] for name in ("border", "general") for row in rows(f"{name}.jsonl")]
    assert [answer for answer in harmless if is_refusal(answer)] == []


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
