"""The longest step that can come, before the first real one: a run that is too big for its GPU says so in its first
minute, not at the first long batch in its third hour. Everything it touches is put back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.compute
import torch

from tunebird_trainer.config import Quantization, Tuning
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.training import environment, objectives, randomness

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tunebird_trainer.config import Config


@dataclass(frozen=True, slots=True)
class Measured:
    seconds: float
    peak_bytes: int


def length(trainer: Any, config: Config) -> int:
    """Of the longest row that training will meet, in tokens."""
    recipe = objectives.recipe(config)
    longest = max(recipe.length(row) for row in _sizes(trainer.train_dataset, recipe.columns))
    return min(longest, config.training.max_sequence_length)


def _sizes(rows: Any, columns: tuple[str, ...]) -> Iterator[dict[str, range]]:
    """Rows that are as long as the real ones; no token of theirs is read."""
    for table in rows.with_format("arrow").iter(batch_size=1000):
        sizes = [pyarrow.compute.list_value_length(table[column]).to_pylist() for column in columns]
        for row in zip(*sizes, strict=True):
            yield dict(zip(columns, map(range, row), strict=True))


def rehearse(trainer: Any, config: Config, tokens: int) -> Measured:
    """Rows of so many tokens forward, backward and, in a fresh run, through the optimizer with learning rate 0: its
    state is memory too. A resumed run has that state already.

    Raises:
        Failure: CUDAOutOfMemory with the measured peak and what would make the step smaller.
    """
    started = time.monotonic()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with randomness.kept():
        try:
            _step(trainer, config, tokens)
            if trainer.state.global_step == 0:
                _allocate(trainer.optimizer.optimizer)
                _step(trainer, config, tokens)
                trainer.optimizer.optimizer.state.clear()
        except torch.OutOfMemoryError as error:
            raise too_big(config, tokens) from error
    trainer.model.zero_grad()
    trainer.forget_metrics()
    return Measured(round(time.monotonic() - started, 3), environment.peak_bytes())


def _step(trainer: Any, config: Config, tokens: int) -> None:
    recipe, training = objectives.recipe(config), config.training
    row = recipe.longest(tokens)
    known = {"seq_lengths": [tokens], "ref_chosen_logps": 0.0, "ref_rejected_logps": 0.0}
    row |= {name: value for name, value in known.items() if name in trainer.train_dataset.column_names}
    trainer.current_gradient_accumulation_steps = training.gradient_accumulation_steps
    trainer.training_step(trainer.model_wrapped, trainer.data_collator([row] * training.micro_batch_size))


def _allocate(optimizer: Any) -> None:
    """A step that changes no weight."""
    rates = [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"], group["weight_decay"] = 0.0, 0.0
    optimizer.step()
    for group, (rate, decay) in zip(optimizer.param_groups, rates, strict=True):
        group["lr"], group["weight_decay"] = rate, decay
    optimizer.zero_grad()


def too_big(config: Config, tokens: int) -> Failure:
    training = config.training
    peak = environment.peak_bytes() / 2**30
    total = f" of {torch.cuda.mem_get_info()[1] / 2**30:.1f}" if torch.cuda.is_available() else ""
    return Failure(
        Reason.CUDA_OUT_OF_MEMORY,
        f"the longest step, {training.micro_batch_size} x {tokens} tokens, does not fit: it held "
        f"{peak:.1f}{total} GiB when the GPU's memory was used up; {' or '.join(_remedies(config))}",
    )


def _remedies(config: Config) -> list[str]:
    training, method = config.training, config.method
    ways = []
    if training.micro_batch_size > 1:
        ways.append("lower training.microBatchSize and raise gradientAccumulationSteps alike")
    if not training.activation_checkpointing:
        ways.append("turn training.activationCheckpointing on")
    ways.append("lower training.maxSequenceLength")
    if method.tuning is Tuning.FULL:
        ways.append("use method.tuning lora")
    elif method.quantization is Quantization.NONE:
        ways.append("use method.quantization nf4")
    return ways
