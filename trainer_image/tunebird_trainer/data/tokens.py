"""Token ids on disk: encoded row by row, put in order, hashed as the model will see them."""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from datasets import Dataset

from tunebird_trainer.data import masks
from tunebird_trainer.survival.heartbeat import pulse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


_BATCH = 512  # rows
_LEARNED = ("labels", "chosen_ids", "rejected_ids")


class Writer:
    """Rows of token ids into an Arrow stream, a batch at a time."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.columns = columns
        self.rows = 0
        schema = pa.schema([(column, pa.list_(pa.int32())) for column in columns])
        self._stream = pa.ipc.new_stream(str(path), schema)
        self._schema = schema
        self._batch: list[tuple[Any, ...]] = []

    def add(self, row: tuple[Any, ...]) -> None:
        self._batch.append(row)
        self.rows += 1
        if len(self._batch) == _BATCH:
            self._write()

    def close(self) -> None:
        self._write()
        self._stream.close()

    def _write(self) -> None:
        if self._batch:
            pulse.beat()
            arrays = [pa.array(column, type=pa.list_(pa.int32())) for column in zip(*self._batch, strict=True)]
            self._stream.write_batch(pa.record_batch(arrays, schema=self._schema))
            self._batch = []


def opened(path: Path) -> Dataset:
    """The columns, memory-mapped."""
    return Dataset.from_file(str(path))


def rows(dataset: Dataset, order: Iterable[int]) -> Iterator[tuple[list[int], ...]]:
    """The rows in this order, read a batch at a time."""
    batch: list[int] = []
    for index in order:
        batch.append(index)
        if len(batch) == _BATCH:
            yield from zip(*dataset[batch].values(), strict=True)
            batch = []
    if batch:
        yield from zip(*dataset[batch].values(), strict=True)


@dataclass(slots=True)
class Tally:
    """Counts and hashes what is written, in order."""

    columns: tuple[str, ...]
    state: Any = field(default_factory=hashlib.sha256)
    sequences: int = 0
    tokens: int = 0
    learned: int = 0
    lengths: array[int] = field(default_factory=lambda: array("Q"))  # tokens of each sequence

    def add(self, row: tuple[list[int], ...]) -> None:
        self.sequences += 1
        before = self.tokens
        for column, ids in zip(self.columns, row, strict=True):
            held = np.asarray(ids, dtype=np.int32)
            self.state.update(len(held).to_bytes(4, "little") + held.tobytes())
            self.tokens += len(ids) if column != "labels" else 0
            self.learned += int((held != masks.IGNORED).sum()) if column in _LEARNED else 0
        self.lengths.append(self.tokens - before)


def blocks(documents: Iterable[tuple[list[int], ...]], size: int) -> Iterator[tuple[list[int], ...]]:
    """Documents joined, each with its end token, and cut every `size` tokens. The last block holds what remains."""
    held: tuple[list[int], ...] = ([], [])
    for document in documents:
        held = tuple(column + ids for column, ids in zip(held, document, strict=True))
        whole = len(held[0]) - len(held[0]) % size
        for start in range(0, whole, size):
            yield tuple(column[start : start + size] for column in held)
        held = tuple(column[whole:] for column in held)
    if held[0]:
        yield held
