"""A whole evaluation: from a config to the report, its files, its cache, and the end of the run."""

import json
import shutil
from pathlib import Path

import pytest

from trainer.evaluation.asking import Calm, asking, cases, evaluated
from trainer.factories import placed, write_rows
from trainer.processes import run
from trainer.web import JsonHandler, served
from tunebird_trainer import __main__ as wrapper
from tunebird_trainer import config_file, evaluation
from tunebird_trainer.evaluation import command
from tunebird_trainer.outcome import Failure, Reason

GATE = {"metric": "core.instructionSuccess", "minimum": 0.5}


def test_gates_that_hold_pass_and_the_base_is_compared(tmp_path, tiny_model):
    report = evaluated(asking(tmp_path, tiny_model, cases(), [GATE]), tiny_model, tmp_path)
    told = report.manifest()
    assert (report.status, report.gates_passed) == ("Passed", True)
    assert told["metrics"]["core.instructionSuccess"]["change"]["value"] == 0.0
    assert evaluation.failure_of(told) is None
    assert evaluation.entries_of(told)[0]["passed"] is True
    assert (tmp_path / "out/evaluation/core.jsonl").read_text() == ""


def test_failing_cases_go_to_a_file_and_not_into_the_report(tmp_path, tiny_model):
    impossible = [{"type": "contains", "all": ["no model says this"]}]
    report = evaluated(asking(tmp_path, tiny_model, cases(3, impossible), [GATE]), tiny_model, tmp_path)
    told = report.manifest()
    rows = [json.loads(line) for line in (tmp_path / "out/evaluation/core.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["0", "1", "2"]
    assert rows[0]["verdicts"][0]["reason"] == "lacks 'no model says this'"
    assert "no model says this" not in json.dumps(told)
    assert evaluation.failure_of(told).reason is Reason.GATE_FAILED
    assert evaluation.failure_of(told).exit_code == 7


def test_without_gates_it_is_ungated_and_nothing_fails(tmp_path, tiny_model):
    report = evaluated(asking(tmp_path, tiny_model, cases(3)), tiny_model, tmp_path)
    assert (report.status, report.gates_passed) == ("Ungated", False)
    assert evaluation.failure_of(report.manifest()) is None


def test_scores_are_kept_by_digest(tmp_path, tiny_model, capsys):
    raw = asking(tmp_path, tiny_model, cases(3))
    first = evaluated(raw, tiny_model, tmp_path).manifest()
    capsys.readouterr()
    assert evaluated(raw, tiny_model, tmp_path).manifest() == first
    assert "asking" not in capsys.readouterr().out
    write_rows(tmp_path / "suite.jsonl", cases(4))
    evaluated(raw, tiny_model, tmp_path)
    assert "asking 4 cases" in capsys.readouterr().out


def test_a_damaged_score_is_made_again(tmp_path, tiny_model):
    raw = asking(tmp_path, tiny_model, cases(3))
    first = evaluated(raw, tiny_model, tmp_path).manifest()["metrics"]["core.instructionSuccess"]
    for path in (tmp_path / "checkpoints/evaluation").glob("*.json"):
        path.write_text(path.read_text()[:100])
    assert evaluated(raw, tiny_model, tmp_path).manifest()["metrics"]["core.instructionSuccess"] == first


def test_sigterm_stops_between_batches(tmp_path, tiny_model):
    session = Calm()
    session.stops = True
    with pytest.raises(Failure) as found:
        evaluated(asking(tmp_path, tiny_model, cases(3)), tiny_model, tmp_path, session)
    assert found.value.reason is Reason.PREEMPTED


def test_a_suite_whose_judge_is_dead_is_inconclusive(tmp_path, tiny_model, monkeypatch):
    monkeypatch.setattr("tunebird_checks.chat.Target.__init__.__defaults__", ("", "", 8, 1.0, 0, 0.0))
    judged = cases(3, [{"type": "judge", "rubric": "Is it right?"}])
    raw = asking(tmp_path, tiny_model, judged, [GATE], judge={"endpoint": "http://127.0.0.1:9", "model": "j"})
    told = evaluated(raw, tiny_model, tmp_path).manifest()
    failure = evaluation.failure_of(told)
    assert (told["status"], failure.reason) == ("EvaluationInconclusive", Reason.EVALUATION_INCONCLUSIVE)
    assert "the judge can't be asked" in failure.message
    assert evaluation.entries_of(told)[0]["passed"] is False


@pytest.mark.parametrize(
    ("rows", "reason", "told"),
    [
        ([], Reason.EVALUATION_INCONCLUSIVE, "holds no case"),
        ([{"id": "a"}], Reason.INVALID_DATASET, "suite.jsonl:1 give prompt or messages"),
        (cases(1, [{"type": "judge", "rubric": "?"}]), Reason.INVALID_CONFIG, "asks a judge and there is none"),
    ],
)
def test_what_is_wrong_with_a_suite_is_said_before_training(tmp_path, tiny_model, rows, reason, told):
    with pytest.raises(Failure) as found:
        evaluation.preflight(config_file.parse(asking(tmp_path, tiny_model, rows)))
    assert found.value.reason is reason
    assert told in found.value.message


def test_a_suite_that_changed_since_it_was_pinned_is_refused(tmp_path, tiny_model):
    raw = asking(tmp_path, tiny_model, cases(1), digest="sha256:" + "0" * 64)
    with pytest.raises(Failure, match="changed since it was pinned"):
        evaluation.preflight(config_file.parse(raw))


def test_a_suite_too_small_for_its_gate_is_warned_of(tmp_path, tiny_model, capsys):
    raw = asking(tmp_path, tiny_model, cases(40), [{"metric": "core.instructionSuccess", "minimum": 0.95}])
    evaluation.preflight(config_file.parse(raw))
    assert "core: 40 cases can't prove instructionSuccess minimum 0.95" in capsys.readouterr().out


def test_the_harness_is_refused_by_name_where_it_is_absent(tmp_path, tiny_model, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    raw = placed(tmp_path, tiny_model, evaluation={"suites": [{"name": "arc", "uri": "lm-eval://arc_easy"}]})
    with pytest.raises(Failure, match="needs lm-evaluation-harness, which is not installed"):
        evaluation.preflight(config_file.parse(raw))


def test_the_termination_messages_part_stays_below_two_kilobytes(tmp_path, tiny_model):
    gates = [{"metric": f"core.{name}", "minimum": 0.5} for name in ("instructionSuccess", "refusals")] * 16
    rows = cases(6, [{"type": "length", "maxWords": 500}, {"type": "rougeL", "minimum": 0}], reference="It is 2.")
    entries = evaluation.entries_of(
        evaluated(asking(tmp_path, tiny_model, rows, gates), tiny_model, tmp_path).manifest()
    )
    assert len(json.dumps(entries, separators=(",", ":")).encode()) <= 2048
    assert [entry["passed"] for entry in entries][:3] == [False] * 3  # what did not pass comes first


def test_a_run_publishes_a_failing_model_and_ends_with_seven(tmp_path, tiny_model):
    impossible = [{"type": "contains", "all": ["no model says this"]}]
    raw = asking(tmp_path, tiny_model, cases(3, impossible), [GATE])
    raw["evaluation"]["canaries"] = 2
    raw["training"]["maxSequenceLength"] = 128
    result = run(raw, tmp_path)
    assert (result.code, result.journal["reason"]) == (7, "GateFailed"), result.log
    manifest = json.loads((tmp_path / "out/tunebird.json").read_text())
    assert manifest["gatesPassed"] is False
    assert manifest["evaluation"]["status"] == "GateFailed"
    assert result.journal["artifact"]["digest"] == manifest["digest"]
    assert result.journal["evaluation"][0]["metric"] == "core.instructionSuccess"
    exposure = manifest["evaluation"]["metrics"]["canaries.exposure"]
    assert 0 <= exposure["value"] <= 8
    assert "validation.perplexity" in manifest["evaluation"]["metrics"]
    assert (tmp_path / "out/evaluation/core.jsonl").read_text().count("\n") == 3
    again = run(raw, tmp_path)
    assert (again.code, again.journal["reason"]) == (7, "GateFailed")
    assert "published by an earlier try" in again.log
    for made in ("out", "checkpoints/evaluation"):
        shutil.rmtree(tmp_path / made)
    assert run(raw, tmp_path).code == 7
    assert json.loads((tmp_path / "out/tunebird.json").read_text())["digest"] == manifest["digest"]


class _Yes(JsonHandler):
    def get(self):
        self.say({"data": [{"id": "m"}]})

    def post(self):
        self.asked()
        self.say({"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}], "usage": {}})


@pytest.fixture
def endpoint():
    """A server that says yes to everything."""
    with served(_Yes) as url:
        yield url


def test_the_command_asks_an_endpoint_and_writes_what_it_found(tmp_path, tiny_model, endpoint, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = cases(80, [{"type": "exact", "texts": ["Yes"]}])
    raw = asking(tmp_path, tiny_model, rows, [{"metric": "core.accuracy", "minimum": 0.95}])
    assert command.main(config_file.parse(raw), endpoint) == 0
    assert json.loads(Path("evaluation.json").read_text())["status"] == "Passed"
    said = capsys.readouterr().out
    assert "passed: core.accuracy is 1 with 95% interval 0.9549 to 1 over 80 cases" in said
    assert f"evaluation: Passed; written to {tmp_path}/evaluation.json" in said
    assert f"{tmp_path}/evaluation/core.jsonl" in said


def test_the_command_writes_where_it_is_told_and_says_what_it_replaces(tmp_path, tiny_model, endpoint, capsys):
    raw = asking(tmp_path, tiny_model, cases(3, [{"type": "exact", "texts": ["No"]}]))
    for _ in range(2):
        (tmp_path / "config.json").write_text(json.dumps(raw))
        where = tmp_path / "deep" / "results"
        arguments = [str(tmp_path / "config.json"), "--evaluate", "--endpoint", endpoint, "--out", str(where)]
        assert wrapper.run(arguments) == 0
        said = capsys.readouterr().out
    assert (where / "evaluation.json").is_file()
    assert (where / "evaluation" / "core.jsonl").read_text().count("\n") == 3
    assert f"evaluation: replaces {where}/evaluation.json, {where}/evaluation/core.jsonl" in said


def test_a_place_that_can_not_be_written_is_refused_before_anything_is_asked(tmp_path, tiny_model):
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match=r"--out .*/file can't be written: .*; name another directory") as failed:
        command.main(config_file.parse(asking(tmp_path, tiny_model, cases(1))), out=tmp_path / "file")
    assert failed.value.exit_code == 2


def test_the_command_without_an_artifact_says_what_to_do(tmp_path, tiny_model):
    with pytest.raises(Failure, match="train first, or serve a model and name it with --endpoint") as failed:
        command.main(config_file.parse(asking(tmp_path, tiny_model, cases(1))), out=tmp_path)
    assert failed.value.exit_code == 4
    assert not (tmp_path / "evaluation.json").exists()


def test_a_command_that_fails_speaks_as_every_other_does(tmp_path, tiny_model, capsys):
    (tmp_path / "config.json").write_text(json.dumps(placed(tmp_path, tiny_model)))
    assert wrapper.run([str(tmp_path / "config.json"), "--evaluate"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("tunebird-trainer: InvalidConfig: evaluation.suites: there is none to run; add one")
