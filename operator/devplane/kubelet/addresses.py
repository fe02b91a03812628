"""Each pod's own loopback address, from 127.64.0.0/10. A data directory has its own /20, so that two servers on one
machine do not meet."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path

_FIRST = int(IPv4Address("127.64.0.0"))
_BLOCKS = 1 << 10
_BLOCK_SIZE = 1 << 12


class Addresses:
    """Hands out addresses in turn; one is used again only when all others were."""

    def __init__(self, data_dir: Path, taken: Iterable[str] = ()) -> None:
        digest = hashlib.sha256(str(data_dir.resolve()).encode()).digest()
        self._base = _FIRST + int.from_bytes(digest[:4], "big") % _BLOCKS * _BLOCK_SIZE
        self._taken = set(taken)
        self._next = 2

    def take(self) -> str:
        for _ in range(_BLOCK_SIZE):
            address = str(IPv4Address(self._base + self._next))
            self._next = self._next + 1 if self._next < _BLOCK_SIZE - 2 else 2
            if address not in self._taken:
                self._taken.add(address)
                return address
        raise RuntimeError(f"all {_BLOCK_SIZE} pod addresses are taken")

    def release(self, address: str) -> None:
        self._taken.discard(address)
