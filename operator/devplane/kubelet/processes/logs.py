"""Container logs as the shim writes them: ``TIME STREAM F|P text``, one file for each start of a container."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

FOLLOW_PERIOD = 0.1
CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of a log is wanted, and whether with times."""

    tail_lines: int | None = None
    since: datetime | None = None
    timestamps: bool = False

    def shown(self, line: bytes) -> bytes:
        """A stored line as the client reads it, or nothing."""
        when, _, rest = line.partition(b" ")
        _, _, rest = rest.partition(b" ")
        tag, _, text = rest.partition(b" ")
        if self.since is not None and _moment(when) < self.since:
            return b""
        stamp = when + b" " if self.timestamps else b""
        return stamp + text + (b"\n" if tag == b"F" else b"")


def _moment(stamp: bytes) -> datetime:
    return datetime.fromisoformat(f"{stamp[:26].decode()}+00:00")


def log_file(pod_dir: Path, container: str, attempt: int) -> Path:
    return pod_dir / "logs" / container / f"{attempt}.log"


async def read(path: Path, selection: Selection, is_open: Callable[[], bool] | None) -> AsyncIterator[bytes]:
    """The chosen lines; with `is_open` also those that come until it answers no."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        lines = file.read().split(b"\n")
        rest = lines.pop()
        if selection.tail_lines is not None:
            lines = list(deque(lines, maxlen=selection.tail_lines))
        if first := b"".join(selection.shown(line) for line in lines):
            yield first
        while is_open is not None:
            still_open = is_open()
            data = file.read(CHUNK)
            *fresh, rest = (rest + data).split(b"\n")
            if shown := b"".join(selection.shown(line) for line in fresh):
                yield shown
            if not data:
                if not still_open:
                    return
                await asyncio.sleep(FOLLOW_PERIOD)
