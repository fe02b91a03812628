"""What an objective changes in the frame: TRL's trainer, its settings, the columns it reads, the longest row, and what
a token costs. One row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunebird_trainer.config import Objective, Tuning

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunebird_trainer.config import Config


@dataclass(frozen=True, slots=True)
class Recipe:
    """`trainer` and `settings` are names in `training/trainer.py` and in `trl`, looked up when training starts."""

    trainer: str
    settings: str
    columns: tuple[str, ...]
    length: Callable[[dict[str, Any]], int]  # of a row, in tokens of its longest sequence
    longest: Callable[[int], dict[str, list[int]]]  # a row of so many tokens
    own_arguments: Callable[[Config], dict[str, Any]]  # arguments of `settings` that only this objective has
    passes: Callable[[Config], float]  # forward passes of the reference per token, beside the model's own


def recipe(config: Config) -> Recipe:
    return RECIPES[config.method.objective]


def needs_reference(config: Config) -> bool:
    """Does it compare with a second set of weights? With an adapter the base under it is the reference."""
    asked = config.method
    return asked.objective is Objective.DPO and (asked.tuning is Tuning.FULL or bool(asked.dpo.reference))


def _supervised(config: Config) -> dict[str, Any]:
    return {
        "packing": config.training.packing, "eval_packing": False, "dataset_kwargs": {"skip_prepare_dataset": True},
        "loss_type": "nll",
    }  # fmt: skip


def _preference(config: Config) -> dict[str, Any]:
    asked = config.method.dpo
    return {
        "beta": asked.beta, "loss_type": [asked.loss], "label_smoothing": asked.label_smoothing,
        "precompute_ref_log_probs": needs_reference(config), "disable_dropout": True, "truncation_mode": "keep_start",
    }  # fmt: skip


def _labelled(tokens: int) -> dict[str, list[int]]:
    return {"input_ids": [1] * tokens, "labels": [1] * tokens}


def _pair(tokens: int) -> dict[str, list[int]]:
    half = tokens // 2
    return {"prompt_ids": [1] * half, "chosen_ids": [1] * (tokens - half), "rejected_ids": [1] * (tokens - half)}


def _one_length(row: dict[str, Any]) -> int:
    return len(row["input_ids"])


def _pair_length(row: dict[str, Any]) -> int:
    return len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))


def _none(_: Config) -> float:
    return 0


def _reference_pass(config: Config) -> float:
    return 0 if needs_reference(config) else 1  # precomputed once, or run beside every step


_LABELLED = ("input_ids", "labels")
RECIPES = {
    Objective.SFT: Recipe("Supervised", "SFTConfig", _LABELLED, _one_length, _labelled, _supervised, _none),
    Objective.CONTINUE: Recipe("Supervised", "SFTConfig", _LABELLED, _one_length, _labelled, _supervised, _none),
    Objective.DPO: Recipe(
        "Preference", "DPOConfig", ("prompt_ids", "chosen_ids", "rejected_ids"),
        _pair_length, _pair, _preference, _reference_pass,
    ),
}  # fmt: skip
