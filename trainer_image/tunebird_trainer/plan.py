"""What a run would be, said without loading weights: the config as resolved, processes, steps, and memory by part as
far as it follows from counts. Activations don't: the worst-case step at the start of a run measures them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunebird_trainer import config as configs
from tunebird_trainer.config import Offload, Precision, Quantization, Tuning
from tunebird_trainer.stores import storage

if TYPE_CHECKING:
    from tunebird_trainer.config import Config

# Bytes a weight: nf4 has a constant for every 64 weights, in fp32 or quantized once more.
_NF4, _NF4_TWICE = 4.5 / 8, 4.127 / 8
# Bytes of optimizer state a trained weight.
_STATES = {"adamw": 8, "adamw-8bit": 2, "paged-adamw-8bit": 2, "adafactor": 0, "sgd": 0}


_ACTIVATIONS = {  # by training.worstCaseStep
    True: "measured by the worst-case step at the start",
    False: "not measured: training.worstCaseStep is false",
    None: "measured by the worst-case step at the start on a GPU; on a CPU only with training.worstCaseStep true",
}


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of weights: of the base, of its linear layers, and of those that are trained."""

    base: int
    linear: int
    trained: int


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    bytes: float
    on_cpu: bool = False


def main(config: Config) -> int:
    from tunebird_trainer.data import pipeline, reporting
    from tunebird_trainer.stores import sources
    from tunebird_trainer.training.loading import load_tokenizer

    print(json.dumps({"config": configs.as_json(config)}, indent=1))
    base = sources.fetch_model(config.model)
    prepared = pipeline.prepare(config, load_tokenizer(base, config))
    print("\n".join(reporting.summary(prepared)))
    print("\n".join(lines(config, counts(config, base), len(prepared.train))))
    return 0


def counts(config: Config, base: Any) -> Counts:
    """From the model's configuration alone: its weights are shapes without numbers."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from tunebird_trainer.training.trainer import adapted

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base))
        whole = sum(weight.numel() for weight in model.parameters())
        linear = sum(
            module.weight.numel()
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and "lm_head" not in name
        )
        model = adapted(model, config)
    return Counts(whole, linear, sum(weight.numel() for weight in model.parameters() if weight.requires_grad))


def lines(config: Config, found: Counts, sequences: int) -> list[str]:
    training, spread = config.training, config.distributed
    each = math.ceil(sequences / training.global_batch_size)
    steps = training.max_steps or math.ceil(each * training.epochs)
    packed = " before packing" if training.packing else ""
    sharding = f"ZeRO stage {spread.zero_stage}" if spread.zero_stage else "plain data parallelism"
    parts = (training.micro_batch_size, training.gradient_accumulation_steps, spread.world_size)
    batch = "{} a process x {} accumulated x {}".format(*parts)
    return [
        f"plan: {spread.num_nodes} nodes x {spread.processes_per_node} processes = {spread.world_size}, {sharding}",
        f"plan: global batch {training.global_batch_size} = {batch}",
        f"plan: {sequences} sequences{packed}, {each} steps an epoch, {steps} steps",
        f"plan: {found.base:,} weights, {found.trained:,} trained",
        *(
            f"plan: {part.name:<10} {storage.readable(part.bytes)}{' of host memory' if part.on_cpu else ''} a process"
            for part in memory(config, found)
        ),
        *_doubts(config),
        f"plan: activations are {_ACTIVATIONS[config.training.worst_case_step]}",
    ]


def _doubts(config: Config) -> list[str]:
    """What is allowed, and can hardly be meant."""
    rate = config.training.learning_rate
    remedy = "common are 1e-5 for all weights and 2e-4 for LoRA"
    return [f"plan: warning: training.learningRate {rate:g} lets nearly any run diverge; {remedy}"] if rate >= 1 else []


def memory(config: Config, found: Counts) -> list[Part]:
    """Bytes a process, by part (ZeRO: Rajbhandari et al. 2020, table 1)."""
    spread, full = config.distributed, config.method.tuning is Tuning.FULL
    stage, shards = spread.zero_stage, spread.world_size
    narrow = 4 if config.training.precision is Precision.FP32 else 2
    trained = narrow if stage else 4  # without ZeRO, trained weights stay in fp32 and are cast as they are used
    held = found.trained * trained + (0 if full else _frozen(config, found, narrow))
    gradients = found.trained * trained
    states = found.trained * (_STATES[config.training.optimizer] + (4 if stage else 0))  # ZeRO keeps an fp32 copy
    if not stage and shards > 1:
        gradients *= 2  # the buckets of data parallelism are a second copy
    return [
        Part("weights", held / (shards if stage == 3 else 1), spread.offload_parameters is Offload.CPU),
        Part("gradients", gradients / (shards if stage >= 2 else 1), spread.offload_optimizer is Offload.CPU),
        Part("optimizer", states / (shards if stage else 1), spread.offload_optimizer is Offload.CPU),
    ]


def _frozen(config: Config, found: Counts, narrow: int) -> float:
    match config.method.quantization:
        case Quantization.NF4:
            rate = _NF4_TWICE if config.method.double_quantization else _NF4
        case Quantization.INT8:
            rate = 1.0
        case Quantization.NONE:
            return found.base * narrow
    # Embeddings and norms are not quantized, and are held in fp32.
    return found.linear * rate + (found.base - found.linear) * 4
