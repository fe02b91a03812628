"""How many processes train together, and what of the states each holds. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tunebird.api import trainer as config
from tunebird.api.compute import DeepSpeed, Offload
from tunebird.api.finetunejob import FineTuneJobSpec
from tunebird.api.method import QuantizationType, Tuning
from tunebird.api.training import Optimizer
from tunebird.finetune.choices import Choice, Part, pick

SHARDED_OPTIMIZERS = (Optimizer.AUTO, Optimizer.ADAMW, Optimizer.SGD)
QUANTIZED = (QuantizationType.NF4, QuantizationType.INT8)


def processes_per_node(spec: FineTuneJobSpec) -> int:
    """One per GPU; a pod without GPUs has one, which uses all of its cores."""
    return max(1, spec.compute.gpus_per_node)


def world_size(spec: FineTuneJobSpec) -> int:
    """How many processes train together."""
    return spec.compute.num_nodes * processes_per_node(spec)


def distribution(spec: FineTuneJobSpec, tuning: str) -> Part[config.DistributedConfig]:
    """Sharding by DeepSpeed ZeRO where it is asked for or full tuning has many GPUs, else plain data parallelism."""
    stage = _stage_choice(spec, tuning)
    optimizer, parameters = _offloads(spec)
    limits = config.PhaseLimits()
    resolved = config.DistributedConfig(
        num_nodes=spec.compute.num_nodes,
        processes_per_node=processes_per_node(spec),
        zero_stage=0 if stage.value == "none" else int(stage.value),
        offload_optimizer="cpu" if optimizer.value == "cpu" else "none",
        offload_parameters="cpu" if parameters.value == "cpu" else "none",
        phase_limits=config.PhaseLimits.model_validate(limits.model_dump()),
    )
    if world_size(spec) == 1 and spec.deepspeed is None:
        return Part(resolved, ())
    return Part(resolved, (_processes_choice(spec), stage, optimizer, parameters))


def _processes_choice(spec: FineTuneJobSpec) -> Choice:
    gpus = spec.compute.gpus_per_node
    each = f"one process for each of {gpus} GPUs" if gpus else "one process on the CPU"
    return Choice("compute.processes", str(world_size(spec)), f"{spec.compute.num_nodes} pods, {each}")


def _stage_choice(spec: FineTuneJobSpec, tuning: str) -> Choice:
    asked = None if spec.deepspeed is None or spec.deepspeed.zero_stage == "auto" else spec.deepspeed.zero_stage
    value, reason = _auto_stage(spec, tuning)
    return pick("deepspeed.zeroStage", asked, value, reason)


def _auto_stage(spec: FineTuneJobSpec, tuning: str) -> tuple[str, str]:
    if world_size(spec) == 1:
        return "none", "auto: one process has nothing to shard"
    if tuning != Tuning.FULL:
        return "none", "auto: adapters have small optimizer states, plain data parallelism is fastest"
    if spec.compute.gpus_per_node == 0:
        return "none", "auto: on the CPU memory is large, plain data parallelism is simplest"
    if spec.training.optimizer not in SHARDED_OPTIMIZERS:
        return "none", f"auto: the states of {spec.training.optimizer.value} don't fit ZeRO's shards"
    return (
        "2",
        "auto: plain data parallelism would hold 20 bytes a parameter, ZeRO-2 2 + 14/N; ask for 3 if it is short",
    )


def _offloads(spec: FineTuneJobSpec) -> tuple[Choice, Choice]:
    asked = (spec.deepspeed or DeepSpeed()).offload
    reason = "auto: offloading is slow; ask for cpu where GPU memory is short"
    follows = asked.parameters is Offload.CPU
    why = "auto: parameters are offloaded, and the optimizer's states are larger" if follows else reason
    return (
        pick("deepspeed.offload.optimizer", _asked(asked.optimizer), "cpu" if follows else "none", why),
        pick("deepspeed.offload.parameters", _asked(asked.parameters), "none", reason),
    )


def _asked(value: Offload) -> str | None:
    return None if value is Offload.AUTO else value.value


def distribution_problems(spec: FineTuneJobSpec) -> Iterator[str]:
    """Combinations that can't be carried out."""
    world, whole = world_size(spec), spec.training.global_batch_size
    if whole is not None and whole % world:
        near = -(-whole // world) * world
        yield (
            f"spec.training.globalBatchSize ({whole}): can't be shared evenly by {world} processes "
            f"({spec.compute.num_nodes} pods, {processes_per_node(spec)} each); use {near}"
        )
    if spec.deepspeed is not None:
        yield from _sharding_problems(spec, spec.deepspeed)


def _sharding_problems(spec: FineTuneJobSpec, asked: DeepSpeed) -> Iterator[str]:
    stage, offload = asked.zero_stage, asked.offload
    if offload.parameters is Offload.CPU and stage != "3":
        yield f"spec.deepspeed.offload.parameters (cpu): needs zeroStage 3, not {stage}; set it or remove the offload"
    if offload.parameters is Offload.CPU and offload.optimizer is Offload.NONE:
        yield "spec.deepspeed.offload.optimizer (none): it is the larger part and goes first; use cpu or auto"
    if stage not in ("auto", "none") and spec.training.optimizer not in SHARDED_OPTIMIZERS:
        name = spec.training.optimizer.value
        yield f"spec.training.optimizer ({name}): its states don't fit ZeRO's shards; use adamw or sgd"
    yield from _third_stage_problems(spec, stage)
    if offload.optimizer is Offload.CPU and stage in ("auto", "none"):
        yield f"spec.deepspeed.offload.optimizer (cpu): needs zeroStage 1, 2 or 3, not {stage}; set it or remove it"


def _third_stage_problems(spec: FineTuneJobSpec, stage: str) -> Iterator[str]:
    """Under ZeRO-3 no process has the whole model."""
    if stage != "3":
        return
    quantized = spec.method.quantization.type
    if quantized in QUANTIZED:
        yield (
            f"spec.deepspeed.zeroStage (3): can't shard {quantized.value} weights; use 2 or none, where each process "
            "holds the small base whole, or quantization none"
        )
    if spec.training.samples is not None:
        yield "spec.training.samples: no process has the whole model under zeroStage 3; remove it or use 2"
