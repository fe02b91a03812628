"""What a container leaves behind as the message of its end: its termination log, or the last lines of its log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

MESSAGE_LIMIT = 4096
LOG_FALLBACK_BYTES = 2048
LOG_FALLBACK_LINES = 80


def termination_log(directory: Path, container: str) -> Path:
    return directory / "containers" / container / "termination-log"


def last_words(spec: dict[str, Any], directory: Path, code: int, log: Path) -> str:
    """The message of a container of the pod at `directory` that ended with `code`."""
    file = termination_log(directory, spec["name"])
    text = file.read_bytes()[-MESSAGE_LIMIT:].decode(errors="replace") if file.is_file() else ""
    if not text and code and spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        return _last_lines(log)
    return text


def _last_lines(log: Path) -> str:
    if not log.exists():
        return ""
    entries = log.read_bytes().splitlines()[-LOG_FALLBACK_LINES:]
    text = b"".join(line.split(b" ", 3)[3] + b"\n" for line in entries if line.count(b" ") >= 3)
    return text[-LOG_FALLBACK_BYTES:].decode(errors="replace")
