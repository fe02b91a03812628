"""The first stages: where each dataset lies, which format its rows have, and the rows themselves, read and checked one
by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunebird_trainer.config import OnInvalid
from tunebird_trainer.data.work import Conversation
from tunebird_trainer.formats import Format, InvalidRow, conversation, detected
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.rows import files_of, read
from tunebird_trainer.sources import fetch_dataset
from tunebird_trainer.storage import digest_of, file_digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tunebird_trainer.config import Config, Dataset
    from tunebird_trainer.data.work import Ledger

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


def format_of(source: Source) -> Format:
    """As configured, or as the first rows look.

    Raises:
        Failure: InvalidDataset when no row looks like a known format.
    """
    dataset = source.dataset
    if dataset.format != "auto":
        return Format(dataset.format)
    first = None
    for number, row in enumerate(read(source.path, dataset.name)):
        first = first or row
        if chosen := detected(row.value):
            print(f"data: {dataset.name}: found format {chosen} in {row.where}", flush=True)
            return chosen
        if number == _LOOKED_AT:
            break
    if first is None:
        raise Failure(Reason.INVALID_DATASET, f"dataset {dataset.name}: {dataset.uri} has no rows")
    keys = ", ".join(sorted(first.value)) if isinstance(first.value, dict) else type(first.value).__name__
    known = "messages | prompt and completion | instruction and output | conversations"
    raise Failure(
        Reason.INVALID_DATASET,
        f"dataset {dataset.name}: {first.where} has {keys}, none of {known}; convert the rows",
    )


def checked(source: Source, chosen: Format, config: Config, ledger: Ledger) -> Iterator[tuple[str, Conversation]]:
    """Every row that fits its format, with its place.

    Raises:
        Failure: InvalidDataset after the last row when some don't fit and none may.
    """
    for row in read(source.path, source.dataset.name):
        ledger.add(source.number, "rows")
        try:
            if row.error:
                raise InvalidRow(row.error)
            yield row.where, Conversation(conversation(row.value, chosen))
        except InvalidRow as error:
            ledger.add(source.number, "invalid", f"{row.where} {error}")
    _judged(source, config, ledger)


def _judged(source: Source, config: Config, ledger: Ledger) -> None:
    invalid, rows = ledger.of("invalid", source.number), ledger.of("rows", source.number)
    if not invalid:
        return
    told = (
        f"dataset {source.dataset.name}: {invalid} of {rows} rows are invalid: {ledger.told('invalid', source.number)}"
    )
    if config.preparation.on_invalid is OnInvalid.FAIL:
        remedy = "correct them or set preparation.onInvalid: Drop"
        raise Failure(Reason.INVALID_DATASET, f"{told}; {remedy}")
    for case in ledger.cases[source.number, "invalid"]:
        print(f"data: dropped {case}", flush=True)


def _found(number: int, dataset: Dataset) -> Source:
    path = fetch_dataset(dataset)
    digest = digest_of({file.name: file_digest(file) for file in files_of(path)})
    if dataset.digest and dataset.digest != digest:
        raise Failure(
            Reason.INVALID_DATASET,
            f"dataset {dataset.name}: {dataset.uri} has digest {digest}, not {dataset.digest}; "
            "it changed since it was pinned: restore it, or pin the new digest",
        )
    return Source(number, dataset, path, digest)
