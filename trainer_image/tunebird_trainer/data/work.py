"""What preparation keeps while it works: the examples in a file, a small entry for each in memory, and a count of what
happened to every row."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tunebird_trainer.data import examples
from tunebird_trainer.survival.heartbeat import pulse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tunebird_trainer.config import Config
    from tunebird_trainer.data.bad_rows import BadRows
    from tunebird_trainer.data.examples import Example

BEAT_ROWS = 512  # between signs of life
_SHOWN = 5  # cases named in a message; all are counted
_KIND = "\N{SYMBOL FOR SUBSTITUTE}kind"  # no row has such a key


@dataclass(frozen=True, slots=True)
class Entry:
    """One row that is still in: about 250 bytes."""

    place: int  # in the work file
    dataset: int
    key: bytes  # of the content: the same content has the same key wherever it lies
    group: bytes  # what is never on both sides of the split


@dataclass(frozen=True, slots=True)
class Desk:
    """What every stage has at hand."""

    config: Config
    work: Work
    ledger: Ledger
    bad: BadRows


class Work:
    """Examples on disk in the order in which they were read."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b")
        self._end = 0

    def add(self, where: str, example: Example) -> int:
        line = json.dumps([where, plain(example)], separators=(",", ":")).encode() + b"\n"
        place, self._end = self._end, self._end + len(line)
        self._file.seek(place)
        self._file.write(line)
        return place

    def read(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, str, Example]]:
        for number, entry in enumerate(entries):
            if not number % BEAT_ROWS:
                pulse.beat()
            where, example = self.at(entry.place)
            yield entry, where, example

    def at(self, place: int) -> tuple[str, Example]:
        self._file.seek(place)
        where, written = json.loads(self._file.readline())
        return where, built(written)

    def close(self) -> None:
        self._file.close()


@dataclass(slots=True)
class Ledger:
    """Counts by dataset and by what happened, and a few cases of each to show."""

    counts: Counter[tuple[int, str]] = field(default_factory=Counter)
    cases: dict[tuple[int, str], list[str]] = field(default_factory=dict)

    def add(self, dataset: int, what: str, case: str = "", times: int = 1) -> None:
        self.counts[dataset, what] += times
        if case and len(cases := self.cases.setdefault((dataset, what), [])) < _SHOWN:
            cases.append(case)

    def of(self, what: str, dataset: int) -> int:
        return self.counts[dataset, what]

    def starting(self, prefix: str, dataset: int) -> dict[str, int]:
        """The counts of one dataset whose names begin so, by what follows."""
        found = {what: number for (each, what), number in self.counts.items() if each == dataset and number}
        return {what.removeprefix(prefix): found[what] for what in sorted(found) if what.startswith(prefix)}

    def told(self, what: str, dataset: int) -> str:
        cases, number = self.cases.get((dataset, what), []), self.of(what, dataset)
        return "; ".join(cases) + (f"; and {number - len(cases)} more" if number > len(cases) else "")


def plain(value: Any) -> Any:
    """As JSON can hold it; `built` makes the same value of it again."""
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    held = {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    return {_KIND: type(value).__name__, **held}


def built(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(built(each) for each in value)
    if not isinstance(value, dict) or _KIND not in value:
        return value
    kind = getattr(examples, value[_KIND])
    return kind(**{name: built(each) for name, each in value.items() if name != _KIND})


def key_of(*parts: Any) -> bytes:
    canonical = json.dumps(parts, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=16).digest()


def draw(key: bytes, purpose: str) -> bytes:
    """A number for this key, the same whatever the order of the rows; compares like a uniform draw."""
    return hashlib.blake2b(key, digest_size=16, key=hashlib.blake2b(purpose.encode()).digest()).digest()
