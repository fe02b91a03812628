"""A program on a terminal, for tests of what people type at."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence


class Terminal:
    """`type` a line, `until` something is shown, `resize`, and `end` for the exit code."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], rows: int = 33, columns: int = 101) -> None:
        self._pid, self._file = pty.fork()
        if self._pid == 0:
            os.execvpe(argv[0], list(argv), dict(env))
        self._size(rows, columns)

    def type(self, line: str) -> None:
        os.write(self._file, f"{line}\n".encode())

    def resize(self, rows: int, columns: int) -> None:
        self._size(rows, columns)
        os.kill(self._pid, signal.SIGWINCH)

    def until(self, wanted: str, seconds: float = 60) -> str:
        """What is shown, up to and with `wanted`."""
        shown, deadline = "", time.monotonic() + seconds
        while wanted not in shown:
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {wanted!r} in {shown!r}"
            if select.select([self._file], [], [], 0.1)[0]:
                shown += self._read()
        return shown

    def end(self) -> int:
        """The exit code, once all is shown."""
        while self._read():
            pass
        os.close(self._file)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _read(self) -> str:
        try:
            return os.read(self._file, 4096).decode()
        except OSError:  # the other side is closed
            return ""

    def _size(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._file, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
