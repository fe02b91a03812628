"""How many processes train together, and what of the states each holds. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tunebird.api import trainer as config
from tunebird.api.compute import DeepSpeed, Offload
from tunebird.api.finetunejob import FineTuneJobSpec
from tunebird.api.method import Tuning
from tunebird.finetune.choices import Choice, Part, pick


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
    return (
        "2",
        "auto: plain data parallelism would hold 20 bytes a parameter, ZeRO-2 2 + 14/N; ask for 3 if it is short",
    )


def _offloads(spec: FineTuneJobSpec) -> tuple[Choice, Choice]:
    asked = (spec.deepspeed or DeepSpeed()).offload
    reason = "auto: offloading is slow; ask for cpu where GPU memory is short"
    pairs = (("optimizer", asked.optimizer), ("parameters", asked.parameters))
    chosen = (
        pick(f"deepspeed.offload.{name}", None if value is Offload.AUTO else value.value, "none", reason)
        for name, value in pairs
    )
    optimizer, parameters = chosen
    return optimizer, parameters


def distribution_problems(spec: FineTuneJobSpec) -> Iterator[str]:
    """Combinations that can't be carried out."""
    world, whole = world_size(spec), spec.training.global_batch_size
    if whole is not None and whole % world:
        near = -(-whole // world) * world
        yield (
            f"spec.training.globalBatchSize ({whole}): can't be shared evenly by {world} processes "
            f"({spec.compute.num_nodes} pods, {processes_per_node(spec)} each); use {near}"
        )
    if spec.deepspeed is None:
        return
    stage, offload = spec.deepspeed.zero_stage, spec.deepspeed.offload
    if offload.parameters is Offload.CPU and stage != "3":
        yield f"spec.deepspeed.offload.parameters (cpu): needs zeroStage 3, not {stage}; set it or remove the offload"
    if offload.optimizer is Offload.CPU and stage in ("auto", "none"):
        yield f"spec.deepspeed.offload.optimizer (cpu): needs zeroStage 1, 2 or 3, not {stage}; set it or remove it"
