"""Reads files into rows that know where they stand: JSON lines, JSON, CSV, Parquet, and texts. Judges nothing but the
syntax."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tunebird_trainer.outcome import Failure, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_HELD_OUT = ("test", "valid", "dev", "eval")
_TEXTS = (".txt", ".md")  # each a document of its own


@dataclass(frozen=True, slots=True)
class Row:
    where: str  # dataset/file:line, or dataset/file:row N where a row has no line
    value: Any
    error: str = ""  # why the line could not be read; value is None then

    @property
    def file(self) -> str:
        return self.where.rpartition(":")[0]

    @property
    def line(self) -> int:
        return int(self.where.rpartition(":")[2].removeprefix("row "))


def read(path: Path, dataset: str) -> Iterator[Row]:
    """Rows of a file, or of every data file of a directory in the order of their names.

    Raises:
        Failure: InvalidDataset when a file can't be read at all.
    """
    for file in files_of(path):
        reader = _READERS[file.suffix]
        try:
            yield from reader(file, f"{dataset}/{_name(file, path)}")
        except UnicodeDecodeError as error:
            raise Failure(
                Reason.INVALID_DATASET, f"dataset {dataset}: {file} is not UTF-8 at byte {error.start}; convert it"
            ) from error
        except OSError as error:
            raise Failure(
                Reason.INVALID_DATASET,
                f"dataset {dataset}: {file} can't be read: {error.strerror or error}; check its owner and mode",
            ) from error


def files_of(path: Path) -> list[Path]:
    if path.is_file():
        if path.suffix not in _READERS:
            raise Failure(Reason.INVALID_DATASET, f"{path} is not one of {', '.join(_READERS)}; convert or rename it")
        return [path]
    found = sorted(each for each in path.rglob("*") if each.suffix in _READERS and each.is_file())
    # Beside rows, a text is about them: a README, a licence.
    found = [each for each in found if each.suffix not in _TEXTS] or found
    if not found:
        raise Failure(Reason.DATASET_NOT_FOUND, f"{path} holds no {', '.join(_READERS)} file; name the file or fill it")
    suspicious = [each.name for each in found if any(word in each.stem.lower() for word in _HELD_OUT)]
    if suspicious and len(found) > 1:
        raise Failure(
            Reason.INVALID_DATASET,
            f"{path} also holds {suspicious[0]}, which looks like a test split; name one file in the URI instead",
        )
    return found


def _name(file: Path, path: Path) -> str:
    return file.name if file == path else file.relative_to(path).as_posix()


def _json_lines(file: Path, where: str) -> Iterator[Row]:
    with file.open(encoding="utf-8-sig", errors="surrogateescape") as stream:  # one bad byte costs its row alone
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield _json_line(line, f"{where}:{number}")


def _json_line(line: str, where: str) -> Row:
    try:
        line.encode()
        return Row(where, json.loads(line.rstrip()))
    except UnicodeEncodeError as error:
        byte = len(line[: error.start].encode()) + 1
        return Row(where, None, f"is not UTF-8 at byte {byte} of the line; convert the file")
    except json.JSONDecodeError as error:  # its own line is always 1
        return Row(where, None, f"is not JSON: {error.msg.removesuffix(' at')} at column {error.colno}")
    except ValueError as error:
        return Row(where, None, f"is not JSON: {error}")


def _json_file(file: Path, where: str) -> Iterator[Row]:
    try:
        whole = json.loads(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        if isinstance(error, UnicodeDecodeError):
            raise
        raise Failure(
            Reason.INVALID_DATASET,
            f"{where} is not one JSON document: {error}; name it .jsonl if it holds one row a line",
        ) from error
    items = whole.get("data") if isinstance(whole, dict) else whole
    if not isinstance(items, list):
        raise Failure(
            Reason.INVALID_DATASET, f"{where} is not a JSON list of rows, nor an object with a list named data"
        )
    for number, item in enumerate(items, 1):
        yield Row(f"{where}:row {number}", item)


def _csv_file(file: Path, where: str) -> Iterator[Row]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        csv.field_size_limit(sys.maxsize)  # a field may hold a whole conversation
        for record in reader:
            row = Row(f"{where}:{reader.line_num}", {key: value for key, value in record.items() if key is not None})
            yield replace(row, value=None, error=_CROOKED) if None in record or None in record.values() else row


def _parquet_file(file: Path, where: str) -> Iterator[Row]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(file)
    except pa.ArrowInvalid as error:
        raise Failure(Reason.INVALID_DATASET, f"{where} is not Parquet: {error}") from error
    number = 0
    for batch in table.iter_batches():
        for record in batch.to_pylist():
            number += 1
            yield Row(f"{where}:row {number}", record)


def _text_file(file: Path, where: str) -> Iterator[Row]:
    yield Row(f"{where}:1", {"text": file.read_text(encoding="utf-8-sig")})


_CROOKED = "has another number of fields than the header; quote the field that holds a comma or a line break"
_READERS: dict[str, Callable[[Path, str], Iterator[Row]]] = {
    ".jsonl": _json_lines,
    ".json": _json_file,
    ".csv": _csv_file,
    ".parquet": _parquet_file,
    **dict.fromkeys(_TEXTS, _text_file),
}
