"""Which rows are held out: a seeded draw of whole groups, whatever the order of the files. A group is a row, a
conversation or a user."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tunebird_trainer.config import SplitBy
from tunebird_trainer.data.work import Entry, draw
from tunebird_trainer.outcome import Failure, Reason

if TYPE_CHECKING:
    from tunebird_trainer.config import Validation


def split(entries: list[Entry], validation: Validation, seed: int) -> tuple[list[Entry], list[Entry]]:
    """Held out, and kept for training.

    Raises:
        Failure: InvalidDataset when the groups are so large that none can be held out.
    """
    if not validation.percent or len(entries) < 2:
        return [], entries
    wanted = max(1, round(len(entries) * validation.percent / 100))
    groups = _drawn(Counter(entry.group for entry in entries), wanted, seed)
    if not groups:
        raise Failure(Reason.INVALID_DATASET, _too_large(entries, validation, wanted))
    return [e for e in entries if e.group in groups], [e for e in entries if e.group not in groups]


def _drawn(sizes: Counter[bytes], wanted: int, seed: int) -> set[bytes]:
    """Groups in the order of their draws until there are enough rows; one that would make it too many is passed over.
    If all are too large, the smallest, as long as more than as much stays."""
    drawn: set[bytes] = set()
    count = 0
    order = sorted(sizes, key=lambda group: draw(group, f"validation {seed}"))
    for group in order:
        if count + sizes[group] <= wanted:
            drawn.add(group)
            count += sizes[group]
    smallest = min(order, key=lambda group: sizes[group])
    if not drawn and 2 * sizes[smallest] < sizes.total():
        drawn.add(smallest)
    return drawn


def _too_large(entries: list[Entry], validation: Validation, wanted: int) -> str:
    largest = Counter(entry.group for entry in entries).most_common(1)[0][1]
    remedy = "hold out by row (validation.splitBy: row) or set validation.percent to 0"
    what = {SplitBy.ROW: "row", SplitBy.CONVERSATION: "opening", SplitBy.USER: "user"}[validation.split_by]
    return (
        f"validation.percent: {wanted} of {len(entries)} rows should be held out, and one {what} has {largest}: no "
        f"whole {what} can be held out; {remedy}"
    )
