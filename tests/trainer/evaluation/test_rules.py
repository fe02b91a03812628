"""What the evaluation part of a config may not say."""

import pytest

from trainer.factories import config
from tunebird_trainer import config_file
from tunebird_trainer.outcome import Failure

CORE = {"name": "core", "uri": "file:///suite.jsonl"}
JUDGE = {"endpoint": "http://judge", "model": "j"}


def parsed(suites, gates, **changes):
    return config_file.parse(config(evaluation={"suites": suites, "gates": gates, "canaries": 0}, **changes))


@pytest.mark.parametrize(
    "gate",
    [
        {"metric": "core.instructionSuccess", "minimum": 0.9},
        {"metric": "core.leakage", "maximum": 0},
        {"metric": "core.perplexity", "maxRegressionRelative": 0.1, "compareTo": "pvc://models/other"},
        {"metric": "training.memorisation", "maximum": 0.1},
        {"metric": "validation.perplexity", "maxRegressionRelative": 0},
        {"metric": "core.perplexity", "maximum": 95},
        {"metric": "core.latency", "maximum": 30},
        {"metric": "core.accuracy", "maxRegressionRelative": 1.5},
    ],
)
def test_gates_that_make_sense_are_taken(gate):
    assert parsed([CORE], [gate]).evaluation.gates[0].metric == gate["metric"]


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        ({"metric": "other.accuracy", "minimum": 0.5}, "there is no suite 'other'; name one of core"),
        ({"metric": "core.charm", "minimum": 0.5}, "suites have no 'charm'"),
        ({"metric": "core.exposure", "maximum": 4}, "suites have no 'exposure'"),
        ({"metric": "core.accuracy"}, "has no bound; give exactly one"),
        ({"metric": "core.accuracy", "minimum": 0.5, "maximum": 0.9}, "has minimum and maximum; give exactly one"),
        ({"metric": "core.accuracy", "minimum": 0.5, "compareTo": "pvc://m/x"}, "goes with a maxRegression"),
        ({"metric": "core.judgeScore", "minimum": 0.5}, "the suite has no judge"),
        ({"metric": "canaries.exposure", "maximum": 4}, "set evaluation.canaries"),
        ({"metric": "training.accuracy", "minimum": 0.5}, "training has memorisation"),
        (
            {"metric": "core.instructionSuccess", "minimum": 95},
            "minimum: 95 lies outside 0 to 1, where core.instructionSuccess is; write 0.95 for 95 %",
        ),
        ({"metric": "core.rougeL", "minimum": -0.5}, "minimum: -0.5 lies outside 0 to 1"),
        ({"metric": "training.memorisation", "maximum": 10}, "maximum: 10 lies outside 0 to 1"),
        ({"metric": "core.accuracy", "maxRegressionAbsolute": 2}, "maxRegressionAbsolute: 2 lies outside 0 to 1"),
    ],
)
def test_gates_that_do_not_are_named_with_the_remedy(gate, told):
    with pytest.raises(Failure, match=r"evaluation\.gates\[0\]") as found:
        parsed([CORE], [gate])
    assert told in found.value.message


@pytest.mark.parametrize(
    ("suites", "told"),
    [
        ([CORE, CORE], "the name 'core' is used twice"),
        ([{**CORE, "name": "training"}], "'training' stands for metrics that come without a suite"),
        ([{**CORE, "judge": {**JUDGE, "endpoint": "judge:80"}}], "judge.endpoint: 'judge:80' is no http"),
        ([{**CORE, "generation": {"samples": 3}}], "greedy answers are all the same"),
        ([{"name": "mmlu", "uri": "lm-eval://mmlu", "judge": JUDGE}], "brings its own generation"),
    ],
)
def test_suites_that_make_no_sense_are_named(suites, told):
    with pytest.raises(Failure) as found:
        parsed(suites, [])
    assert told in found.value.message


def test_held_out_perplexity_needs_held_out_rows():
    with pytest.raises(Failure, match=r"validation\.percent"):
        parsed([CORE], [{"metric": "validation.perplexity", "maximum": 9}], validation__percent=0)


def test_a_task_of_the_harness_has_its_accuracy_alone():
    suite = {"name": "mmlu", "uri": "lm-eval://mmlu"}
    assert parsed([suite], [{"metric": "mmlu.accuracy", "minimum": 0.3}])
    with pytest.raises(Failure, match="use one of accuracy"):
        parsed([suite], [{"metric": "mmlu.leakage", "maximum": 0}])
