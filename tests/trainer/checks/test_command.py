"""`tunebird-checks` as people call it."""

import json

import pytest

from trainer.web import JsonHandler, served
from tunebird_checks.__main__ import main


def suite(tmp_path, count, **fields):
    rows = [
        {"id": str(n), "prompt": f"Question {n}", "checks": [{"type": "contains", "any": ["yes"]}], **fields}
        for n in range(count)
    ]
    path = tmp_path / "suite.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def yes():
    """An endpoint that says yes, but for question 3."""

    class Yes(JsonHandler):
        def post(self):
            said = "no" if self.asked()["messages"][0]["content"].endswith(" 3") else "yes"
            self.say({"choices": [{"message": {"content": said}}], "usage": {"completion_tokens": 1}})

    with served(Yes) as url:
        yield url


@pytest.mark.parametrize(
    ("count", "arguments", "code"),
    [(71, ["--minimum", "95%"], 1), (72, ["--minimum", "95%"], 0), (72, ["--minimum", "95%", "--confidence", "99%"], 1),
     (36, ["--maximum", "10%"], 0), (35, ["--maximum", "10%"], 1), (380, ["--max-regression", "1%"], 1),
     (381, ["--max-regression", "1%"], 0), (5, ["--metric", "leakage", "--maximum", "0%"], 0),
     (5, ["--minimum", "100%"], 0), (5, [], 0)],
)  # fmt: skip
def test_lint_says_whether_a_suite_could_prove_its_gate(tmp_path, count, arguments, code):
    assert main(["lint", str(suite(tmp_path, count)), *arguments]) == code


def test_lint_names_how_many_cases_it_takes(tmp_path, capsys):
    main(["lint", str(suite(tmp_path, 40)), "--minimum", "95%"])
    assert "40 cases can't prove instructionSuccess minimum 0.95" in (said := capsys.readouterr().err)
    assert "takes 72" in said


def test_lint_counts_only_the_cases_that_a_metric_is_about(tmp_path, capsys):
    path = suite(tmp_path, 90)
    assert main(["lint", str(path), "--metric", "overRefusal", "--maximum", "5%"]) == 1
    assert "no case is about overRefusal" in capsys.readouterr().err


def test_lint_warns_of_equal_prompts_and_of_a_judge_without_labels(tmp_path, capsys):
    path = suite(tmp_path, 2, prompt="Same", checks=[{"type": "judge", "rubric": "?"}])
    assert main(["lint", str(path)]) == 0
    said = capsys.readouterr().out
    assert "2 cases have the same prompt" in said
    assert "none has labels" in said


def test_an_invalid_or_empty_suite_is_refused(tmp_path, capsys):
    (tmp_path / "bad.jsonl").write_text('{"id": 1}\n')
    (tmp_path / "empty.jsonl").write_text("\n")
    assert main(["lint", str(tmp_path / "bad.jsonl")]) == 2
    assert "bad.jsonl:1 id: " in capsys.readouterr().err
    assert main(["lint", str(tmp_path / "empty.jsonl")]) == 2
    assert main(["lint", str(tmp_path / "absent.jsonl")]) == 2


def test_run_prints_every_metric_and_keeps_the_failing_cases(tmp_path, capsys, yes):
    path, failing = suite(tmp_path, 20), tmp_path / "failing.jsonl"
    asked = ["run", "--suite", str(path), "--endpoint", yes, "--model", "m", "--failing", str(failing)]
    assert main(asked) == 0
    assert "instructionSuccess                      0.95" in capsys.readouterr().out
    (row,) = map(json.loads, failing.read_text().splitlines())
    assert (row["id"], row["answer"], row["verdicts"][0]["type"]) == ("3", "no", "contains")
    assert main([*asked, "--minimum", "70%"]) == 0
    assert main([*asked, "--minimum", "90%"]) == 1


def test_run_on_a_dead_endpoint_is_no_success(tmp_path, capsys):
    assert main(["run", "--suite", str(suite(tmp_path, 1)), "--endpoint", "http://127.0.0.1:9", "--model", "m"]) == 1
    assert "not every case was answered" in capsys.readouterr().err
