"""From files to token ids: read, check every row, drop duplicates, mix, hold out, tokenize. Tells what it did with each
row."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tunebird_trainer import masks
from tunebird_trainer.config import Mixing, OnInvalid, OnTooLong
from tunebird_trainer.formats import Format, InvalidRow, Message, conversation, detected, has_placeholder
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.rows import Row, read
from tunebird_trainer.sources import fetch_dataset
from tunebird_trainer.storage import digest_of, file_digest

if TYPE_CHECKING:
    from pathlib import Path

    from tunebird_trainer.config import Config, Dataset

_SHOWN = 5  # bad rows named in a message; all are counted


@dataclass(frozen=True, slots=True)
class Example:
    where: str
    dataset: str
    messages: tuple[Message, ...]
    key: str  # digest of the content: the same conversation has the same key wherever it lies


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of one dataset's rows."""

    name: str
    uri: str
    format: str
    digest: str
    license: str
    rows: int
    invalid: int = 0
    duplicates: int = 0
    left_out: int = 0  # by limit or weight
    too_long: int = 0
    placeholders: int = 0


@dataclass(frozen=True, slots=True)
class Prepared:
    train: tuple[masks.Sequence, ...]
    validation: tuple[masks.Sequence, ...]
    counts: tuple[Counts, ...]
    prompts: tuple[tuple[Message, ...], ...]  # openings of held-out (else training) conversations, to try the model on
    digest: str

    @property
    def tokens(self) -> int:
        return sum(len(sequence.input_ids) for sequence in self.train)


@dataclass(slots=True)
class _Loaded:
    counts: Counts
    examples: list[Example] = field(default_factory=list)


def prepare(config: Config, tokenizer: Any) -> Prepared:
    """Raises:
    Failure: InvalidDataset or DatasetNotFound, naming file and line.
    """
    loaded = _without_duplicates([_load(dataset, config) for dataset in config.datasets])
    mixed = _mixed(loaded, config)
    held_out, kept = _split(mixed, config.validation.percent, config.training.seed)
    template = masks.Template.of(tokenizer)
    train, refused = _tokenized(kept, template, config)
    validation, also_refused = _tokenized(held_out, template, config)
    if not train:
        raise Failure(
            Reason.INVALID_DATASET, f"no row is left to train on: {_told(loaded)}; add data or relax preparation"
        )
    counts = _with_refused(loaded, refused + also_refused)
    prompts = tuple(_opening(example.messages) for example in (held_out or kept)[:3])
    return Prepared(train, validation, counts, prompts, _digest(train, validation))


def summary(prepared: Prepared) -> list[str]:
    """Lines for the log, one a dataset and one for the whole."""
    lines = [_line(counts) for counts in prepared.counts]
    learned = sum(1 for sequence in prepared.train for label in sequence.labels if label != masks.IGNORED)
    total = f"{len(prepared.train)} sequences to train on, {len(prepared.validation)} held out"
    return [*lines, f"data: {total}, {prepared.tokens} tokens, {learned} of them in the loss, {prepared.digest[:19]}"]


def _load(dataset: Dataset, config: Config) -> _Loaded:
    path = fetch_dataset(dataset)
    rows = list(read(path, dataset.name))
    chosen = _format(dataset, rows)
    examples, invalid = _checked(dataset, rows, chosen)
    if invalid and config.preparation.on_invalid is OnInvalid.FAIL:
        raise _invalid(dataset, invalid, len(rows))
    for sentence in invalid[:_SHOWN]:
        print(f"data: dropped {sentence}", flush=True)
    gaps = _warned_placeholders(examples)
    counts = Counts(
        dataset.name,
        dataset.uri,
        chosen,
        _source_digest(path),
        dataset.license,
        len(rows),
        len(invalid),
        placeholders=gaps,
    )
    return _Loaded(counts, examples)


