"""A data directory serves one control plane at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

FILE = "devplane.lock"


class TakenError(ValueError):
    """Another process serves this data directory; the message names it."""


class Lock:
    """Held from the first moment until `release`; the kernel takes it back when the process ends, however it ends."""

    def __init__(self, data_dir: Path) -> None:
        self._file = (data_dir / FILE).open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TakenError(self._refusal(data_dir)) from error
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def _refusal(self, data_dir: Path) -> str:
        with self._file as held:
            held.seek(0)
            holder = f"process {held.read().strip()}".strip()
        return f"data directory {data_dir} is served by {holder}: end that first, or give another --data-dir"

    def release(self) -> None:
        self._file.close()
