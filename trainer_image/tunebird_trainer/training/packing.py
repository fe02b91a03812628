"""Several examples in one row, and the proof on the loaded model that they don't see each other. Attention that ignores
where an example ends (other kernels, other model code) would train on mixed contexts without a word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from tunebird_trainer.training import arguments

if TYPE_CHECKING:
    from datasets import Dataset

    from tunebird_trainer.config import Config

_EXAMPLES = 3
_MOST_TOKENS = 256  # of each example in the proof
# Mean difference of logits, as a share of their mean size, that rounding explains.
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 2e-2}


@dataclass(frozen=True, slots=True)
class Proof:
    difference: float
    tolerance: float

    @property
    def holds(self) -> bool:
        return self.difference <= self.tolerance


def packed(dataset: Dataset, config: Config) -> Dataset:
    from trl import pack_dataset

    return pack_dataset(dataset, config.training.max_sequence_length, "bfd")


def problem(model: Any, dataset: Dataset, config: Config) -> str:
    """Why rows can't be packed for this model on this device; empty where they can."""
    if config.distributed.zero_stage == 3:
        return "it can't be proved on weights that ZeRO-3 has sharded; use zeroStage 2"
    if torch.cuda.is_available():
        model.cuda()
    proof = prove(model, dataset, getattr(torch, arguments.compute_dtype(config)))
    said = f"packed examples differ from single ones by {proof.difference:.1e} of the logits"
    if proof.holds:
        print(f"packing: proved; {said}, within {proof.tolerance:.0e}", flush=True)
        return ""
    return f"{said}, more than the {proof.tolerance:.0e} of rounding: they see each other"


def prove(model: Any, dataset: Dataset, dtype: torch.dtype) -> Proof:
    """Compare the logits of examples in one packed row with those of each alone, as training would compute both."""
    rows = [dataset[index]["input_ids"][:_MOST_TOKENS] for index in range(min(_EXAMPLES, len(dataset)))]
    rows = rows if len(rows) > 1 else rows * 2
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), _autocast(model, dtype):
            alone = torch.cat([_logits(model, [row]) for row in rows], dim=1)
            together = _logits(model, rows)
    finally:
        model.train(training)
    later = slice(len(rows[0]), None)  # nothing comes before the first, so it can't be disturbed
    difference = (together - alone)[:, later].abs().mean() / alone[:, later].abs().mean()
    return Proof(float(difference), _TOLERANCE[dtype])


def _logits(model: Any, rows: list[list[int]]) -> torch.Tensor:
    # Without a mask and a cache, as the collator of packed rows has it: with either, examples see each other on sdpa.
    device = next(model.parameters()).device
    ids = torch.tensor([[token for row in rows for token in row]], device=device)
    positions = torch.tensor([[place for row in rows for place in range(len(row))]], device=device)
    logits: torch.Tensor = model(input_ids=ids, position_ids=positions, use_cache=False).logits.float()
    return logits


def _autocast(model: Any, dtype: torch.dtype) -> Any:
    kind = next(model.parameters()).device.type
    return torch.autocast(kind, dtype=dtype, enabled=dtype is not torch.float32)