def _format(dataset: Dataset, rows: list[Row]) -> Format:
    if dataset.format != "auto":
        return Format(dataset.format)
    if not rows:
        raise Failure(Reason.INVALID_DATASET, f"dataset {dataset.name}: {dataset.uri} has no rows")
    found = next((format_ for row in rows[:100] if (format_ := detected(row.value))), None)
    if found is None:
        keys = ", ".join(sorted(rows[0].value)) if isinstance(rows[0].value, dict) else type(rows[0].value).__name__
        known = "messages | prompt and completion | instruction and output | conversations"
        raise Failure(
            Reason.INVALID_DATASET,
            f"dataset {dataset.name}: {rows[0].where} has {keys}, none of {known}; convert the rows",
        )
    print(f"data: {dataset.name}: found format {found} in {rows[0].where}", flush=True)
    return found


def _checked(dataset: Dataset, rows: list[Row], chosen: Format) -> tuple[list[Example], list[str]]:
    examples, invalid = [], []
    for row in rows:
        try:
            if row.error:
                raise InvalidRow(row.error)
            messages = conversation(row.value, chosen)
            examples.append(Example(row.where, dataset.name, messages, _key(messages)))
        except InvalidRow as error:
            invalid.append(f"{row.where} {error}")
    return examples, invalid


def _invalid(dataset: Dataset, invalid: list[str], rows: int) -> Failure:
    shown = "; ".join(invalid[:_SHOWN])
    more = f"; and {len(invalid) - _SHOWN} more" if len(invalid) > _SHOWN else ""
    remedy = "correct them or set preparation.onInvalid: Drop"
    return Failure(
        Reason.INVALID_DATASET,
        f"dataset {dataset.name}: {len(invalid)} of {rows} rows are invalid: {shown}{more}; {remedy}",
    )


def _warned_placeholders(examples: list[Example]) -> int:
    found = [(example.where, gap) for example in examples if (gap := has_placeholder(example.messages))]
    if found:
        where, gap = found[0]
        print(f"data: warning: {len(found)} rows hold unfilled placeholders, such as {gap} in {where}: "
              "the model will learn to write them", flush=True)  # fmt: skip
    return len(found)


def _without_duplicates(loaded: list[_Loaded]) -> list[_Loaded]:
    """Exact duplicates go, also across datasets: the first stays. Before the split, or they would leak into it."""
    seen: set[str] = set()
    for each in loaded:
        kept = []
        for example in each.examples:
            if example.key not in seen:
                seen.add(example.key)
                kept.append(example)
        each.counts = replace(each.counts, duplicates=len(each.examples) - len(kept))
        each.examples = kept
    return loaded


def _mixed(loaded: list[_Loaded], config: Config) -> list[Example]:
    """Equal weights: everything once. Otherwise the largest mixture in which no row is repeated."""
    for each, dataset in zip(loaded, config.datasets, strict=True):
        each.examples = _sample(each, dataset.limit, config.training.seed)
    weights = [dataset.weight for dataset in config.datasets]
    if len(set(weights)) > 1:
        share = min(len(each.examples) / weight for each, weight in zip(loaded, weights, strict=True))
        for each, weight in zip(loaded, weights, strict=True):
            each.examples = _sample(each, max(1, int(share * weight)), config.training.seed)
    if config.mixing is Mixing.INTERLEAVE:
        return _interleaved([each.examples for each in loaded])
    return [example for each in loaded for example in each.examples]


def _sample(each: _Loaded, limit: int | None, seed: int) -> list[Example]:
    if limit is None or limit >= len(each.examples):
        return each.examples
    chosen = sorted(each.examples, key=lambda example: _draw(example.key, f"sample {seed}"))[:limit]
    keys = {example.key for example in chosen}
    each.counts = replace(each.counts, left_out=each.counts.left_out + len(each.examples) - limit)
    return [example for example in each.examples if example.key in keys]


def _interleaved(lists: list[list[Example]]) -> list[Example]:
    """Evenly spread: row i of n stands at (i + ½) / n of the whole."""
    placed = [((i + 0.5) / len(each), n, example) for n, each in enumerate(lists) for i, example in enumerate(each)]
    return [example for _, _, example in sorted(placed, key=lambda place: place[:2])]


