"""The first stages: where each dataset lies, which format its rows have, and the rows themselves, read and checked one
by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunebird_trainer.config import OnInvalid, SplitBy
from tunebird_trainer.data import formats
from tunebird_trainer.data.examples import InvalidRow
from tunebird_trainer.data.formats import Format
from tunebird_trainer.data.rows import files_of, read
from tunebird_trainer.data.suitable import mismatch
from tunebird_trainer.data.work import BEAT_ROWS
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.stores.sources import fetch_dataset
from tunebird_trainer.stores.storage import digest_of, file_digest
from tunebird_trainer.survival.heartbeat import pulse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tunebird_trainer.config import Config, Dataset
    from tunebird_trainer.data.examples import Example
    from tunebird_trainer.data.rows import Row
    from tunebird_trainer.data.work import Desk

_LOOKED_AT = 100  # rows, to find the format


@dataclass(frozen=True, slots=True)
class Source:
    """One dataset's files."""

    number: int
    dataset: Dataset
    path: Path
    digest: str


def found(config: Config) -> list[Source]:
    """Raises:
    Failure: DatasetNotFound; InvalidDataset when the files are not those that the digest pins.
    """
    return [_found(number, dataset) for number, dataset in enumerate(config.datasets)]


def format_of(source: Source, config: Config) -> Format:
    """As configured, or as the first rows look.

    Raises:
        Failure: InvalidDataset when no row looks like a known format, or the objective doesn't train on such rows.
    """
    dataset = source.dataset
    chosen = _detected(source) if dataset.format == "auto" else Format(dataset.format)
    if problem := mismatch(config.method.objective, chosen):
        raise Failure(Reason.INVALID_DATASET, f"dataset {dataset.name}: {problem}")
    return chosen


def checked(source: Source, chosen: Format, desk: Desk) -> Iterator[tuple[str, Example]]:
    """Every row that fits its format, with its place.

    Raises:
        Failure: InvalidDataset after the last row when some don't fit and none may.
    """
    for number, row in enumerate(read(source.path, source.dataset.name)):
        if not number % BEAT_ROWS:
            pulse.beat()
        desk.ledger.add(source.number, "rows")
        try:
            yield row.where, _example(row, chosen, desk.config)
        except InvalidRow as error:
            desk.ledger.add(source.number, "invalid", f"{row.where} {error}")
            desk.bad.add(source.dataset.name, row.where, "invalid", str(error))
    invalid, rows = desk.ledger.of("invalid", source.number), desk.ledger.of("rows", source.number)
    if invalid and desk.config.preparation.on_invalid is OnInvalid.FAIL:
        told = f"{invalid} of {rows} rows are invalid: {desk.ledger.told('invalid', source.number)}"
        remedy = "correct them or set preparation.onInvalid: Drop"
        raise Failure(Reason.INVALID_DATASET, f"dataset {source.dataset.name}: {told}; {remedy}")


def _example(row: Row, chosen: Format, config: Config) -> Example:
    if row.error:
        raise InvalidRow(row.error)
    try:
        example = formats.example(row.value, chosen)
    except InvalidRow as error:
        raise InvalidRow(f"{error}{_stranger(row.value, chosen)}") from error
    if config.validation.percent and config.validation.split_by is SplitBy.USER and not example.user:
        raise InvalidRow("has no user, which validation.splitBy: user needs; add the key user")
    return example


def _stranger(value: Any, chosen: Format) -> str:
    """What a row of another format than the dataset's needs to be told."""
    other = formats.detected(value)
    if other in (None, chosen):
        return ""
    return f"; it looks like {other}, and this dataset is read as {chosen}: give rows of each format their own dataset"


def _detected(source: Source) -> Format:
    dataset, first = source.dataset, None
    for number, row in enumerate(read(source.path, dataset.name)):
        first = first or row
        if chosen := formats.detected(row.value):
            print(f"data: {dataset.name}: found format {chosen} in {row.where}", flush=True)
            return chosen
        if number == _LOOKED_AT:
            break
    if first is None:
        raise Failure(Reason.INVALID_DATASET, f"dataset {dataset.name}: {dataset.uri} has no rows")
    if first.error:
        raise Failure(Reason.INVALID_DATASET, f"dataset {dataset.name}: {first.where} {first.error}")
    keys = ", ".join(sorted(map(str, first.value))) if isinstance(first.value, dict) else type(first.value).__name__
    known = (
        "messages | prompt and completion | instruction and output | conversations | chosen and rejected | "
        "prompt, completion and label | text"
    )
    raise Failure(
        Reason.INVALID_DATASET,
        f"dataset {dataset.name}: {first.where} has {keys}, none of {known}; convert the rows",
    )


def _found(number: int, dataset: Dataset) -> Source:
    path = fetch_dataset(dataset)
    digest = digest_of({_below(path, file): file_digest(file) for file in files_of(path)})
    if dataset.digest and dataset.digest != digest:
        raise Failure(
            Reason.INVALID_DATASET,
            f"dataset {dataset.name}: {dataset.uri} has digest {digest}, not {dataset.digest}; "
            "it changed since it was pinned: restore it, or pin the new digest",
        )
    return Source(number, dataset, path, digest)


def _below(path: Path, file: Path) -> str:
    return file.name if file == path else file.relative_to(path).as_posix()
