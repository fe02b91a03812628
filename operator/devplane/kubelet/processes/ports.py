"""Whose a port is. Pods share the machine's ports, and who listens on all addresses answers at those of other pods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Protocol

from devplane.kubelet.processes.listeners import Listener, listeners, parents, program, root_of, sockets_of

Reach = Callable[[str, int], bool]
"""Whether a connection to (address, port) would reach the pod that has the address, if anybody."""


class Owner(Protocol):
    """A pod; its processes are those below `roots`."""

    name: str
    namespace: str

    @property
    def roots(self) -> Sequence[int]: ...


@dataclass(frozen=True, slots=True)
class Holder:
    """Who else has a port, `everywhere` or at the pod's address: `pod` of this devplane, or the program; 0 without
    the right to know."""

    port: int
    everywhere: bool
    pod: str
    pid: int
    program: str = ""

    def __str__(self) -> str:
        where = "on all addresses" if self.everywhere else "at this pod's address"
        if self.pod:
            who, remedy = f"pod {self.pod} (pid {self.pid})", "let that pod listen on $(POD_IP), or end it"
        elif self.pid:
            named = f"another program, pid {self.pid} ({self.program})"
            who, remedy = named, "let it listen on one address, or end it"
        else:
            who, remedy = "a program of another user", "let it listen on one address, or end it"
        return f"port {self.port} is taken {where} by {who}: {remedy}"


class Ports:
    """Pods `enter` with their address. Where the system does not tell who listens, every port is the pod's own."""

    def __init__(self, look: Callable[[int], list[Listener] | None] = listeners) -> None:
        self._look = look
        self._owners: dict[str, Owner] = {}
        self._known: dict[tuple[str, int], frozenset[int]] = {}

    def enter(self, address: str, owner: Owner) -> None:
        self._owners[address] = owner

    def leave(self, address: str) -> None:
        self._owners.pop(address, None)
        self._known = {at: inodes for at, inodes in self._known.items() if at[0] != address}

    def reach(self, address: str, port: int) -> bool:
        """Whether a connection reaches the pod of this address, if anybody (see `Reach`); so do those of no pod."""
        owner = self._owners.get(address)
        if owner is None:
            return True
        found = _reached(address, self._look(port) or ())
        if not found or not found[0].is_everywhere:
            return True
        inodes = frozenset(one.inode for one in found)
        if inodes <= self._known.get((address, port), frozenset()):
            return True
        if not _owns(owner, inodes):
            return False
        self._known[address, port] = inodes
        return True

    def holder(self, address: str, port: int) -> Holder | None:
        """Who else keeps the pod of this address from its port."""
        if (owner := self._owners.get(address)) is None:
            return None
        for one in self._look(port) or ():
            is_met = one.is_everywhere or one.address == IPv4Address(address)
            if is_met and not _owns(owner, frozenset({one.inode})):
                return self._who(port, one)
        return None

    def _who(self, port: int, listener: Listener) -> Holder:
        known = parents()
        pid = next((pid for pid in sorted(known) if listener.inode in (sockets_of(pid) or ())), 0)
        of_root = {root: one for one in self._owners.values() for root in one.roots}
        root = root_of(pid, of_root, known)
        pod = "" if root is None else f"{of_root[root].namespace}/{of_root[root].name}"
        return Holder(port, listener.is_everywhere, pod, pid, program(pid))


def _reached(address: str, found: Sequence[Listener]) -> list[Listener]:
    """Whom the kernel may give a connection to: of who listens at the address, at all of IPv4, at all of IPv6, the
    first that are there."""
    exact = [one for one in found if one.address == IPv4Address(address)]
    everywhere = [one for one in found if one.is_everywhere]
    return exact or [one for one in everywhere if one.address.version == 4] or everywhere


def _owns(owner: Owner, inodes: frozenset[int]) -> bool:
    """Whether all these sockets are open in the pod's processes; in doubt, where one may not be looked at."""
    known, roots, missing = parents(), owner.roots, inodes
    for pid in known:
        if root_of(pid, roots, known) is not None:
            held = sockets_of(pid)
            if held is None:
                return True
            missing -= held
            if not missing:
                return True
    return False
