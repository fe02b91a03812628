"""Which loopback addresses a running server uses, so that two servers on one machine do not meet."""

from __future__ import annotations

import hashlib
import socket
import sys
from ipaddress import IPv4Network
from pathlib import Path

PODS = IPv4Network("127.64.0.0/10")
SERVICES = IPv4Network("127.128.0.0/10")
_PREFIX = 20
_COUNT = 1 << (_PREFIX - PODS.prefixlen)


class Block:
    """A network for pods and one for Services: those of the data directory, or the next that no server holds now."""

    def __init__(self, data_dir: Path) -> None:
        digest = hashlib.sha256(str(data_dir.resolve()).encode()).digest()
        first = int.from_bytes(digest[:4], "big")
        for index in (number % _COUNT for number in range(first, first + _COUNT)):
            self._hold = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            if _held(self._hold, index):
                self.pods, self.services = _part(PODS, index), _part(SERVICES, index)
                return
            self._hold.close()
        raise RuntimeError(f"all {_COUNT} blocks of {PODS} are used by other servers on this machine")

    def release(self) -> None:
        self._hold.close()


def _held(hold: socket.socket, index: int) -> bool:
    """A name that the kernel takes back when the process ends, however it ends; Linux alone has such names."""
    if sys.platform != "linux":
        return True
    try:
        hold.bind(f"\0devplane-block-{index}")
    except OSError:
        return False
    return True


def _part(whole: IPv4Network, index: int) -> IPv4Network:
    return IPv4Network((int(whole[0]) + (index << (32 - _PREFIX)), _PREFIX))
