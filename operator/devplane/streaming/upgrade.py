"""SPDY straight on the connection of an HTTP/1.1 upgrade: what kubectl before 1.31 speaks, and later ones fall back to
where a WebSocket is refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from devplane.errors import ApiError
from devplane.streaming.channels import Channel
from devplane.streaming.spdy_session import Session, Stream

if TYPE_CHECKING:
    from devplane.streaming.asked import Command

Obj = dict[str, Any]

SPDY = "SPDY/3.1"
MOST_WAITING = 1 << 20
STREAMS_SECONDS = 30.0
_CHANNELS = {"stdin": Channel.STDIN, "stdout": Channel.STDOUT, "stderr": Channel.STDERR, "error": Channel.ERROR,
             "resize": Channel.RESIZE}  # fmt: skip


def wants_spdy(headers: Mapping[str, str]) -> bool:
    return headers.get("Upgrade", "").upper() == SPDY


class Upgraded:
    """The bytes of a connection that is no HTTP any more; aiohttp feeds it. Beyond 1 MiB they wait in the socket."""

    def __init__(self, request: web.Request, protocol: str) -> None:
        self._request = request
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue()
        self._size = 0
        headers = {"Connection": "Upgrade", "Upgrade": SPDY, "X-Stream-Protocol-Version": protocol}
        self.response = web.StreamResponse(status=101, headers=headers)

    async def begin(self) -> None:
        self._request.protocol.set_parser(self)  # type: ignore[arg-type]
        await self.response.prepare(self._request)
        self.response.force_close()

    async def send(self, data: bytes) -> None:
        await self.response.write(data)

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._waiting.put_nowait(bytes(data))
        self._size += len(data)
        if self._size > MOST_WAITING and self._request.transport is not None:
            self._request.transport.pause_reading()
        return False, b""

    def feed_eof(self) -> None:
        self._waiting.put_nowait(b"")

    async def received(self) -> AsyncIterator[bytes]:
        while data := await self._waiting.get():
            before, self._size = self._size, self._size - len(data)
            if self._size <= MOST_WAITING < before and self._request.transport is not None:
                self._request.transport.resume_reading()
            yield data


async def upgraded(request: web.Request, offered: tuple[str, ...]) -> Upgraded:
    """Raises 403 for a client that speaks none of `offered`, as Kubernetes does."""
    asked_for = [
        word.strip() for line in request.headers.getall("X-Stream-Protocol-Version", ()) for word in line.split(",")
    ]
    protocol = next((one for one in asked_for if one in offered), None)
    if protocol is None:
        known = f"client supports [{' '.join(asked_for)}], server accepts [{' '.join(offered)}]"
        raise ApiError(403, "Forbidden", f"unable to upgrade: unable to negotiate protocol: {known}", {})
    connection = Upgraded(request, protocol)
    await connection.begin()
    return connection


class SpdyChannels:
    """exec and attach over SPDY: a stream for each channel."""

    def __init__(self, connection: Upgraded, wanted: Command) -> None:
        self._connection = connection
        self._session = Session(connection.send, self._opened)
        self._streams: dict[Channel, Stream] = {}
        self._expected = {Channel.ERROR} | {
            _CHANNELS[name] for name in ("stdin", "stdout", "stderr") if getattr(wanted, name)
        }
        if wanted.tty:
            self._expected.add(Channel.RESIZE)
        self._complete = asyncio.Event()
        self._heard: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(16)
        self._tasks: list[asyncio.Task[None]] = []

    async def greet(self, channel: Channel) -> None:
        """Ready when the client has opened every stream. Raises `TimeoutError` when it does not."""
        self._own(self._run())
        async with asyncio.timeout(STREAMS_SECONDS):
            await self._complete.wait()

    async def received(self) -> AsyncIterator[tuple[int, bytes]]:
        while (found := await self._heard.get()) is not None:
            yield found

    async def send(self, channel: Channel, data: bytes) -> None:
        if stream := self._streams.get(channel):
            await stream.write(data)

    async def finish(self, status: Obj) -> None:
        with contextlib.suppress(ConnectionError):
            await self.send(Channel.ERROR, json.dumps(status).encode())
            for stream in self._streams.values():
                await stream.close()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _opened(self, stream: Stream) -> None:
        channel = _CHANNELS.get(stream.headers.get("streamtype", ""))
        if channel is None or channel in self._streams:
            return
        self._streams[channel] = stream
        if channel in (Channel.STDIN, Channel.RESIZE):
            self._own(self._hear(channel, stream))
        if self._expected <= self._streams.keys():
            self._complete.set()

    def _own(self, work: Any) -> None:
        self._tasks.append(asyncio.ensure_future(work))

    async def _hear(self, channel: Channel, stream: Stream) -> None:
        while data := await stream.read():
            await self._heard.put((channel, data))
        await self._heard.put((channel, b""))

    async def _run(self) -> None:
        await self._session.run(self._connection.received())
        await self._heard.put(None)
