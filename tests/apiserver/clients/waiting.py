"""Waits for what a cluster does in its own time: discovery, documents and caches follow a write after a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def until(found: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """The first truthy answer; fails where none comes."""
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
    return answer
