"""What the model kept of its data: rows continued word for word, exposure of planted canaries (Carlini et al. 2019,
"The Secret Sharer"), and perplexity of the rows that were held out."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunebird_checks.chat import Generation
from tunebird_checks.metrics import METRICS, Measure
from tunebird_trainer.config import Objective
from tunebird_trainer.evaluation import in_process

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tunebird_trainer.config import Config
    from tunebird_trainer.data.prepared import Canary, Prepared
    from tunebird_trainer.evaluation.in_process import Loaded

_ROWS = 100  # training rows tried
_HELD_OUT = 300
_PREFIX, _CONTINUED = 50, 50  # tokens, as in extraction attacks (Carlini et al. 2021); short answers give half and half
_SHORTEST = 16  # a continuation shorter than this is often the only sensible one
_CANARIES = 32  # canaries measured
_OTHERS = 255  # secrets drawn to rank each against: exposure is measurable up to 8 bits


@dataclass(frozen=True, slots=True)
class Piece:
    """A training row cut in two."""

    row: int
    before: tuple[int, ...]
    after: tuple[int, ...]


def measures(config: Config, prepared: Prepared, loaded: Loaded, between: Callable[[], None]) -> dict[str, Measure]:
    found = {
        "training.memorisation": _memorisation(config, prepared, loaded, between),
        "validation.perplexity": _held_out(config, prepared, loaded, between),
        "canaries.exposure": _exposure(config, prepared, loaded, between),
    }
    return {name: measure for name, measure in found.items() if measure is not None}


def pieces(rows: Any, seed: int) -> list[Piece]:
    """Of up to a hundred rows the text to give and the text that the model must not know by heart."""
    chosen = sorted(random.Random(f"memorisation {seed}").sample(range(len(rows)), min(_ROWS * 4, len(rows))))
    cut = [piece for number in chosen if (piece := _cut(number, *_columns(rows[number])))]
    return cut[:_ROWS]


def exposure(ours: float, others: Sequence[float]) -> float:
    """log2 of how many secrets there are less log2 of this one's rank by likelihood, in bits: 0 is the least likely,
    the greatest means that no other is likelier."""
    rank = 1 + sum(each < ours for each in others)
    return math.log2(len(others) + 1) - math.log2(rank)


def _columns(row: dict[str, Any]) -> tuple[list[int], list[int]]:
    """ids and labels of a row of any objective; of a preference the chosen answer."""
    if "input_ids" in row:
        return list(row["input_ids"]), list(row["labels"])
    prompt, chosen = list(row["prompt_ids"]), list(row["chosen_ids"])
    return prompt + chosen, [-100] * len(prompt) + chosen


def _cut(number: int, ids: list[int], labels: list[int]) -> Piece | None:
    learned = [place for place, label in enumerate(labels) if label != -100]
    if not learned:
        return None
    start = learned[0]
    end = next((place for place in range(start, len(labels)) if labels[place] == -100), len(labels))
    given = min(_PREFIX, (end - start) // 2)
    after = tuple(ids[start + given : min(end, start + given + _CONTINUED)])
    return Piece(number, tuple(ids[: start + given]), after) if len(after) >= _SHORTEST else None


def _memorisation(config: Config, prepared: Prepared, loaded: Loaded, between: Callable[[], None]) -> Measure | None:
    cut = sorted(pieces(prepared.train, config.training.seed), key=lambda piece: len(piece.before))
    values: dict[str, float | None] = {}
    how = Generation(max_tokens=_CONTINUED)
    for start in range(0, len(cut), in_process.BATCH):
        between()
        batch = cut[start : start + in_process.BATCH]
        said = in_process.generated([piece.before for piece in batch], loaded, how, seed=0)
        for piece, ids in zip(batch, said, strict=True):
            values[f"row {piece.row}"] = float(ids[: len(piece.after)] == piece.after)
    return Measure(METRICS["memorisation"], values) if values else None


def _held_out(config: Config, prepared: Prepared, loaded: Loaded, between: Callable[[], None]) -> Measure | None:
    if config.method.objective is Objective.DPO:  # its rows are preferences, not texts to be likely
        return None
    values: dict[str, float | None] = {}
    weights: dict[str, float] = {}
    for number, row in enumerate(prepared.validation.select(range(min(_HELD_OUT, len(prepared.validation))))):
        between()
        ids, labels = _columns(row)
        count = sum(label != -100 for label in labels[1:])
        if count and len(ids) <= loaded.context:
            values[f"row {number}"] = in_process.likelihood(loaded, ids, labels) / count
            weights[f"row {number}"] = float(count)
    return Measure(METRICS["perplexity"], values, weights) if values else None


def _exposure(config: Config, prepared: Prepared, loaded: Loaded, between: Callable[[], None]) -> Measure | None:
    chat = config.method.objective is not Objective.CONTINUE
    values: dict[str, float | None] = {}
    for number, canary in enumerate(prepared.canaries[:_CANARIES]):
        between()
        values[f"canary {number}"] = _exposed(canary, loaded, config.training.seed, chat=chat)
    return Measure(METRICS["exposure"], values) if values else None


def _exposed(canary: Canary, loaded: Loaded, seed: int, *, chat: bool) -> float:
    draw = random.Random(f"canary {seed} {canary.secret}")
    secrets = ["".join(draw.choices(canary.alphabet, k=len(canary.secret))) for _ in range(_OTHERS)]
    turns = [{"role": "user", "content": canary.prompt}]
    prompt = in_process.chat_prompt(turns, (), loaded) if chat else in_process.tokens(canary.prompt, loaded)
    planted = canary.answer if chat else f" {canary.answer}"
    texts = [planted, *(planted.replace(canary.secret, secret) for secret in secrets)]
    ours, *others = in_process.likelihoods_of(loaded, prompt, [in_process.tokens(text, loaded) for text in texts])
    return exposure(ours, others)
