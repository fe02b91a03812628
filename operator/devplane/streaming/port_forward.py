"""Connections to a pod's ports: a pair of SPDY streams each, one for its bytes and one for what went wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from devplane.streaming.spdy_session import Session, Stream

CHUNK = 32 * 1024
CONNECT_SECONDS = 10.0
PAIR_SECONDS = 30.0
TOO_MANY = 1000


@dataclass(frozen=True, slots=True)
class Pod:
    """Where connections lead; `reach` says whether a port of the address is the pod's own."""

    name: str
    uid: str
    address: str
    reach: Callable[[str, int], bool]


class PortForward:
    def __init__(self, pod: Pod, send: Callable[[bytes], Awaitable[None]]) -> None:
        self._pod = pod
        self._session = Session(send, self._opened)
        self._waiting: dict[str, dict[str, Stream]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, received: AsyncIterator[bytes]) -> None:
        """Until the client is gone; its connections end with it."""
        try:
            await self._session.run(received)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _opened(self, stream: Stream) -> None:
        """Two streams of one request make a connection."""
        request = stream.headers.get("requestid", "")
        pair = self._waiting.setdefault(request, {})
        pair[stream.headers.get("streamtype", "")] = stream
        if {"data", "error"} <= pair.keys():
            del self._waiting[request]
            self._own(self._forward(pair["data"], pair["error"]))
        elif len(self._waiting) > TOO_MANY:
            self._waiting.pop(next(iter(self._waiting)))

    def _own(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, data: Stream, error: Stream) -> None:
        with contextlib.suppress(ConnectionError):
            try:
                await self._connect(data)
            except OSError as problem:
                await error.write(self._why(data, problem).encode())
            await data.close()
            await error.close()
        data.cut()
        error.cut()

    async def _connect(self, data: Stream) -> None:
        port = _port(data)
        if not self._pod.reach(self._pod.address, port):
            raise ConnectionRefusedError
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(self._pod.address, port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_to_pod(data, writer))
                group.create_task(_from_pod(reader, data))
        except* OSError:  # one side hung up in the middle
            pass
        finally:
            writer.close()

    def _why(self, data: Stream, problem: OSError) -> str:
        port = data.headers.get("port", "")
        refused = isinstance(problem, ConnectionRefusedError)
        what = "connect: connection refused" if refused else str(problem.strerror or problem or "i/o timeout")
        return (
            f"error forwarding port {port} to pod {self._pod.name}, uid {self._pod.uid}: "
            f"dial tcp {self._pod.address}:{port}: {what}"
        )


def _port(data: Stream) -> int:
    text = data.headers.get("port", "")
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise OSError(f"{text!r} is not a port")
    return int(text)


async def _to_pod(data: Stream, writer: asyncio.StreamWriter) -> None:
    while chunk := await data.read():
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _from_pod(reader: asyncio.StreamReader, data: Stream) -> None:
    while chunk := await reader.read(CHUNK):
        await data.write(chunk)
    await data.close()
