"""One SPDY connection as its server sees it: streams that the client opens, over whatever carries the bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from devplane.streaming.spdy_frames import Frame, Kind, Reader, SpdyError, Writer

CHUNK = 32 * 1024
QUEUED = 64


class Stream:
    """`read` gives b"" at the end. A stream that the client resets ends too."""

    def __init__(self, number: int, headers: Mapping[str, str], session: Session) -> None:
        self.number = number
        self.headers = headers
        self._session = session
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUED)
        self._is_over = False
        self._is_closed = False

    async def read(self) -> bytes:
        if self._is_over and self._queue.empty():
            return b""
        data = await self._queue.get()
        self._is_over |= not data
        return data

    async def write(self, data: bytes) -> None:
        for at in range(0, len(data), CHUNK):
            if not self._is_closed:
                await self._session.send(self._session.writer.data(self.number, data[at : at + CHUNK]))

    async def close(self) -> None:
        """Nothing more is written."""
        if not self._is_closed:
            self._is_closed = True
            await self._session.send(self._session.writer.data(self.number, b"", is_last=True))

    async def put(self, data: bytes) -> None:
        if not self._is_over:
            await self._queue.put(data)

    def cut(self) -> None:
        """The client has reset it or is gone, or nobody here listens any more."""
        self._is_closed = True
        self._is_over = True
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(b"")


class Session:
    """`run` reads until the connection ends, and gives each new stream to `opened`."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]], opened: Callable[[Stream], None]) -> None:
        self.send = send
        self.writer = Writer()
        self._reader = Reader()
        self._opened = opened
        self._streams: dict[int, Stream] = {}

    async def run(self, received: AsyncIterator[bytes]) -> None:
        try:
            async for data in received:
                for frame in self._reader.feed(data):
                    if frame.kind == Kind.GOAWAY:
                        return
                    await self._on(frame)
        except SpdyError:
            return
        finally:
            for stream in self._streams.values():
                stream.cut()

    async def _on(self, frame: Frame) -> None:
        match frame.kind:
            case None:
                await self._on_data(frame)
            case Kind.SYN_STREAM:
                await self._open(frame)
            case Kind.RST_STREAM:
                if stream := self._streams.pop(frame.stream, None):
                    stream.cut()
            case Kind.PING:
                await self.send(self.writer.pong(frame.content))
            case Kind.HEADERS | Kind.SYN_REPLY:  # nothing is looked for in them, but they are part of one zlib stream
                self._reader.headers(frame.content[4:])
            case _:
                pass

    async def _open(self, frame: Frame) -> None:
        headers = self._reader.headers(frame.content[10:])
        stream = self._streams[frame.stream] = Stream(frame.stream, headers, self)
        await self.send(self.writer.syn_reply(frame.stream))
        if frame.is_last:
            await stream.put(b"")
        self._opened(stream)

    async def _on_data(self, frame: Frame) -> None:
        stream = self._streams.get(frame.stream)
        if stream is None:
            await self.send(self.writer.reset(frame.stream, 2))
            return
        if frame.content:
            await stream.put(frame.content)
        if frame.is_last:
            await stream.put(b"")
