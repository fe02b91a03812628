"""The example suite: large enough for its gate, and each of its reference answers would pass."""

import json
from pathlib import Path

import pytest

import tunebird_checks
from tunebird_checks import Answer, Outcome, check, overall
from tunebird_checks.__main__ import main
from tunebird_checks.refusals import is_refusal

DATA = Path(__file__).parents[3] / "examples" / "data"
SUITE = DATA / "support.suite.jsonl"


def test_every_reference_passes_its_own_checks():
    for case in tunebird_checks.load(SUITE).cases:
        verdicts = check(Answer(case.reference), case)
        assert overall(verdicts) is Outcome.PASS, (case.id, verdicts)


@pytest.mark.parametrize(
    "answer", ["", "I'm sorry, I can't help with that.", "Yes." * 40, "As an AI I think\n# One\n- a"]
)
def test_an_answer_without_content_passes_few(answer):
    cases = tunebird_checks.load(SUITE).cases
    passed = [case.id for case in cases if overall(check(Answer(answer), case)) is Outcome.PASS]
    assert len(passed) <= 9  # at most the refusals


def test_it_is_large_enough_to_prove_its_gate():
    assert main(["lint", str(SUITE), "--minimum", "95%"]) == 0


def test_every_case_is_a_row_of_the_data():
    rows = [json.loads(line)["messages"] for line in (DATA / "support.jsonl").read_text().splitlines()]
    known = {json.dumps(turns) for turns in rows}
    for case in tunebird_checks.load(SUITE).cases:
        assert json.dumps([*case.turns, {"role": "assistant", "content": case.reference}]) in known


def test_refusals_of_the_data_are_found_and_explanations_are_not():
    answers = [
        json.loads(line)["messages"][-1]["content"] for line in (DATA / "support.jsonl").read_text().splitlines()
    ]
    refused = {row for row, answer in enumerate(answers) if is_refusal(answer)}
    assert refused == {*range(251, 264), 266, 267, 268, 269}
