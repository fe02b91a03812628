"""Rows become token ids, once each; the mixture then only orders them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunebird_trainer import masks
from tunebird_trainer.config import OnInvalid, OnTooLong
from tunebird_trainer.data import tokens
from tunebird_trainer.formats import InvalidRow
from tunebird_trainer.outcome import Failure, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import datasets

    from tunebird_trainer.config import Config
    from tunebird_trainer.data.work import Conversation, Entry, Ledger, Work

COLUMNS = ("input_ids", "labels")


@dataclass(frozen=True, slots=True)
class Row:
    """The sequences of one row in the token file."""

    dataset: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Encoded:
    ids: datasets.Dataset
    rows: tuple[Row, ...]

    def ordered(self, rows: Iterable[Row]) -> Iterator[tuple[list[int], ...]]:
        places = (place for row in rows for place in range(row.first, row.first + row.count))
        return tokens.rows(self.ids, places)


def encoded(
    entries: list[Entry], work: Work, template: masks.Template, config: Config, ledger: Ledger, path: Path
) -> Encoded:
    """Raises:
    Failure: InvalidDataset when a row may not be left out and has to be.
    """
    writer, rows = tokens.Writer(path, COLUMNS), []
    for entry, where, example in work.read(entries):
        first = writer.rows
        for sequence in _sequences(entry, where, example, template, config, ledger):
            writer.add((sequence.input_ids, sequence.labels))
        if writer.rows > first:
            rows.append(Row(entry.dataset, first, writer.rows - first))
    writer.close()
    return Encoded(tokens.opened(path), tuple(rows))


def _sequences(
    entry: Entry, where: str, example: Conversation, template: masks.Template, config: Config, ledger: Ledger
) -> list[masks.Sequence]:
    try:
        whole = masks.sequences(example.messages, template, config.training.loss_on)
    except InvalidRow as error:
        if config.preparation.on_invalid is OnInvalid.FAIL:
            raise Failure(Reason.INVALID_DATASET, f"{where} {error}") from error
        ledger.add(entry.dataset, "invalid", f"{where} {error}")
        print(f"data: dropped {where} {error}", flush=True)
        return []
    fitting = [fit for sequence in whole if (fit := _fitted(sequence, where, config))]
    ledger.add(entry.dataset, "too long", times=len(whole) - len(fitting))
    return fitting


def _fitted(sequence: masks.Sequence, where: str, config: Config) -> masks.Sequence | None:
    limit = config.training.max_sequence_length
    if len(sequence.input_ids) <= limit:
        return sequence
    match config.preparation.on_too_long:
        case OnTooLong.TRUNCATE:
            cut = masks.truncated(sequence, limit)
            return cut if cut.learns else None
        case OnTooLong.DROP:
            return None
        case _:
            raise Failure(
                Reason.INVALID_DATASET,
                f"{where} has {len(sequence.input_ids)} tokens, above maxSequenceLength {limit}; "
                "raise it, shorten the row, or set preparation.onTooLong: Drop or Truncate",
            )
