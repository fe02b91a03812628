"""What fields of a config ask of one another, beyond what the schema can say: each error names its field and the
remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunebird_trainer.config import Objective, Offload, OnTooLong, Quantization
from tunebird_trainer.formats import Format
from tunebird_trainer.suitable import mismatch

if TYPE_CHECKING:
    from tunebird_trainer.config import Config

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
