"""Each pod's own loopback address."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network


class Addresses:
    """Hands out addresses in turn; one is used again only when all others were."""

    def __init__(self, network: IPv4Network, taken: Iterable[str] = ()) -> None:
        self._network = network
        self._taken = set(taken)
        self._next = 2

    def take(self) -> str:
        last = self._network.num_addresses - 2
        for _ in range(last):
            address = str(self._network[self._next])
            self._next = self._next + 1 if self._next < last else 2
            if address not in self._taken:
                self._taken.add(address)
                return address
        raise RuntimeError(f"all addresses of {self._network} are taken")

    def release(self, address: str) -> None:
        self._taken.discard(address)
