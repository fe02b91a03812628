"""`tunebird-trainer --check-data`: prepares the data as a run would, with the tokenizer alone, and shows what would be
learned: counts, lengths, and three rows coloured by mask."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tunebird_trainer.config import OnInvalid, OnTooLong
from tunebird_trainer.data import bad_rows, formats
from tunebird_trainer.data.examples import InvalidRow
from tunebird_trainer.data.formats import Format
from tunebird_trainer.data.masks import IGNORED
from tunebird_trainer.outcome import ExitCode, Failure, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tunebird_trainer.config import Config
    from tunebird_trainer.data.prepared import Prepared
    from tunebird_trainer.data.reading import Source

_GREEN, _DIM, _OFF = "\033[32m", "\033[2m", "\033[0m"
_LEARNED = "⟦{}⟧"  # where there are no colours
_SHOWN_ROWS = 3
_BINS, _WIDTH = 8, 40


def main(config: Config) -> int:
    """Raises:
    Failure: whatever a run would fail with before it loads weights, after everything that can be told was told.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tunebird_trainer.data import pipeline, reading, reporting
    from tunebird_trainer.stores import sources
    from tunebird_trainer.training import loading

    labelled = [source for source in reading.found(config) if _is_labelled(source)]
    for source in labelled:
        print(_labelled_told(source), flush=True)
    if labelled:
        reading.format_of(labelled[0], config)  # tells why no objective trains on them
    tokenizer = loading.load_tokenizer(sources.fetch_model(config.model), config)
    prepared = pipeline.prepare(_lenient(config), tokenizer)
    print("\n".join(reporting.summary(prepared)))
    print("\n".join(told(prepared, tokenizer, config, colours=sys.stdout.isatty())), flush=True)
    _judge(config, prepared)
    return ExitCode.DONE


def told(prepared: Prepared, tokenizer: Any, config: Config, *, colours: bool) -> Iterator[str]:
    """The report's lines."""
    rows = Counter[str]()
    for counts in prepared.counts:
        rows[counts.format] += counts.rows - counts.invalid
    if invalid := sum(counts.invalid for counts in prepared.counts):
        rows["invalid"] = invalid
    yield "\nrows by format: " + ", ".join(f"{count} {format_}" for format_, count in rows.items())
    lengths = lengths_of(prepared.train)
    yield f"\ntokens of {len(lengths)} sequences, at most {config.training.max_sequence_length}:"
    yield from histogram(lengths)
    legend = f"{_GREEN}learned{_OFF}, {_DIM}read{_OFF}" if colours else _LEARNED.format("learned") + ", read"
    last = len(prepared.train) - 1
    for place in sorted({0, last // 2, last})[:_SHOWN_ROWS]:
        yield f"\nsequence {place + 1} of {last + 1} ({legend}):"
        yield from _row(prepared.train[place], tokenizer, colours=colours)


def lengths_of(columns: Any) -> list[int]:
    """Tokens that the model sees at once, for each row, without loading the tokens."""
    import pyarrow.compute as pc

    sizes = {name: pc.list_value_length(columns.data.column(name)).to_pylist() for name in columns.column_names}
    if "input_ids" in sizes:
        return list(sizes["input_ids"])
    answers = zip(sizes["chosen_ids"], sizes["rejected_ids"], strict=True)
    return [prompt + max(pair) for prompt, pair in zip(sizes["prompt_ids"], answers, strict=True)]


def histogram(lengths: list[int]) -> Iterator[str]:
    width = max(1, -(-max(lengths) // _BINS))
    counts = Counter((length - 1) // width for length in lengths)
    most = max(counts.values())
    for place in range(max(counts) + 1):
        bar = "█" * -(-counts[place] * _WIDTH // most)
        yield f"  {place * width + 1:>6} to {(place + 1) * width:<6} {counts[place]:>7} {bar}".rstrip()
    ordered = sorted(lengths)
    median, p95 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.95))
    yield f"  median {median}, 95 % below {p95}, longest {ordered[-1]}"


def _row(row: dict[str, list[int]], tokenizer: Any, *, colours: bool) -> Iterator[str]:
    if "input_ids" in row:
        yield _coloured(row["input_ids"], row["labels"], tokenizer, colours=colours)
        return
    yield _coloured(row["prompt_ids"], [IGNORED] * len(row["prompt_ids"]), tokenizer, colours=colours)
    for answer in ("chosen", "rejected"):
        ids = row[f"{answer}_ids"]
        yield f"{answer}: " + _coloured(ids, ids, tokenizer, colours=colours)


def _coloured(ids: list[int], labels: list[int], tokenizer: Any, *, colours: bool) -> str:
    """The text with each stretch of the loss marked."""
    parts = []
    pairs = zip(ids, labels, strict=True)
    for learned, stretch in groupby(pairs, key=lambda pair: pair[1] != IGNORED):
        words = tokenizer.decode([token for token, _ in stretch]).replace("\033", "␛")
        marked = f"{_GREEN if learned else _DIM}{words}{_OFF}" if colours else words
        parts.append(_LEARNED.format(words) if learned and not colours else marked)
    return "".join(parts)


def _lenient(config: Config) -> Config:
    """So that everything can be told before anything fails."""
    asked = config.preparation
    on_too_long = OnTooLong.DROP if asked.on_too_long is OnTooLong.FAIL else asked.on_too_long
    preparation = replace(asked, on_invalid=OnInvalid.DROP, on_too_long=on_too_long, max_invalid=1.0, max_too_long=1.0)
    return replace(config, preparation=preparation)


def _judge(config: Config, prepared: Prepared) -> None:
    """What the config's own strictness says of the counts."""
    rows, invalid, long = (sum(getattr(each, what) for each in prepared.counts) for what in _COUNTED)
    asked = config.preparation
    if invalid and asked.on_invalid is OnInvalid.FAIL:
        remedy = "correct them or set preparation.onInvalid: Drop"
        raise Failure(Reason.INVALID_DATASET, f"{invalid} of {rows} rows are invalid; {remedy}")
    if long and asked.on_too_long is OnTooLong.FAIL:
        remedy = "raise training.maxSequenceLength or set preparation.onTooLong: Drop, Split or Truncate"
        raise Failure(Reason.INVALID_DATASET, f"{long} of {rows} rows are too long; {remedy}")
    bad_rows.check_ceilings(asked, rows, invalid, long)


_COUNTED = ("rows", "invalid", "too_long")


def _is_labelled(source: Source) -> bool:
    from tunebird_trainer.data.rows import read

    if source.dataset.format != "auto":
        return source.dataset.format == Format.UNPAIRED
    found = (formats.detected(row.value) for row in read(source.path, source.dataset.name))
    return next(filter(None, found), None) is Format.UNPAIRED


def _labelled_told(source: Source) -> str:
    """Labelled answers are read and checked, though nothing trains on them."""
    from tunebird_trainer.data.rows import read

    labels: Counter[Any] = Counter()
    for row in read(source.path, source.dataset.name):
        try:
            if row.error:
                raise InvalidRow(row.error)
            labels[getattr(formats.example(row.value, Format.UNPAIRED), "label", None)] += 1
        except InvalidRow as error:
            labels["invalid"] += 1
            print(f"data: {row.where} {error}", flush=True)
    told = f"{labels[True]} good, {labels[False]} bad, {labels['invalid']} invalid"
    return f"data: {source.dataset.name}: {labels.total()} rows read as unpaired, {told}"
