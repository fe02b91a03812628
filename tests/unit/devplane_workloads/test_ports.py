"""Whose a port is, with real sockets of other processes."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import pytest

from devplane.kubelet.processes.listeners import Listener, listeners
from devplane.kubelet.processes.ports import Holder, Ports

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells who listens")

LISTEN = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
server = socket.create_server((sys.argv[1], int(sys.argv[2])), family=family, dualstack_ipv6=family == socket.AF_INET6)
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""
NESTED = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', *sys.argv[1:]]))"
MINE, OTHER = "127.64.255.2", "127.64.255.3"


@dataclass(frozen=True)
class Pod:
    name: str
    roots: tuple[int, ...] = ()
    namespace: str = "default"


Listening = Callable[..., tuple[int, int]]


@pytest.fixture
def listening() -> Iterator[Listening]:
    """Start a process below another that listens at an address; its root's pid, and the port."""
    started: list[subprocess.Popen[str]] = []

    def start(address: str, port: int = 0) -> tuple[int, int]:
        command = [sys.executable, "-c", NESTED, LISTEN, address, str(port)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return process.pid, int(process.stdout.readline())

    yield start
    for process in started:
        process.communicate()


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_all_addresses_are_those_of_the_pod_that_listens(listening: Listening, address: str) -> None:
    if address == "::" and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    root, port = listening(address)
    ports = Ports()
    ports.enter(MINE, Pod("mine", (root,)))
    ports.enter(OTHER, Pod("other"))
    assert ports.reach(MINE, port)
    assert ports.reach(MINE, port)
    assert not ports.reach(OTHER, port)


def test_own_address_is_preferred_to_all_addresses() -> None:
    with closing(socket.create_server((MINE, 0))) as server:
        port = server.getsockname()[1]
        found = [*(listeners(port) or ()), Listener(IPv4Address("0.0.0.0"), 1)]
        ports = Ports(lambda _: found)
        ports.enter(MINE, Pod("mine"))
        ports.enter(OTHER, Pod("other"))
        assert ports.reach(MINE, port)
        assert not ports.reach(OTHER, port)


def test_all_of_ipv4_is_preferred_to_all_of_ipv6(listening: Listening) -> None:
    root, port = listening("0.0.0.0")
    found = [Listener(IPv6Address("::"), 1), *(listeners(port) or ())]
    ports = Ports(lambda _: found)
    ports.enter(MINE, Pod("mine", (root,)))
    assert ports.reach(MINE, port)


def test_port_shared_with_another_is_nobodys_own(listening: Listening) -> None:
    root, port = listening("0.0.0.0")
    found = [*(listeners(port) or ()), Listener(IPv4Address("0.0.0.0"), 1)]
    ports = Ports(lambda _: found)
    ports.enter(MINE, Pod("mine", (root,)))
    assert not ports.reach(MINE, port)


def test_what_nobody_listens_on_is_left_to_the_connection() -> None:
    ports = Ports(lambda _: [])
    ports.enter(MINE, Pod("mine"))
    assert ports.reach(MINE, 80)


def test_every_port_is_its_own_where_the_system_does_not_tell() -> None:
    ports = Ports(lambda _: None)
    ports.enter(MINE, Pod("mine"))
    assert ports.reach(MINE, 80)
    assert ports.holder(MINE, 80) is None


def test_addresses_of_no_pod_are_reached(listening: Listening) -> None:
    _, port = listening("0.0.0.0")
    ports = Ports()
    ports.enter(MINE, Pod("mine"))
    ports.leave(MINE)
    assert ports.reach(MINE, port)


def test_next_start_of_a_pod_is_looked_at_anew(listening: Listening) -> None:
    root, port = listening("0.0.0.0")
    found = list(listeners(port) or ())
    ports = Ports(lambda _: found)
    ports.enter(MINE, Pod("mine", (root,)))
    assert ports.reach(MINE, port)
    found[:] = [Listener(IPv4Address("0.0.0.0"), 1)]
    assert not ports.reach(MINE, port)


def test_holder_is_named_as_a_pod_or_as_a_program(listening: Listening) -> None:
    root, port = listening("0.0.0.0")
    ports = Ports()
    ports.enter(MINE, Pod("mine"))
    program = ports.holder(MINE, port)
    assert program is not None
    assert str(program).startswith(f"port {port} is taken on all addresses by another program, pid {program.pid} (py")
    ports.enter(OTHER, Pod("web", (root,)))
    pod = ports.holder(MINE, port)
    assert pod == Holder(port, everywhere=True, pod="default/web", pid=program.pid, program=program.program)
    expected = f"by pod default/web (pid {program.pid}): let that pod listen on $(POD_IP), or end it"
    assert str(pod).endswith(expected)
    assert ports.holder(OTHER, port) is None


def test_holder_of_the_address_itself_is_found(listening: Listening) -> None:
    _, port = listening(MINE)
    ports = Ports()
    ports.enter(MINE, Pod("mine"))
    ports.enter(OTHER, Pod("other"))
    assert str(ports.holder(MINE, port)).startswith(f"port {port} is taken at this pod's address by another program")
    assert ports.holder(OTHER, port) is None
