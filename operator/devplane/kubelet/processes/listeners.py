"""Which sockets listen on this machine, and whose they are, as Linux tells: sock_diag(7), proc(5).

Asking for listening sockets alone takes a tenth of a millisecond; /proc/net/tcp has all connections too, and takes
several where there are hundreds.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

_SOCK_DIAG, _BY_FAMILY, _DUMP = 4, 20, 0x301
_ERROR, _DONE = 2, 3
_LISTEN = 10
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI48x")
_PORT, _ADDRESS, _INODE = 4, 8, 68  # where they are in a struct inet_diag_msg
_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Listener:
    """A TCP socket that listens at `address`: all of them, if that is 0.0.0.0 or ::."""

    address: IPv4Address | IPv6Address
    inode: int

    @property
    def is_everywhere(self) -> bool:
        return self.address.is_unspecified


def listeners(port: int) -> list[Listener] | None:
    """Those of a port; None where the system does not tell."""
    if sys.platform != "linux":
        return None
    try:
        return [*_of_family(socket.AF_INET, port), *_of_family(socket.AF_INET6, port)]
    except OSError:
        return None


def _of_family(family: int, port: int) -> Iterator[Listener]:
    asked = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, 1 << _LISTEN)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
        kernel.settimeout(_SECONDS)
        kernel.send(_HEADER.pack(_HEADER.size + len(asked), _BY_FAMILY, _DUMP, 1, 0) + asked)
        for message in _answers(kernel):
            if struct.unpack_from(">H", message, _PORT)[0] == port:
                yield Listener(_address(family, message), struct.unpack_from("=I", message, _INODE)[0])


def _answers(kernel: socket.socket) -> Iterator[bytes]:
    while True:
        data, at = kernel.recv(65536), 0
        while at < len(data):
            size, kind, *_ = _HEADER.unpack_from(data, at)
            if kind == _DONE:
                return
            if kind == _ERROR:
                raise OSError("the kernel does not list listening sockets")
            yield data[at + _HEADER.size : at + size]
            at += (size + 3) & ~3


def _address(family: int, message: bytes) -> IPv4Address | IPv6Address:
    if family == socket.AF_INET:
        return IPv4Address(message[_ADDRESS : _ADDRESS + 4])
    found = IPv6Address(message[_ADDRESS : _ADDRESS + 16])
    return found.ipv4_mapped or found


def parents() -> dict[int, int]:
    """Every process with its parent."""
    found: dict[int, int] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - as fast as it gets
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                found[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    return found


def root_of(pid: int, roots: Iterable[int], known: Mapping[int, int]) -> int | None:
    """Which of `roots` a process descends from, by their parents."""
    wanted = frozenset(roots)
    while pid not in wanted:
        if pid not in known:
            return None
        pid = known[pid]
    return pid


def sockets_of(pid: int) -> frozenset[int] | None:
    """The inodes of a process's open sockets; None where that may not be known."""
    found = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
            with contextlib.suppress(FileNotFoundError):
                target = os.readlink(f"/proc/{pid}/fd/{name}")  # noqa: PTH115
                if target.startswith("socket:["):
                    found.add(int(target[8:-1]))
    except PermissionError:
        return None
    except OSError:
        pass
    return frozenset(found)


def program(pid: int) -> str:
    """What a process calls itself."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read().strip()
    except OSError:
        return ""
