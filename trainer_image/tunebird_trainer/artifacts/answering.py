"""Does the model still stop? A few prompts of the data are answered by the staged model, loaded as a server would."""

from __future__ import annotations

import gc
import itertools
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunebird_trainer.data import masks
from tunebird_trainer.outcome import Failure, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tunebird_trainer.data.prepared import Prepared

PROMPTS = 20
LEAST_SHARE = 0.95
_BATCH = 10
_TOKENS = (64, 256)  # an answer's limit: twice the longest one learned, between these


@dataclass(frozen=True, slots=True)
class Found:
    """How many answers were asked for, and the share of them that ended by their end token."""

    asked: int
    share: float


def ended(base: Path, served: Path, data: Prepared, doing: Callable[[str], None]) -> dict[str, Any]:
    """The share of answers that end by their end token. Below 95 % the base model is asked the same: where it did stop,
    training has broken the model; where it did not, or there are too few prompts to tell, that is a warning. No model
    is asked on once so many answers did not end that the others can't bring it to 95 %. `doing` is told of each token.

    Raises:
        Failure: GateFailed when the base model reaches the share and this one does not.
    """
    if not data.prompts:  # documents have no answers
        return {"prompts": 0, "endTokenShare": None, "baseEndTokenShare": None, "tokenLimit": None}
    limit, count = _limit(data), len(data.prompts[:PROMPTS])
    print(f"save: asking for {count} answers of up to {limit} tokens, to see that they end", flush=True)
    found = _found(served, data, limit, doing)
    told = {"prompts": found.asked, "endTokenShare": found.share, "baseEndTokenShare": None,
            "tokenLimit": limit}  # fmt: skip
    if found.share >= LEAST_SHARE:
        return told
    print(f"save: {found.share:.0%} of {found.asked} ended; asking the base model the same", flush=True)
    before = _found(base, data, limit, lambda now: doing(f"base model: {now}"), words=served).share
    told["baseEndTokenShare"] = before
    said = f"{found.share:.0%} of {found.asked} answers ended within {limit} tokens, before training {before:.0%}"
    if before >= LEAST_SHARE and count >= PROMPTS:
        remedy = (
            "nothing was published; lower the learning rate or the epochs, or check that answers end in the data "
            "(--check-data)"
        )
        raise Failure(Reason.GATE_FAILED, f"the model has unlearned to stop: {said}; {remedy}")
    print(f"save: warning: {said}", flush=True)
    return told


def _found(
    directory: Path, data: Prepared, limit: int, doing: Callable[[str], None], words: Path | None = None
) -> Found:
    """`words` has the tokenizer and chat template to ask with, where they are not the model's own."""
    from tunebird_checks.chat import Generation
    from tunebird_trainer.evaluation import in_process

    loaded = in_process.load(directory)
    tokenizer, ends = loaded.tokenizer, loaded.ends
    if words is not None:
        from transformers import AutoTokenizer, GenerationConfig

        tokenizer = AutoTokenizer.from_pretrained(words)
        known = GenerationConfig.from_pretrained(words).eos_token_id
        ends = tuple(known) if isinstance(known, list) else (known,)
    asked = in_process.Loaded(loaded.model, tokenizer, ends, loaded.top_p, loaded.context)
    prompts = [_ids(messages, tokenizer, loaded.context - limit) for messages in data.prompts[:PROMPTS]]
    generation = Generation(0.0, limit, 1, 0)
    good: list[bool] = []
    for start in range(0, len(prompts), _BATCH):
        with _counted(asked.model, f"{start}/{len(prompts)} answers", limit, doing):
            answers = in_process.generated(prompts[start : start + _BATCH], asked, generation, seed=0)
        good += [bool(answer) and answer[-1] in ends for answer in answers]
        print(f"save: {len(good)} of {len(prompts)} answers are there", flush=True)
        if _hopeless(good, len(prompts)):
            break
    del loaded, asked
    gc.collect()
    return Found(len(good), round(sum(good) / len(good), 4))


def _hopeless(good: Sequence[bool], of: int) -> bool:
    """Even if all that is left ends."""
    return (of - good.count(False)) / of < LEAST_SHARE


@contextmanager
def _counted(model: Any, done: str, limit: int, doing: Callable[[str], None]) -> Iterator[None]:
    """Each forward pass of a batch makes one token of each of its answers."""
    tokens = itertools.count(1)
    told = model.register_forward_pre_hook(lambda *_: doing(f"{done}, token {next(tokens)}/{limit}"))
    try:
        yield
    finally:
        told.remove()


def _ids(messages: Any, tokenizer: Any, room: int) -> Sequence[int]:
    text = masks.rendered(messages, masks.Template.of(tokenizer), ask=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])[-max(room, 1) :]


def _limit(data: Prepared) -> int:
    rows = data.train.select(range(min(200, len(data.train))))
    lengths = [len(row["chosen_ids"]) if "chosen_ids" in row else _learned(row["labels"]) for row in rows]
    return min(max(2 * max(lengths, default=0), _TOKENS[0]), _TOKENS[1])


def _learned(labels: Sequence[int]) -> int:
    return sum(label != masks.IGNORED for label in labels)
