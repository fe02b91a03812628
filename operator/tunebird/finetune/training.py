"""Hyperparameters of a job, resolved by objective, tuning and hardware. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tunebird.api import trainer as config
from tunebird.api.base import fraction
from tunebird.api.finetunejob import FineTuneJobSpec
from tunebird.api.method import Objective, Tuning
from tunebird.api.training import Optimizer, Precision, Samples
from tunebird.finetune.choices import FROM_SPEC, Choice, Part, pick, text
from tunebird.finetune.distribution import world_size
from tunebird.finetune.method import LEARNING_RATES

BATCH_SIZE = 16
MICRO_BATCH = 4
SEQUENCE_LENGTH = 1024
EPOCHS: Mapping[str, int] = {"sft": 3}
ONE_EPOCH = 1  # of preferences and of plain text a second pass mostly memorises


def training(spec: FineTuneJobSpec, tuning: str) -> Part[config.TrainingConfig]:
    """Every hyperparameter."""
    batch = _batch(spec)
    choices = (*_choices(spec, tuning), *batch.choices)
    values = {choice.field.removeprefix("training."): choice.value for choice in choices}
    return Part(config.TrainingConfig.model_validate(_fields(spec, values, batch)), choices)


def epochs(spec: FineTuneJobSpec) -> int:
    """Passes over the data."""
    return spec.training.epochs or EPOCHS.get(spec.method.objective, ONE_EPOCH)


def _fields(spec: FineTuneJobSpec, values: Mapping[str, str], batch: _Batch) -> dict[str, object]:
    asked, stopping = spec.training, spec.training.early_stopping
    return {
        "epochs": float(epochs(spec)),
        "max_steps": asked.max_steps,
        "learning_rate": float(values["learningRate"]),
        "schedule": {"type": asked.schedule.type.value, "warmup": fraction(asked.schedule.warmup)},
        "optimizer": values["optimizer"],
        "precision": values["precision"],
        "micro_batch_size": batch.micro,
        "gradient_accumulation_steps": batch.accumulation,
        "global_batch_size": batch.whole,
        "max_sequence_length": int(values["maxSequenceLength"]),
        "packing": asked.packing,
        "loss_on": values["lossOn"],
        "evaluate_every": asked.evaluate_every,
        "seed": asked.seed,
        "deterministic": asked.deterministic,
        "activation_checkpointing": values["activationCheckpointing"] == "true",
        "max_gradient_norm": float(values["maxGradientNorm"]),
        "weight_decay": float(values["weightDecay"]),
        "group_by_length": asked.group_by_length,
        "neftune_alpha": None if asked.neftune_alpha is None else float(asked.neftune_alpha),
        "early_stopping": None if stopping is None else {"patience": stopping.patience},
        "keep_best": values["keepBest"] == "true",
        "samples": _samples(asked.samples),
        "trackers": asked.trackers,
        "worst_case_step": values["worstCaseStep"] == "true",
    }


def _samples(asked: Samples | None) -> dict[str, object]:
    if asked is None:
        return {"every_steps": None, "prompts": (), "max_tokens": 64}
    return {"every_steps": asked.every_steps, "prompts": asked.prompts, "max_tokens": asked.max_tokens}


def _choices(spec: FineTuneJobSpec, tuning: str) -> tuple[Choice, ...]:
    asked, objective = spec.training, spec.method.objective.value
    usual = LEARNING_RATES[objective, tuning]
    return (
        _length_choice(spec),
        pick("training.learningRate", asked.learning_rate, usual, f"default of {objective} with {tuning}"),
        _precision_choice(spec),
        pick(
            "training.optimizer", None if asked.optimizer is Optimizer.AUTO else asked.optimizer.value, "adamw", "auto"
        ),
        pick("training.maxSequenceLength", asked.max_sequence_length, SEQUENCE_LENGTH, "default"),
        pick("training.maxGradientNorm", asked.max_gradient_norm, "1.0", "default"),
        pick("training.weightDecay", asked.weight_decay, "0.0", "default"),
        _loss_choice(spec),
        _best_choice(spec),
        _recompute_choice(spec, tuning),
        _worst_case_choice(spec),
    )


def _length_choice(spec: FineTuneJobSpec) -> Choice:
    if spec.training.max_steps is not None:
        return Choice("training.maxSteps", str(spec.training.max_steps), FROM_SPEC)
    return pick("training.epochs", spec.training.epochs, epochs(spec), f"default of {spec.method.objective.value}")


def _precision_choice(spec: FineTuneJobSpec) -> Choice:
    asked, gpus = spec.training.precision, spec.compute.gpus_per_node
    chosen = None if asked is Precision.AUTO else asked.value
    return pick("training.precision", chosen, "bf16" if gpus else "fp32", f"auto on a {'GPU' if gpus else 'CPU'}")


def _loss_choice(spec: FineTuneJobSpec) -> Choice:
    if spec.method.objective is Objective.CONTINUE:
        return Choice("training.lossOn", "all", "plain text has no completions")
    given = "loss_on" in spec.training.model_fields_set
    return Choice("training.lossOn", spec.training.loss_on.value, FROM_SPEC if given else "default")


def _best_choice(spec: FineTuneJobSpec) -> Choice:
    if spec.training.early_stopping is not None:
        return Choice("training.keepBest", "true", "earlyStopping publishes the best checkpoint")
    given = spec.training.keep_best
    return Choice("training.keepBest", text(given), FROM_SPEC if given else "default: the last one")


def _recompute_choice(spec: FineTuneJobSpec, tuning: str) -> Choice:
    field = "training.activationCheckpointing"
    if spec.compute.gpus_per_node == 0:
        return Choice(field, "false", "host memory is large, time is short")
    if tuning == Tuning.FULL:
        return Choice(field, "true", "full tuning on a GPU: memory is short")
    return Choice(field, "false", "adapters leave room for activations")


def _worst_case_choice(spec: FineTuneJobSpec) -> Choice:
    field = "training.worstCaseStep"
    if spec.compute.gpus_per_node:
        return Choice(field, "true", "running out of GPU memory shows before the first step")
    return Choice(field, "false", "host memory is large, time is short")


@dataclass(frozen=True, slots=True)
class _Batch:
    whole: int
    micro: int
    accumulation: int
    choices: tuple[Choice, ...]


def _batch(spec: FineTuneJobSpec) -> _Batch:
    """The largest micro-batch up to four (pairs: two) that divides a process's share: what was asked for is kept."""
    world, asked = world_size(spec), spec.training.global_batch_size
    usual = -(-BATCH_SIZE // world) * world
    whole = asked or usual
    share = whole // world
    most = MICRO_BATCH // 2 if spec.method.objective is Objective.DPO else MICRO_BATCH
    micro = max(size for size in range(1, most + 1) if share % size == 0)
    by = "" if world == 1 else f" / {world} processes"
    default = "default" if usual == BATCH_SIZE else f"default {BATCH_SIZE}, rounded up for {world} processes"
    return _Batch(
        whole,
        micro,
        share // micro,
        (
            pick("training.globalBatchSize", asked, usual, default),
            Choice("training.microBatchSize", str(micro), f"largest divisor of {share} up to {most}"),
            Choice("training.gradientAccumulationSteps", str(share // micro), f"{whole}{by} / {micro}"),
        ),
    )
