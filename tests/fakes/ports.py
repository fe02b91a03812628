"""Ports for programs that must be told theirs before they start."""

from __future__ import annotations

import random
import socket

# Below the ports that a system gives to outgoing connections and to whoever asks for port 0: between this look and the
# program's own bind nobody is given one of these by chance.
RANGE = range(10_000, 30_000)
_CHANCE = random.SystemRandom()


def free_port() -> int:
    """A port that nobody listens on, on any address."""
    for _ in range(100):
        port = _CHANCE.choice(RANGE)
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"a hundred ports of {RANGE} were taken")
