"""What kube-proxy does, for TCP: the port of a Service, on its loopback address, leads to one of its ready pods.

A port is listened on while one of its pods answers, and let go with the last of them: a pod that listens on all
addresses must be able to take its own port, and where it has, connections reach it without this forwarder.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import itertools
import logging
from collections.abc import Iterable

from devplane.kubelet.network.names import Service, Target
from devplane.kubelet.processes.ports import Reach

log = logging.getLogger("devplane.proxy")

CHUNK = 64 * 1024
CONNECT_SECONDS = 2.0
FIRST_TRY, LAST_TRY = 0.05, 2.0

# It listens on its Service's address itself.
API_SERVER = ("default", "kubernetes")

Front = tuple[str, int]
"""(cluster IP, port)."""


def fronts(services: Iterable[Service]) -> dict[Front, tuple[Target, ...]]:
    """The ports to forward: those of loopback cluster IPs that have a ready pod. Pure."""
    return {
        (service.address, port): targets
        for service in services
        if service.address and ipaddress.ip_address(service.address).is_loopback
        if (service.namespace, service.name) != API_SERVER
        for port, targets in service.ports
        if targets
    }


class Forwarder:
    """One port of one Service, from its first ready pod to its last."""

    def __init__(self, front: Front, targets: tuple[Target, ...], reach: Reach) -> None:
        self._front = front
        self._reach = reach
        self.targets = targets
        self._turn = itertools.count()
        self._connections: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        await self._until_a_target_answers()
        server = await self._listen()
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _until_a_target_answers(self) -> None:
        delay = FIRST_TRY
        while (found := await self._connect()) is None:
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_TRY)
        found[1].close()

    async def _listen(self) -> asyncio.Server:
        delay = FIRST_TRY
        while True:
            try:
                return await asyncio.start_server(self._accept, *self._front)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:  # in use: a pod that listens on all addresses is reached directly
                    log.warning("Can't listen on %s:%s of a Service: %s", *self._front, error)
                    await asyncio.Event().wait()
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_TRY)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = await self._connect()
        if found is None:
            writer.transport.abort()
            return
        behind, before = found
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, before))
                group.create_task(_copy(behind, writer))
        except* OSError:
            writer.transport.abort()
        finally:
            before.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """The next target in turn that accepts a connection, itself and not by somebody else's socket."""
        for _ in self.targets:
            target = self.targets[next(self._turn) % len(self.targets)]
            if not self._reach(*target):
                continue
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await asyncio.open_connection(*target)
        return None


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


class Proxy:
    """A `Forwarder` for each port; a change of its pods leaves open connections alone."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._forwarders: dict[Front, tuple[Forwarder, asyncio.Task[None]]] = {}

    def follow(self, services: Iterable[Service]) -> None:
        wanted = fronts(services)
        for front in self._forwarders.keys() - wanted.keys():
            self._forwarders.pop(front)[1].cancel()
        for front, targets in wanted.items():
            if front in self._forwarders:
                self._forwarders[front][0].targets = targets
            else:
                forwarder = Forwarder(front, targets, self._reach)
                task = asyncio.create_task(forwarder.run(), name=f"proxy {front[0]}:{front[1]}")
                self._forwarders[front] = forwarder, task

    async def stop(self) -> None:
        tasks = [task for _, task in self._forwarders.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._forwarders.clear()
