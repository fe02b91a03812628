"""What fields of a config ask of one another, beyond what the schema can say: each error names its field and the
remedy."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from tunebird_trainer.config import (
    Config,
    Continue,
    Dpo,
    LossOn,
    Mixing,
    Objective,
    Offload,
    OnTooLong,
    Quantization,
    Tuning,
)
from tunebird_trainer.data.formats import Format
from tunebird_trainer.data.suitable import mismatch

_SHARDED_OPTIMIZERS = ("adamw", "sgd")


def data_errors(config: Config) -> list[str]:
    """Names used twice, and formats or options that the objective has no use for."""
    names = [dataset.name for dataset in config.datasets]
    twice = sorted({name for name in names if names.count(name) > 1})
    errors = [f"datasets: the name {name!r} is used twice; give each its own" for name in twice]
    objective = config.method.objective
    for place, dataset in enumerate(config.datasets):
        known = dataset.format not in ("auto", Format.UNPAIRED)
        if known and (problem := mismatch(objective, Format(dataset.format))):
            errors.append(f"datasets[{place}].format: {problem}")
    if objective is Objective.DPO and config.preparation.on_too_long is OnTooLong.SPLIT:
        remedy = "use Drop, Truncate or Fail"
        errors.append(f"preparation.onTooLong: Split needs turns, and a preference has one answer; {remedy}")
    return errors


def distributed_errors(config: Config) -> list[str]:
    """What ZeRO and its offloading can't be combined with."""
    asked, errors = config.distributed, []
    if asked.offload_optimizer is Offload.CPU and not asked.zero_stage:
        errors.append("distributed.offloadOptimizer: cpu needs ZeRO; set distributed.zeroStage to 1, 2 or 3")
    if asked.offload_parameters is Offload.CPU and asked.zero_stage != 3:
        errors.append("distributed.offloadParameters: cpu needs whole weights to be sharded; set zeroStage to 3")
    if asked.offload_parameters is Offload.CPU and asked.offload_optimizer is not Offload.CPU:
        remedy = "set offloadOptimizer to cpu too"
        errors.append(f"distributed.offloadParameters: the optimizer, which is larger, goes first; {remedy}")
    if not asked.zero_stage:
        return errors
    if asked.zero_stage == 3 and config.method.quantization is not Quantization.NONE:
        errors.append(
            f"distributed.zeroStage: 3 can't shard {config.method.quantization} weights; use stage 0, 1 or 2, "
            "where each process holds the small base whole, or quantization none"
        )
    if config.training.optimizer not in _SHARDED_OPTIMIZERS:
        errors.append(
            f"training.optimizer: {config.training.optimizer} keeps states that ZeRO's flat shards don't fit; "
            "use adamw or sgd, or zeroStage 0"
        )
    return errors


@dataclass(frozen=True, slots=True)
class Rule:
    """Two settings that exclude each other."""

    path: str
    broken: Callable[[Config], bool]
    sentence: str


def _dpo(config: Config) -> bool:
    return config.method.objective is Objective.DPO


def _eight_bit(config: Config) -> bool:
    return config.training.optimizer in ("adamw-8bit", "paged-adamw-8bit")


def _quantized(config: Config) -> bool:
    return config.method.quantization is not Quantization.NONE


def _absent(package: str) -> bool:
    return importlib.util.find_spec(package) is None


_HELD_OUT = "it compares losses on held-out rows and nothing is held out; set validation.percent above 0"
TRAINING = (
    Rule(
        "method.quantization",
        lambda c: _quantized(c) and c.method.tuning is Tuning.FULL,
        "quantized weights can't be trained; set method.tuning to lora or quantization to none",
    ),
    Rule(
        "method.quantization",
        lambda c: _quantized(c) and _absent("bitsandbytes"),
        "bitsandbytes is not installed in the image; install it or use none",
    ),
    Rule(
        "training.optimizer",
        lambda c: _eight_bit(c) and _absent("bitsandbytes"),
        "bitsandbytes is not installed in the image; install it or use adamw",
    ),
    Rule(
        "method.dpo",
        lambda c: not _dpo(c) and c.method.dpo != Dpo(),
        "is set and method.objective is not dpo; remove it",
    ),
    Rule(
        "method.continue",
        lambda c: c.method.objective is not Objective.CONTINUE and c.method.continue_ != Continue(),
        "is set and method.objective is not continue; remove it",
    ),
    Rule(
        "method.dpo.labelSmoothing",
        lambda c: _dpo(c) and c.method.dpo.label_smoothing > 0 and c.method.dpo.loss != "robust",
        "only the loss robust takes it into account; use it, or 0",
    ),
    Rule(
        "method.lora.dropout",
        lambda c: _dpo(c) and c.method.lora is not None and c.method.lora.dropout > 0,
        "dpo compares with the reference's log-probabilities, which dropout would blur; use 0",
    ),
    Rule("training.packing", lambda c: _dpo(c) and c.training.packing, "dpo can't pack its pairs; use false"),
    Rule(
        "training.neftuneAlpha",
        lambda c: _dpo(c) and c.training.neftune_alpha is not None,
        "its noise would reach dpo's reference too; remove it",
    ),
    Rule(
        "training.lossOn",
        lambda c: _dpo(c) and c.training.loss_on is LossOn.ALL,
        "dpo's loss is on the two answers; use completions",
    ),
    Rule(
        "training.groupByLength",
        lambda c: c.training.group_by_length and c.training.packing,
        "packed rows are of one length already; remove it",
    ),
    Rule(
        "training.groupByLength",
        lambda c: c.training.group_by_length and c.mixing is Mixing.INTERLEAVE,
        "interleave decides the order of rows; use mixing concatenate, or remove it",
    ),
    Rule(
        "training.earlyStopping",
        lambda c: c.training.early_stopping is not None and not c.validation.percent,
        _HELD_OUT,
    ),
    Rule("training.keepBest", lambda c: c.training.keep_best and not c.validation.percent, _HELD_OUT),
    Rule(
        "training.samples.prompts",
        lambda c: c.training.samples.every_steps is not None and not c.training.samples.prompts,
        "none are given; give some, or remove samples.everySteps",
    ),
    Rule(
        "training.samples.everySteps",
        lambda c: c.training.samples.every_steps is not None and c.distributed.zero_stage == 3,
        "no process has the whole model under ZeRO-3 to answer with; remove it or use zeroStage 2",
    ),
)


def training_errors(config: Config) -> list[str]:
    """What objective, tuning, data order and installed packages exclude."""
    found = [f"{rule.path}: {rule.sentence}" for rule in TRAINING if rule.broken(config)]
    lacking = [tracker for tracker in config.training.trackers if _absent(tracker)]
    return found + [
        f"training.trackers: the package {each} is not installed in the image; install it" for each in lacking
    ]
