"""The report of every row that was not trained on because something is wrong with it: one JSON line each, with file and
line, beside the checkpoints. And how many of them are too many."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, TextIO

from tunebird_trainer.outcome import Failure, Reason

if TYPE_CHECKING:
    from pathlib import Path

    from tunebird_trainer.config import Preparation

NAME = "bad-rows.jsonl"
SHOWN = 5  # printed; the file has all
_SAID = {"invalid": "invalid", "tooLong": "too long"}


class BadRows:
    """Written as they are found. `what` is invalid or tooLong. The file is there only if a row is."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.counts: Counter[tuple[str, str]] = Counter()  # by dataset and what
        self._file: TextIO | None = None
        if path:
            path.unlink(missing_ok=True)

    def add(self, dataset: str, where: str, what: str, error: str) -> None:
        """`where` is dataset/file:line."""
        self.counts[dataset, what] += 1
        if self.counts[dataset, what] <= SHOWN:
            print(f"data: {where} {error}", flush=True)
        elif self.counts[dataset, what] == SHOWN + 1:
            print(f"data: {dataset}: further rows that are {_SAID[what]} are listed and not shown", flush=True)
        if self.path is None:
            return
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("w", encoding="utf-8")
        file, _, line = where.rpartition(":")
        found = {"dataset": dataset, "file": file, "line": int(line.removeprefix("row ")), "what": what, "error": error}
        self._file.write(json.dumps(found, ensure_ascii=False) + "\n")

    def close(self) -> None:
        if self._file:
            self._file.close()
            print(f"data: {self.counts.total()} bad rows are listed in {self.path}", flush=True)


def check_ceilings(preparation: Preparation, rows: int, invalid: int, too_long: int) -> None:
    """Raises:
    Failure: InvalidDataset when the share of dropped rows is above what the config allows.
    """
    for field, said, count, ceiling, remedy in (
        ("maxInvalid", "invalid", invalid, preparation.max_invalid, "correct the rows"),
        ("maxTooLong", "too long", too_long, preparation.max_too_long, "raise training.maxSequenceLength"),
    ):
        if rows and count / rows > ceiling:
            raise Failure(
                Reason.INVALID_DATASET,
                f"{count} of {rows} rows ({count / rows:.1%}) are {said}, "
                f"above preparation.{field} {ceiling:.1%}; {remedy}, or raise the ceiling",
            )
