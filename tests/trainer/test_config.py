import dataclasses
import json
import typing
from pathlib import Path

import pytest

from trainer.factories import config
from tunebird_trainer import __main__ as command
from tunebird_trainer import config as configs
from tunebird_trainer import config_errors, config_file
from tunebird_trainer.outcome import ExitCode, Failure


def problems(raw) -> str:
    with pytest.raises(Failure) as caught:
        config_file.parse(raw)
    assert caught.value.exit_code is ExitCode.CONFIG
    return caught.value.message


def test_a_whole_config_becomes_values_and_back():
    whole = configs.as_json(config_file.parse(config()))
    assert configs.as_json(config_file.parse(whole)) == whole
    assert all(key in whole for key in config())


def test_the_dataclasses_have_exactly_the_fields_and_defaults_of_the_schema():
    schema = config_file.schema()

    def default(field):
        if field.default is not dataclasses.MISSING:
            return configs.as_json(field.default)
        return configs.as_json(field.default_factory())

    def compare(kind, part):
        part = schema["$defs"][part["$ref"].rsplit("/", 1)[1]] if "$ref" in part else part
        assert {configs.camel(field.name) for field in dataclasses.fields(kind)} == set(part["properties"]), kind
        for field in dataclasses.fields(kind):
            name = configs.camel(field.name)
            if name not in part.get("required", []):
                assert default(field) == part["properties"][name]["default"], (kind, name)
            hint = typing.get_type_hints(kind)[field.name]
            for child in (hint, *typing.get_args(hint)):
                if dataclasses.is_dataclass(child):
                    below = part["properties"][configs.camel(field.name)]
                    below = below.get("items", below)
                    compare(child, next((each for each in below.get("anyOf", []) if "$ref" in each), below))

    compare(configs.Config, schema)


def test_what_most_runs_leave_alone_may_be_left_out():
    raw = config(method__lora={}, report={})
    for part, names in {
        "model": ("revision", "digest", "chatTemplate"),
        "method": ("quantization",),
        "training": ("maxSteps", "evaluateEvery", "worstCaseStep"),
        "checkpoint": ("everySteps",),
        "output": ("card",),
    }.items():
        raw[part] = {name: value for name, value in raw[part].items() if name not in names}
    raw["datasets"] = [{"name": "support", "uri": "file:///nowhere"}]
    parsed = config_file.parse(raw)
    assert parsed.method.lora == configs.Lora(16, 32, 0.0, "all-linear", use_dora=False, use_rslora=False)
    assert (parsed.datasets[0].weight, parsed.report.every_seconds, parsed.model.chat_template) == (1, 2.0, "model")
    assert config_file.parse({key: value for key, value in raw.items() if key != "report"}) == parsed


def test_full_tuning_needs_no_word_on_adapters():
    raw = config(method={"objective": "sft", "tuning": "full"}, output__forms=["merged"])
    assert config_file.parse(raw).method.lora is None


def test_an_adapter_without_settings_is_told_how_to_take_the_defaults():
    assert "give {} for its defaults" in problems(config(method={"objective": "dpo", "tuning": "lora", "dpo": {}}))


def test_all_errors_are_named_at_once_with_their_paths():
    raw = config(training__learningRate="fast", training__epochs=-1, method__tuning="prefix")
    raw["trainning"] = {}
    said = problems(raw)
    assert "training.learningRate" in said
    assert "training.epochs" in said
    assert "method.tuning" in said
    assert "unknown key 'trainning', did you mean 'training'?" in said


def test_wrong_values_hide_no_rule_on_the_others_and_all_come_in_the_order_of_the_file():
    raw = config(
        model__uri="SmolLM2-135M",
        datasets__0__uri="support.jsonl",
        method__lora__rank=0,
        training__learningRate="fast",
        training__globalBatchSize=15,
        checkpoint__uri="s3://c/x",
        evaluation={"suites": [{"name": "core", "uri": "suite.jsonl"}], "gates": []},
    )
    del raw["training"]["epochs"]
    with pytest.raises(config_errors.InvalidConfig) as caught:
        config_file.parse(raw)
    assert [line.partition(": ")[0] for line in caught.value.lines] == [
        "model.uri",
        "datasets[0].uri",
        "method.lora.rank",
        "training",
        "training.learningRate",
        "training.globalBatchSize",
        "checkpoint.uri",
        "evaluation.suites[0].uri",
    ]


@pytest.mark.parametrize(
    ("change", "hidden"),
    [
        ({"training__microBatchSize": 0}, "training.globalBatchSize"),
        ({"method__objective": "dop", "method__dpo": {"beta": 0.2}}, "method.dpo:"),
        ({"distributed__zeroStage": 4, "distributed__offloadOptimizer": "cpu"}, "offloadOptimizer"),
        ({"datasets": []}, "datasets["),
        ({"training": 5}, "training."),
    ],
)
def test_no_rule_judges_by_a_value_that_is_wrong_in_itself(change, hidden):
    assert hidden not in problems(config(**change))


def test_a_gate_that_is_wrong_in_itself_hides_no_other():
    suites = [{"name": "core", "uri": "file:///suite.jsonl"}]
    gates = [
        {"metric": "core.accuracy", "minimum": "high"},
        {"metric": "core.accuracy", "minimum": 95},
        {"metric": "core.charm", "minimum": 0.5},
    ]
    said = problems(config(evaluation={"suites": suites, "gates": gates}))
    for path in ("gates[0].minimum: ", "gates[1].minimum: 95", "gates[2].metric: core.charm"):
        assert f"evaluation.{path}" in said


