"""What fields of a config ask of one another, beyond what the schema can say: each error names its field and the
remedy."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunebird_trainer.config import (
    Config,
    Continue,
    Dpo,
    Form,
    LossOn,
    Mixing,
    Objective,
    Offload,
    OnTooLong,
    Quantization,
    Tuning,
    target_modules,
)
from tunebird_trainer.data.formats import Format
from tunebird_trainer.data.suitable import mismatch
from tunebird_trainer.stores import objects, outputs, registry_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SHARDED_OPTIMIZERS = ("adamw", "sgd")


def names_errors(config: Config) -> Iterator[str]:
    names = [dataset.name for dataset in config.datasets]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"datasets: the name {name!r} is used twice; give each its own"


def format_errors(config: Config) -> Iterator[str]:
    for place, dataset in enumerate(config.datasets):
        known = dataset.format not in ("auto", Format.UNPAIRED)
        if known and (problem := mismatch(config.method.objective, Format(dataset.format))):
            yield f"datasets[{place}].format: {problem}"


def split_errors(config: Config) -> Iterator[str]:
    if config.method.objective == Objective.DPO and config.preparation.on_too_long == OnTooLong.SPLIT:
        yield "preparation.onTooLong: Split needs turns, and a preference has one answer; use Drop, Truncate or Fail"


DATA = (names_errors, format_errors, split_errors)


def lora_errors(config: Config) -> Iterator[str]:
    method = config.method
    if method.tuning == Tuning.LORA and method.lora is None:
        yield "method.lora: tuning is lora and this is null; give {} for its defaults, or rank, alpha and the rest"
    if method.lora is not None and "lm_head" in target_modules(method.lora):
        yield "method.lora.targetModules: lm_head can't carry an adapter; name other modules or use all-linear"


def form_errors(config: Config) -> Iterator[str]:
    if config.method.tuning == Tuning.FULL and Form.ADAPTER in config.output.forms:
        yield "output.forms: full tuning makes no adapter; leave only merged"


def batch_errors(config: Config) -> Iterator[str]:
    training, world = config.training, config.distributed.world_size
    product = training.micro_batch_size * training.gradient_accumulation_steps * world
    if product != training.global_batch_size:
        yield (
            f"training.globalBatchSize: {training.global_batch_size} is not microBatchSize * gradientAccumulationSteps "
            f"* processes = {training.micro_batch_size} * {training.gradient_accumulation_steps} * {world} = {product}"
        )


def warmup_errors(config: Config) -> Iterator[str]:
    warmup = config.training.schedule.warmup
    if warmup >= 1:
        yield f"training.schedule.warmup: {warmup} is a share of the steps; use one below 1"


def held_out_errors(config: Config) -> Iterator[str]:
    if config.training.evaluate_every is not None and not config.validation.percent:
        yield "training.evaluateEvery: nothing is held out; set validation.percent above 0 or remove it"


METHOD = (lora_errors, form_errors, batch_errors, warmup_errors, held_out_errors)


def checkpoint_errors(config: Config) -> Iterator[str]:
    if objects.scheme(config.checkpoint.uri) not in _VOLUMES:
        yield (
            f"checkpoint.uri: {config.checkpoint.uri!r} can't hold checkpoints, which are written often and renamed; "
            "use pvc://CLAIM/PATH or file:///PATH"
        )


def output_errors(config: Config) -> Iterator[str]:
    if objects.scheme(config.output.uri) not in outputs.SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in outputs.SCHEMES)
        yield f"output.uri: {config.output.uri!r} is no place to write to; use one of {known}"
    if problem := registry_session.problem(config.output.uri):
        yield f"output.uri: {problem}"


def model_errors(config: Config) -> Iterator[str]:
    yield from _unreadable("model.uri", config.model.uri, (*_READ, "oci"))
    if problem := registry_session.problem(config.model.uri):
        yield f"model.uri: {problem}"


def dataset_errors(config: Config) -> Iterator[str]:
    for place, dataset in enumerate(config.datasets):
        yield from _unreadable(f"datasets[{place}].uri", dataset.uri, _READ)


def suite_errors(config: Config) -> Iterator[str]:
    for place, suite in enumerate(config.evaluation.suites):
        yield from _unreadable(f"evaluation.suites[{place}].uri", suite.uri, (*_READ, "lm-eval"))


def _unreadable(field: str, uri: str, schemes: tuple[str, ...]) -> Iterator[str]:
    """What nothing could be read from, whatever lies there."""
    scheme = objects.scheme(uri)
    if scheme not in schemes:
        yield f"{field}: {uri!r} is no place to read from; use one of {', '.join(f'{each}://' for each in schemes)}"
    elif scheme == "file" and not uri.startswith("file:///"):
        yield f"{field}: {uri!r} is no whole path; use file:///PATH"


_VOLUMES = ("pvc", "file")
_READ = ("hf", *objects.READ, *_VOLUMES)
PLACES = (checkpoint_errors, output_errors, model_errors, dataset_errors, suite_errors)


def distributed_errors(config: Config) -> Iterator[str]:
    """What ZeRO and its offloading can't be combined with."""
    asked = config.distributed
    if asked.offload_optimizer == Offload.CPU and not asked.zero_stage:
        yield "distributed.offloadOptimizer: cpu needs ZeRO; set distributed.zeroStage to 1, 2 or 3"
    if asked.offload_parameters == Offload.CPU and asked.zero_stage != 3:
        yield "distributed.offloadParameters: cpu needs whole weights to be sharded; set zeroStage to 3"
    if asked.offload_parameters == Offload.CPU and asked.offload_optimizer != Offload.CPU:
        remedy = "set offloadOptimizer to cpu too"
        yield f"distributed.offloadParameters: the optimizer, which is larger, goes first; {remedy}"
    if not asked.zero_stage:
        return
    if asked.zero_stage == 3 and config.method.quantization != Quantization.NONE:
        yield (
            f"distributed.zeroStage: 3 can't shard {config.method.quantization} weights; use stage 0, 1 or 2, "
            "where each process holds the small base whole, or quantization none"
        )
    if config.training.optimizer not in _SHARDED_OPTIMIZERS:
        yield (
            f"training.optimizer: {config.training.optimizer} keeps states that ZeRO's flat shards don't fit; "
            "use adamw or sgd, or zeroStage 0"
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """Two settings that exclude each other."""

    path: str
    broken: Callable[[Config], bool]
    sentence: str

    def __call__(self, config: Config) -> Iterator[str]:
        if self.broken(config):
            yield f"{self.path}: {self.sentence}"


def _dpo(config: Config) -> bool:
    return config.method.objective == Objective.DPO


def _eight_bit(config: Config) -> bool:
    return config.training.optimizer in ("adamw-8bit", "paged-adamw-8bit")


def _quantized(config: Config) -> bool:
    return config.method.quantization != Quantization.NONE


def _absent(package: str) -> bool:
    return importlib.util.find_spec(package) is None


_HELD_OUT = "it compares losses on held-out rows and nothing is held out; set validation.percent above 0"
EXCLUSIONS = (
    Rule(
        "method.quantization",
        lambda c: _quantized(c) and c.method.tuning == Tuning.FULL,
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
        lambda c: c.method.objective != Objective.CONTINUE and c.method.continue_ != Continue(),
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
        lambda c: _dpo(c) and c.training.loss_on == LossOn.ALL,
        "dpo's loss is on the two answers; use completions",
    ),
    Rule(
        "training.groupByLength",
        lambda c: c.training.group_by_length and c.training.packing,
        "packed rows are of one length already; remove it",
    ),
    Rule(
        "training.groupByLength",
        lambda c: c.training.group_by_length and c.mixing == Mixing.INTERLEAVE,
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


def tracker_errors(config: Config) -> Iterator[str]:
    for each in config.training.trackers:
        if _absent(each):
            yield f"training.trackers: the package {each} is not installed in the image; install it"


TRAINING = (*EXCLUSIONS, tracker_errors)
