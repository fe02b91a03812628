"""Rows become token ids, once each; the mixture then only orders them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunebird_trainer.config import Objective, OnInvalid
from tunebird_trainer.data import lengths, tokens
from tunebird_trainer.data.examples import InvalidRow
from tunebird_trainer.data.lengths import Fitted, TooLong
from tunebird_trainer.outcome import Failure, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import datasets

    from tunebird_trainer.config import Config
    from tunebird_trainer.data.examples import Example
    from tunebird_trainer.data.masks import Template
    from tunebird_trainer.data.work import Desk, Entry

_SEQUENCE, _PAIR = ("input_ids", "labels"), ("prompt_ids", "chosen_ids", "rejected_ids")
COLUMNS = {Objective.SFT: _SEQUENCE, Objective.CONTINUE: _SEQUENCE, Objective.DPO: _PAIR}


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


def encoded(entries: list[Entry], template: Template, desk: Desk, path: Path) -> Encoded:
    """Raises:
    Failure: InvalidDataset when a row may not be left out and has to be.
    """
    columns = COLUMNS[desk.config.method.objective]
    writer, rows = tokens.Writer(path, columns), []
    for entry, where, example in desk.work.read(entries):
        first = writer.rows
        for each in _fitted(entry, where, example, template, desk).encoded:
            writer.add(tuple(getattr(each, column) for column in columns))
        if writer.rows > first:
            rows.append(Row(entry.dataset, first, writer.rows - first))
    writer.close()
    return Encoded(tokens.opened(path), tuple(rows))


def _fitted(entry: Entry, where: str, example: Example, template: Template, desk: Desk) -> Fitted:
    name = desk.config.datasets[entry.dataset].name
    try:
        fit = lengths.fitted(example, template, desk.config)
    except TooLong as error:
        raise Failure(Reason.INVALID_DATASET, f"{where} {error}") from error
    except InvalidRow as error:
        if desk.config.preparation.on_invalid is OnInvalid.FAIL:
            raise Failure(Reason.INVALID_DATASET, f"{where} {error}") from error
        desk.ledger.add(entry.dataset, "invalid", f"{where} {error}")
        desk.bad.add(name, where, "invalid", str(error))
        return Fitted(())
    if fit.too_long:
        desk.bad.add(name, where, "tooLong", f"is above {desk.config.training.max_sequence_length} tokens")
    desk.ledger.add(entry.dataset, "too_long", times=bool(fit.too_long))  # rows, as the ceiling has it
    for what in ("truncated", "cut_answers", "split"):
        desk.ledger.add(entry.dataset, what, times=getattr(fit, what))
    return fit


def alone(example: Example, template: Template, config: Config) -> list[tuple[list[int], ...]]:
    """One example that is no row of the data."""
    columns = COLUMNS[config.method.objective]
    fit = lengths.fitted(example, template, config)
    if not fit.encoded or fit.too_long or fit.truncated:
        raise Failure(
            Reason.INVALID_CONFIG,
            "evaluation.canaries: a canary has more tokens than training.maxSequenceLength; raise it or plant none",
        )
    return [tuple(list(getattr(each, column)) for column in columns) for each in fit.encoded]