@pytest.mark.parametrize("raw", [[], None, 5, {}])
def test_what_is_no_config_at_all_is_told(raw):
    assert "config: " in problems(raw)


def test_keys_and_values_that_are_wrong_inside_an_optional_part_have_their_own_paths():
    said = problems(config(method__lora={"rank": 0, "alfa": 1}))
    assert "method.lora.rank: 0 is less than the minimum of 1" in said
    assert "method.lora: unknown key 'alfa', did you mean 'alpha'?" in said


def test_a_path_without_its_slash_is_no_place():
    assert "'file://data.jsonl' is no whole path" in problems(config(datasets__0__uri="file://data.jsonl"))


def test_several_errors_are_printed_one_a_line(tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config(training__epochs=-1, model__uri="SmolLM2")))
    assert command.run([str(path)]) == ExitCode.CONFIG
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == "tunebird-trainer: InvalidConfig:"
    assert [line.partition(": ")[0] for line in rest] == ["  model.uri", "  training.epochs"]


def test_a_wrong_value_where_null_is_allowed_is_explained_by_the_other_type():
    said = problems(config(training__maxSteps="many"))
    assert "training.maxSteps" in said
    assert "integer" in said
    assert "anyOf" not in said


def test_an_entry_of_a_list_is_named_by_its_index():
    assert "datasets[0].weight" in problems(config(datasets__0__weight=0))


def test_the_global_batch_must_be_the_product_of_its_parts():
    assert "2 * 2 * 1 = 4" in problems(config(training__globalBatchSize=16))


def test_full_tuning_refuses_an_adapter_as_output():
    said = problems(config(method__tuning="full", method__lora=None))
    assert said == "output.forms: full tuning makes no adapter; leave only merged"


def test_lora_without_its_settings_is_refused():
    assert "method.lora" in problems(config(method__lora=None))


def test_an_adapter_on_the_output_layer_is_refused():
    assert "lm_head" in problems(config(method__lora__targetModules="q_proj, lm_head"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"distributed__offloadOptimizer": "cpu"}, "distributed.offloadOptimizer: cpu needs ZeRO"),
        ({"distributed__offloadParameters": "cpu", "distributed__zeroStage": 2}, "set zeroStage to 3"),
        ({"distributed__offloadParameters": "cpu", "distributed__zeroStage": 3}, "set offloadOptimizer to cpu too"),
        ({"distributed__zeroStage": 3, "method__quantization": "nf4"}, "3 can't shard nf4 weights"),
        ({"distributed__zeroStage": 1, "training__optimizer": "adafactor"}, "use adamw or sgd, or zeroStage 0"),
    ],
)
def test_what_zero_can_not_do_is_refused_with_the_remedy(changes, said):
    assert said in problems(config(**changes))


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_adapters_and_offloading_go_with_every_stage_of_zero(stage):
    parsed = config_file.parse(config(distributed__zeroStage=stage, distributed__offloadOptimizer="cpu"))
    assert parsed.distributed.zero_stage == stage


def test_two_datasets_of_one_name_are_refused():
    raw = config()
    raw["datasets"] *= 2
    assert "'support' is used twice" in problems(raw)


def test_evaluation_without_held_out_rows_is_refused():
    said = problems(config(training__evaluateEvery=5, validation__percent=0))
    assert "training.evaluateEvery" in said


def test_output_that_can_not_be_written_from_a_pod_is_refused():
    assert "output.uri: 'https://models/x' is no place" in problems(config(output__uri="https://models/x"))
    assert "checkpoint.uri: 's3://c/x' can't hold" in problems(config(checkpoint__uri="s3://c/x"))


def test_what_makes_a_run_is_not_its_attempt_nor_where_results_go():
    first = config_file.parse(config())
    again = config_file.parse(config(job__attempt=2, output__uri="file:///elsewhere", report__everySeconds=9))
    other = config_file.parse(config(training__seed=43))
    assert configs.run_digest(first) == configs.run_digest(again)
    assert configs.run_digest(first) != configs.run_digest(other)


def test_a_file_that_is_not_json_is_said_to_be_none(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{")
    with pytest.raises(Failure, match="is not JSON"):
        config_file.load(path)


@pytest.mark.parametrize("comment", ["// mine", "# mine", "/* mine */"])
def test_a_comment_is_said_to_be_none_of_json(tmp_path, comment):
    path = tmp_path / "config.json"
    path.write_text(f'{{"version": 1,  {comment}\n"job": {{}}}}')
    with pytest.raises(Failure, match="JSON knows no comments"):
        config_file.load(path)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(Failure) as found:
        config_file.load(tmp_path / "absent.json")
    said = f"config {tmp_path}/absent.json can't be read: No such file or directory; check the path"
    assert found.value.message == said


def test_a_relative_path_is_told_with_the_folder_that_was_looked_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Failure, match=f"config {tmp_path}/absent.json can't"):
        config_file.load(Path("absent.json"))


def test_the_shipped_example_loads():
    example = Path(config_file.__file__).parent.parent / "example.json"
    loaded = config_file.load(example)
    assert loaded.job.name == "support-bot"
    assert loaded.checkpoint.every_steps < loaded.training.max_steps  # killed halfway, it has something to go on from
