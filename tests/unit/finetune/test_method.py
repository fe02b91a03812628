"""Defaults by objective and tuning, quantization, sharding: what is chosen, and the reason that is given."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from pydantic import BaseModel

from fakes.finetune import manifest
from tunebird.api.finetunejob import FineTuneJob
from tunebird.api.jobstatus import ReferenceStatus
from tunebird.api.trainer import TrainerConfig, json_schema
from tunebird.finetune.config import trainer_config
from tunebird.finetune.limits import refusals
from tunebird.finetune.method import LEARNING_RATES, parameters_by_name
from tunebird.finetune.plan import Plan, resolve
from tunebird_trainer import config_file, config_rules

PVC = {"uri": "pvc://data/rows.jsonl"}


def _job(**spec: Any) -> FineTuneJob:
    body = manifest(**spec)
    body["metadata"]["uid"] = "0a1b2c3d-0000-0000-0000-000000000000"
    return FineTuneJob.model_validate(body)


def _plan(**spec: Any) -> Plan:
    job = _job(**spec)
    assert refusals(job.spec, allow_file_uris=False) == ()
    return resolve(job.spec)


def _reason(plan: Plan, field: str) -> str:
    return next(choice.reason for choice in plan.choices if choice.field == field)


@pytest.mark.parametrize(("objective", "tuning"), LEARNING_RATES)
def test_the_rate_follows_objective_and_tuning_and_five_times_off_warns(objective: str, tuning: str) -> None:
    method = {"objective": objective, "tuning": tuning}
    usual = LEARNING_RATES[objective, tuning]
    plan = _plan(method=method)
    assert plan.training.learning_rate == usual
    assert plan.warnings == ()
    for rate, warned in ((usual * 4, False), (usual / 4, False), (usual * 6, True), (usual / 6, True)):
        warnings = _plan(method=method, training={"learningRate": f"{rate:.3e}"}).warnings
        assert any(f"of {objective} with {tuning}" in warning for warning in warnings) is warned


def test_preferences_take_one_epoch_small_micro_batches_and_the_base_as_reference() -> None:
    plan = _plan(method={"objective": "dpo", "dpo": {"beta": "0.3", "loss": "ipo"}})
    assert (plan.training.epochs, plan.training.micro_batch_size) == (1.0, 2)
    assert (plan.method.dpo.beta, plan.method.dpo.loss, plan.method.dpo.reference) == (0.3, "ipo", "")
    assert _reason(plan, "method.dpo.reference") == "the base without the adapter: no second model in memory"
    assert plan.summary == "dpo lora r16 fp32 cpu batch 16=2x8"


def test_plain_text_is_learned_whole() -> None:
    plan = _plan(
        method={"objective": "continue", "continue": {"blockSize": 256}},
        datasets=[{"name": "a", "source": PVC, "format": "text"}],
    )
    assert (plan.training.loss_on, plan.method.continue_.block_size) == ("all", 256)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("hf://meta-llama/Llama-3.1-8B-Instruct", 8e9),
        ("hf://HuggingFaceTB/SmolLM2-135M-Instruct", 135e6),
        ("hf://Qwen/Qwen2.5-0.5B", 0.5e9),
        ("hf://mistralai/Mixtral-8x7B-v0.1", 56e9),
        ("pvc://models/base", None),
        ("hf://org/model-v2b1", None),
    ],
)
def test_a_models_name_may_tell_its_size(name: str, parameters: float | None) -> None:
    assert parameters_by_name(name) == parameters


@pytest.mark.parametrize(
    ("gpus", "memory", "name", "chosen", "why"),
    [
        (0, "79Gi", "hf://o/m-70B", "none", "on the CPU"),
        (1, None, "hf://o/m-70B", "none", "compute.gpuMemory is not given"),
        (1, "24Gi", "hf://o/model", "none", "doesn't tell its size"),
        (1, "24Gi", "hf://o/m-8B", "nf4", "more than half of the GPU (14.9 of 24.0 GiB, by the model's name)"),
        (1, "79Gi", "hf://o/m-8B", "none", "at most half of the GPU"),
    ],
)
def test_the_base_is_quantized_where_it_would_fill_half_of_a_gpu(
    gpus: int, memory: str | None, name: str, chosen: str, why: str
) -> None:
    compute = {"gpusPerNode": gpus, **({"gpuMemory": memory} if memory else {})}
    plan = _plan(model={"source": {"uri": name}}, compute=compute)
    assert plan.method.quantization == chosen
    assert why in _reason(plan, "method.quantization.type")
    assert ("nf4 lora" in plan.summary) is (chosen == "nf4")


@pytest.mark.parametrize(
    ("tuning", "compute", "deepspeed", "stage"),
    [
        ("full", {"gpusPerNode": 1}, None, 0),
        ("full", {"gpusPerNode": 8}, None, 2),
        ("full", {"gpusPerNode": 8}, {"zeroStage": 3}, 3),
        ("full", {"gpusPerNode": 8}, {"zeroStage": "none"}, 0),
        ("lora", {"gpusPerNode": 8}, None, 0),
        ("full", {"numNodes": 2}, None, 0),
        ("lora", {"gpusPerNode": 8}, {"zeroStage": 3}, 3),
        ("full", {"numNodes": 2, "gpusPerNode": 1}, {}, 2),
    ],
)
def test_states_are_sharded_for_full_tuning_on_many_gpus(
    tuning: str, compute: dict[str, int], deepspeed: dict[str, Any] | None, stage: int
) -> None:
    asked = {} if deepspeed is None else {"deepspeed": deepspeed}
    assert _plan(method={"tuning": tuning}, compute=compute, **asked).distributed.zero_stage == stage


def test_the_global_batch_is_shared_by_all_processes() -> None:
    plan = _plan(compute={"numNodes": 2, "gpusPerNode": 8}, training={"globalBatchSize": 64})
    training = plan.training
    assert (training.micro_batch_size, training.gradient_accumulation_steps) == (4, 1)
    assert (plan.distributed.num_nodes, plan.distributed.processes_per_node) == (2, 8)
    assert plan.summary == "lora r16 bf16 2x8 gpu batch 64=4x1x16"
    assert _plan(compute={"numNodes": 3}).training.global_batch_size == 18
    assert "models" in plan.warnings[0]
    assert "ReadWriteMany" in plan.warnings[0]


def test_offloads_are_as_asked() -> None:
    both = {"zeroStage": 3, "offload": {"optimizer": "cpu", "parameters": "cpu"}}
    for asked in (both, {"zeroStage": 3, "offload": {"parameters": "cpu"}}):
        resolved = _plan(method={"tuning": "full"}, compute={"gpusPerNode": 2}, deepspeed=asked).distributed
        assert (resolved.offload_optimizer, resolved.offload_parameters) == ("cpu", "cpu")


def test_the_best_checkpoint_is_published_where_training_stops_early() -> None:
    plan = _plan(training={"earlyStopping": {"patience": 2}})
    assert plan.training.keep_best
    assert plan.training.early_stopping is not None


EVERYTHING: dict[str, Any] = {
    "model": {"jobRef": {"name": "before"}, "chatTemplate": "chatml"},
    "datasets": [
        {"name": "a", "source": {"uri": "s3://b/a.jsonl", "digest": f"sha256:{'0' * 64}"}, "weight": 3, "limit": 9},
        {"name": "b", "source": {"uri": "hf://o/d", "revision": "main"}, "format": "preference"},
    ],
    "mixing": "interleave",
    "mixingStop": "AllExhausted",
    "validation": {"percent": 7, "splitBy": "user"},
    "preparation": {
        "deduplicate": {"near": "0.8"},
        "redact": ["email", "iban", "secret"],
        "onTooLong": "Truncate",
        "maxInvalid": "2.5%",
        "maxTooLong": "10%",
        "onUnsafe": "Drop",
        "onContaminated": "Fail",
    },
    "method": {
        "objective": "dpo",
        "quantization": {"type": "nf4", "double": False},
        "dpo": {"labelSmoothing": "5%", "loss": "robust"},
    },
    "training": {
        "optimizer": "paged-adamw-8bit",
        "maxGradientNorm": "0.5",
        "weightDecay": "0.01",
        "earlyStopping": {"patience": 2},
        "samples": {"everySteps": 10, "prompts": ["Hello"]},
        "trackers": ["mlflow"],
    },
    "compute": {"numNodes": 2, "gpusPerNode": 4},
    "evaluation": {
        "suites": [
            {
                "name": "core",
                "source": {"uri": "pvc://data/golden.jsonl"},
                "judge": {"endpoint": "https://judge/v1", "model": "j"},
                "generation": {"temperature": "0.7", "maxTokens": 32, "samples": 2},
            }
        ],
        "gates": [
            {"metric": "core.instructionSuccess", "minimum": "95%", "confidence": "99%"},
            {"metric": "core.accuracy", "maxRegression": {"absolute": "1%"}, "compareTo": "job/served"},
        ],
        "canaries": 10,
    },
}


def _unset(model: BaseModel, path: str = "") -> list[str]:
    """Fields that were left to a default."""
    found = [f"{path}{name}" for name in type(model).model_fields if name not in model.model_fields_set]
    for name in type(model).model_fields:
        value = getattr(model, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, BaseModel):
                found += _unset(each, f"{path}{name}.")
    return found


def _references() -> tuple[ReferenceStatus, ...]:
    digest = f"sha256:{'1' * 64}"
    return tuple(ReferenceStatus(job=name, uri=f"pvc://m/{name}", digest=digest) for name in ("before", "served"))


# What a user may combine: the operator accepts each, so the trainer must too.
COMBINED: list[dict[str, Any]] = [
    {},
    EVERYTHING,
    {"method": {"objective": "continue"}, "training": {"packing": True}},
    {"method": {"objective": "dpo", "tuning": "full"}, "compute": {"gpusPerNode": 4}},
    {"method": {"tuning": "full"}, "compute": {"numNodes": 2, "gpusPerNode": 4}, "deepspeed": {"zeroStage": 3}},
    {
        "method": {"tuning": "full"},
        "compute": {"gpusPerNode": 4},
        "deepspeed": {"zeroStage": 3, "offload": {"parameters": "cpu"}},
    },
    {"method": {"tuning": "full"}, "compute": {"gpusPerNode": 4}, "training": {"optimizer": "adafactor"}},
    {"compute": {"gpusPerNode": 4, "gpuMemory": "24Gi"}, "model": {"source": {"uri": "hf://o/m-8B"}}},
    {
        "compute": {"gpusPerNode": 4, "gpuMemory": "24Gi"},
        "model": {"source": {"uri": "hf://o/m-8B"}},
        "deepspeed": {"zeroStage": 3},
    },
    {"compute": {"numNodes": 3}},
    {"training": {"groupByLength": True, "neftuneAlpha": "5", "maxSteps": 5, "evaluateEvery": 2}},
    {"output": {"storage": {"uri": "s3://b/m"}}, "checkpoint": {"storage": {"uri": "pvc://checkpoints"}}},
    {"output": {"storage": {"uri": "oci://ghcr.io/o/m"}}, "checkpoint": {"storage": {"uri": "pvc://checkpoints"}}},
    {"evaluation": {"gates": [{"metric": "validation.perplexity", "maxRegression": {"relative": "5%"}}]}},
]


@pytest.mark.parametrize("spec", COMBINED, ids=range(len(COMBINED)))
def test_what_the_operator_accepts_the_trainer_accepts(spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    job = _job(**spec)
    assert refusals(job.spec, allow_file_uris=False) == ()
    resolved = trainer_config(job, resolve(job.spec), 1, _references())
    monkeypatch.setattr(config_rules, "_absent", lambda _: False)  # the image's packages, not this environment's
    config_file.parse(json.loads(resolved.model_dump_json(by_alias=True)))


@pytest.mark.parametrize("spec", [{}, EVERYTHING], ids=["nothing", "everything"])
def test_no_field_of_the_trainers_config_is_left_to_a_default(spec: dict[str, Any]) -> None:
    job = _job(**spec)
    assert refusals(job.spec, allow_file_uris=False) == ()
    resolved = trainer_config(job, resolve(job.spec), 1, _references())
    assert _unset(resolved) == []
    assert jsonschema_rs.validator_for(json_schema()).is_valid(json.loads(resolved.model_dump_json(by_alias=True)))


def test_what_was_asked_for_arrives_in_the_trainers_units() -> None:
    job = _job(**EVERYTHING)
    resolved: TrainerConfig = trainer_config(job, resolve(job.spec), 1, _references())
    assert resolved.model.uri == "pvc://m/before"
    assert resolved.model.digest == f"sha256:{'1' * 64}"
    assert (resolved.mixing_stop, resolved.validation.split_by) == ("allExhausted", "user")
    assert resolved.preparation.deduplicate.near == 0.8
    assert (resolved.preparation.max_invalid, resolved.preparation.max_too_long) == (0.025, 0.1)
    assert resolved.method.dpo.label_smoothing == 0.05
    assert not resolved.method.double_quantization
    first, second = resolved.evaluation.gates
    assert (first.minimum, first.confidence, first.compare_to) == (0.95, 0.99, "base")
    assert (second.max_regression_absolute, second.compare_to) == (0.01, "pvc://m/served")
    assert resolved.evaluation.suites[0].generation.temperature == 0.7
