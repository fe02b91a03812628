"""What goes in and out of the shim: orders and open files, and the lines of a log."""

from __future__ import annotations

import _socket  # the half of `socket` that costs nothing to import
import os
import time

LINE_LIMIT = 16 * 1024


class Log:
    """Lines of one stream with their times; a line without its end is marked P when it is cut or the stream ends."""

    def __init__(self, file: int, stream: str) -> None:
        self._file = file
        self.stream = stream
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._write(line, "F")
        while len(self._rest) >= LINE_LIMIT:
            self._write(self._rest[:LINE_LIMIT], "P")
            self._rest = self._rest[LINE_LIMIT:]

    def end(self) -> None:
        if self._rest:
            self._write(self._rest, "P")
            self._rest = b""

    def _write(self, line: bytes, tag: str) -> None:
        whole, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
        os.write(self._file, f"{when}.{nanoseconds:09d}Z {self.stream} {tag} ".encode() + line + b"\n")


class Orders:
    """Lines from the kubelet, and the open files that came with them, in order."""

    def __init__(self) -> None:
        self._socket = _socket.socket(fileno=os.dup(0))
        self._rest = b""
        self._files: list[int] = []

    def receive(self) -> list[bytes] | None:
        """The lines that are complete; None at the end."""
        data, ancillary, _, _ = self._socket.recvmsg(65536, 256)
        for _, _, packed in ancillary:
            self._files += memoryview(packed[: len(packed) // 4 * 4]).cast("i").tolist()
        for file in self._files:
            os.set_inheritable(file, False)
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines

    def first(self) -> bytes:
        while (lines := self.receive()) is not None:
            if found := [line for line in lines if line]:
                return found[0]
        return b""

    def take(self, count: int) -> list[int]:
        taken, self._files = self._files[:count], self._files[count:]
        return taken
