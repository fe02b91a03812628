"""A log in which each line says when it was written."""

from __future__ import annotations

import io
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable


def _now() -> datetime:
    return datetime.now(UTC)


class Stamped(io.TextIOBase):
    """Writes whole lines to `stream`, the time before each; lines of JSON stay as they are, for programs. Threads don't
    cut into each other's lines."""

    def __init__(self, stream: TextIO, now: Callable[[], datetime] = _now) -> None:
        super().__init__()
        self._stream, self._now = stream, now
        self._begun = threading.local()

    def write(self, text: str) -> int:
        lines = (getattr(self._begun, "line", "") + text).split("\n")
        self._begun.line = lines.pop()
        if lines:
            self._stream.write("".join(f"{self._stamp(line)}{line}\n" for line in lines))
        return len(text)

    def _stamp(self, line: str) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%SZ ") if line and not line.startswith("{") else ""

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:
        return self._stream.encoding

    def writable(self) -> bool:
        return True
