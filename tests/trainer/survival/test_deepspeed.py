"""DeepSpeed's settings for declared shapes: kept as files, and read by DeepSpeed's own parser."""

import json
from pathlib import Path

import pytest
import torch

from trainer.factories import config
from tunebird_trainer import config_file
from tunebird_trainer.training import deepspeed

GOLDEN = Path(__file__).with_name("golden")
FULL = {"method__tuning": "full", "method__lora": None, "output__forms": ["merged"]}
EIGHT = {
    "distributed__processesPerNode": 8,
    "training__microBatchSize": 4,
    "training__gradientAccumulationSteps": 2,
    "training__globalBatchSize": 64,
    "training__precision": "bf16",
}
SHAPES = {
    "zero1-full-8xH100": {**FULL, **EIGHT, "distributed__zeroStage": 1},
    "zero2-full-8xH100": {**FULL, **EIGHT, "distributed__zeroStage": 2},
    "zero3-full-2x8xH100": {
        **FULL, **EIGHT, "distributed__zeroStage": 3, "distributed__numNodes": 2, "training__globalBatchSize": 128,
    },
    "zero2-offload-full-1xL4": {
        **FULL, "distributed__zeroStage": 2, "distributed__offloadOptimizer": "cpu", "training__precision": "bf16",
    },
    "zero3-offload-lora-8xL4": {
        **EIGHT, "distributed__zeroStage": 3, "distributed__offloadOptimizer": "cpu",
        "distributed__offloadParameters": "cpu",
    },
    "zero2-fp16-qlora-8xV100": {
        **EIGHT, "distributed__zeroStage": 2, "training__precision": "fp16", "method__quantization": "nf4",
    },
}  # fmt: skip


def resolved(name):
    return deepspeed.settings(config_file.parse(config(**SHAPES[name])))


@pytest.mark.parametrize("name", SHAPES)
def test_settings_are_those_that_were_agreed_on(name):
    assert resolved(name) == json.loads((GOLDEN / f"{name}.json").read_text())


@pytest.mark.parametrize("name", SHAPES)
def test_deepspeed_reads_the_file_as_it_was_meant(name, monkeypatch):
    from deepspeed import comm
    from deepspeed.runtime.config import DeepSpeedConfig

    asked = config_file.parse(config(**SHAPES[name]))
    monkeypatch.setattr(comm, "get_world_size", lambda *_: asked.distributed.world_size)
    monkeypatch.setattr(comm, "get_rank", lambda *_: 0)
    read = DeepSpeedConfig(str(GOLDEN / f"{name}.json"))
    assert read.zero_optimization_stage == asked.distributed.zero_stage
    assert read.train_batch_size == asked.training.global_batch_size
    assert read.gradient_accumulation_steps == asked.training.gradient_accumulation_steps
    assert read.gradient_clipping == asked.training.max_gradient_norm
    on_cpu = asked.distributed.offload_optimizer == "cpu"
    assert (read.zero_config.offload_optimizer is not None) == on_cpu
    assert not read.load_universal_checkpoint


def test_nothing_is_given_to_a_run_without_zero():
    assert deepspeed.arguments(config_file.parse(config())) == {}


def test_a_converted_checkpoint_is_loaded_as_one(tmp_path):
    asked = config_file.parse(config(distributed__zeroStage=2))
    assert "checkpoint" not in deepspeed.arguments(asked, tmp_path)["deepspeed"]
    (tmp_path / "latest_universal").touch()
    assert deepspeed.arguments(asked, tmp_path)["deepspeed"]["checkpoint"] == {"load_universal": True}


def test_shards_that_share_a_step_counter_get_one_each():
    """As DeepSpeed's load of a universal checkpoint leaves them: three steps of two shards would count six."""
    weights = [torch.nn.Parameter(torch.ones(3)) for _ in range(2)]
    optimizer = torch.optim.AdamW([{"params": [each], "weight_decay": 0.1} for each in weights])
    shared = torch.tensor(4.0)
    for each in weights:
        optimizer.state[each] = {"step": shared, "exp_avg": torch.zeros(3), "exp_avg_sq": torch.zeros(3)}
        each.grad = torch.ones(3)
    deepspeed.mend(optimizer, 0.1)
    for _ in range(3):
        optimizer.step()
    assert [float(optimizer.state[each]["step"]) for each in weights] == [7.0, 7.0]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