def _split(examples: list[Example], percent: float, seed: int) -> tuple[list[Example], list[Example]]:
    """The share with the smallest seeded hash of its content is held out, whatever the order of the file."""
    if not percent or len(examples) < 2:
        return [], examples
    count = max(1, round(len(examples) * percent / 100))
    drawn = sorted(examples, key=lambda example: _draw(example.key, f"validation {seed}"))[:count]
    keys = {example.key for example in drawn}
    return [e for e in examples if e.key in keys], [e for e in examples if e.key not in keys]


def _tokenized(
    examples: list[Example], template: masks.Template, config: Config
) -> tuple[tuple[masks.Sequence, ...], Counter[tuple[str, str]]]:
    done: list[masks.Sequence] = []
    refused: Counter[tuple[str, str]] = Counter()
    for example in examples:
        sequences = _sequences(example, template, config)
        fitting = [fit for sequence in sequences if (fit := _fitted(sequence, example, config))]
        done += fitting
        refused[example.dataset, "invalid"] += not sequences
        refused[example.dataset, "too long"] += len(sequences) - len(fitting)
    return tuple(done), refused


def _sequences(example: Example, template: masks.Template, config: Config) -> tuple[masks.Sequence, ...]:
    """The example's sequences; none when the chat template refuses it and such rows are dropped."""
    try:
        return masks.sequences(example.messages, template, config.training.loss_on)
    except InvalidRow as error:
        if config.preparation.on_invalid is OnInvalid.DROP:
            print(f"data: dropped {example.where} {error}", flush=True)
            return ()
        raise Failure(Reason.INVALID_DATASET, f"{example.where} {error}") from error


def _fitted(sequence: masks.Sequence, example: Example, config: Config) -> masks.Sequence | None:
    limit = config.training.max_sequence_length
    if len(sequence.input_ids) <= limit:
        return sequence
    match config.preparation.on_too_long:
        case OnTooLong.FAIL:
            raise Failure(
                Reason.INVALID_DATASET,
                f"{example.where} has {len(sequence.input_ids)} tokens, above maxSequenceLength {limit}; "
                "raise it, shorten the row, or set preparation.onTooLong: Drop or Truncate",
            )
        case OnTooLong.TRUNCATE:
            cut = masks.truncated(sequence, limit)
            return cut if cut.learns else None
        case OnTooLong.DROP:
            return None


def _with_refused(loaded: list[_Loaded], refused: Counter[tuple[str, str]]) -> tuple[Counts, ...]:
    """The counts with what the chat template and the length limit turned away."""
    counts = [each.counts for each in loaded]
    return tuple(
        replace(each, invalid=each.invalid + refused[each.name, "invalid"], too_long=refused[each.name, "too long"])
        for each in counts
    )


def _opening(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    first = next(index for index, message in enumerate(messages) if message.role == "assistant")
    return messages[:first]


def _told(loaded: list[_Loaded]) -> str:
    return ", ".join(f"{each.counts.name} has {each.counts.rows} rows" for each in loaded)


def _line(counts: Counts) -> str:
    gone = {"invalid": counts.invalid, "duplicates": counts.duplicates, "left out": counts.left_out,
            "too long": counts.too_long}  # fmt: skip
    dropped = ", ".join(f"{number} {name}" for name, number in gone.items() if number) or "none dropped"
    return f"data: {counts.name}: {counts.rows} {counts.format} rows from {counts.uri}, {dropped}"


def _source_digest(path: Path) -> str:
    from tunebird_trainer.rows import files_of

    return digest_of({file.name: file_digest(file) for file in files_of(path)})


def _key(messages: tuple[Message, ...]) -> str:
    canonical = json.dumps([[message.role, message.content] for message in messages], separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _draw(key: str, purpose: str) -> float:
    return random.Random(f"{purpose} {key}").random()


def _digest(train: tuple[masks.Sequence, ...], validation: tuple[masks.Sequence, ...]) -> str:
    """Over exactly what the model sees, in order."""
    state = hashlib.sha256()
    for part in (train, validation):
        for sequence in part:
            state.update(json.dumps([sequence.input_ids, sequence.labels], separators=(",", ":")).encode() + b"\n")
        state.update(b"--\n")
    return "sha256:" + state.hexdigest()
