"""What `--plan` says of a run."""

import json

import pytest

from trainer.factories import config, placed
from tunebird_trainer import __main__ as wrapper
from tunebird_trainer import config_file, plan
from tunebird_trainer.plan import Counts

FULL = {"method__tuning": "full", "method__lora": None, "output__forms": ["merged"]}
BILLION = Counts(10**9, 9 * 10**8, 10**9)
EIGHT = {"distributed__processesPerNode": 8, "training__globalBatchSize": 32, "training__precision": "bf16"}


def sizes(found, **changes):
    return [round(part.bytes / 1e9, 3) for part in plan.memory(config_file.parse(config(**changes)), found)]


def test_a_plan_names_steps_weights_and_memory_and_trains_nothing(tmp_path, tiny_model, capsys):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(placed(tmp_path, tiny_model, training__maxSteps=None, training__epochs=2.0)))
    assert wrapper.run([str(path), "--plan"]) == 0
    said = capsys.readouterr().out
    assert '"maxSequenceLength": 64' in said
    assert "plan: 1 nodes x 1 processes = 1, plain data parallelism" in said
    assert "plan: global batch 4 = 2 a process x 2 accumulated x 1" in said
    assert "plan: 22 sequences, 6 steps an epoch, 12 steps" in said
    assert "plan: 34,464 weights, 4,480 trained" in said
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "checkpoints").glob("checkpoint-*"))


@pytest.mark.parametrize(
    ("stage", "expected"),
    [(0, [4.0, 8.0, 8.0]), (1, [2.0, 2.0, 1.5]), (2, [2.0, 0.25, 1.5]), (3, [0.25, 0.25, 1.5])],
)
def test_each_stage_of_zero_shards_one_part_more(stage, expected):
    assert sizes(BILLION, **FULL, **EIGHT, distributed__zeroStage=stage) == expected


def test_a_frozen_base_counts_once_and_only_the_adapter_has_states():
    found = Counts(10**9, 9 * 10**8, 10**7)
    assert sizes(found) == [4.04, 0.04, 0.08]
    assert sizes(found, training__precision="bf16") == [2.04, 0.04, 0.08]
    assert sizes(found, method__quantization="nf4")[0] == pytest.approx(0.9 * 4.127 / 8 + 0.4 + 0.04, abs=1e-3)


def test_what_is_offloaded_is_said_to_lie_in_host_memory():
    asked = config_file.parse(config(**FULL, **EIGHT, distributed__zeroStage=3, distributed__offloadOptimizer="cpu"))
    assert [part.on_cpu for part in plan.memory(asked, BILLION)] == [False, True, True]
    assert "plan: optimizer  1.40 GiB of host memory a process" in plan.lines(asked, BILLION, 100)


@pytest.mark.parametrize(
    ("asked", "said"), [(None, "on a CPU only with"), (True, "worst-case step at the start"), (False, "not measured")]
)
def test_a_plan_tells_whether_activations_will_be_measured(asked, said):
    told = plan.lines(config_file.parse(config(training__worstCaseStep=asked)), plan.Counts(10, 8, 2), 8)
    assert said in told[-1]


@pytest.mark.parametrize(("rate", "warned"), [(200, True), (0.1, False)])
def test_a_plan_doubts_a_learning_rate_that_lets_any_run_diverge(rate, warned):
    told = plan.lines(config_file.parse(config(training__learningRate=rate)), plan.Counts(10, 8, 2), 8)
    assert any("warning: training.learningRate 200 lets" in line for line in told) is warned
