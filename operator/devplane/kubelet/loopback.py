"""Which loopback addresses a data directory uses, so that two servers on one machine do not meet. Pure."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Network
from pathlib import Path

PODS = IPv4Network("127.64.0.0/10")
SERVICES = IPv4Network("127.128.0.0/10")
_PREFIX = 20


def pod_network(data_dir: Path) -> IPv4Network:
    return _block(PODS, data_dir)


def service_network(data_dir: Path) -> IPv4Network:
    return _block(SERVICES, data_dir)


def _block(whole: IPv4Network, data_dir: Path) -> IPv4Network:
    digest = hashlib.sha256(str(data_dir.resolve()).encode()).digest()
    blocks = 1 << (_PREFIX - whole.prefixlen)
    size = 1 << (32 - _PREFIX)
    return IPv4Network((int(whole[0]) + int.from_bytes(digest[:4], "big") % blocks * size, _PREFIX))
