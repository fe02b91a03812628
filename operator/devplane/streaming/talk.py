"""Carry bytes between a client and a process until one of them is done."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Protocol

from devplane.streaming import statuses
from devplane.streaming.channels import Channel

if TYPE_CHECKING:
    from devplane.kubelet.processes.execution import Conversation
    from devplane.streaming.asked import Command

Obj = dict[str, Any]

CHUNK = 32 * 1024
LAST_WORDS_SECONDS = 1.0


class Client(Protocol):
    """Who is at the other end."""

    def received(self) -> AsyncIterator[tuple[int, bytes]]: ...

    async def send(self, channel: Channel, data: bytes) -> None: ...

    async def finish(self, status: Obj) -> None: ...


async def carry(client: Client, process: Conversation, asked: Command) -> None:
    """Until the process has ended and all it wrote is sent, or the client is gone."""
    listening = asyncio.create_task(_listen(client, process))
    working = asyncio.create_task(_serve(client, process, asked))
    try:
        await asyncio.wait({listening, working}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await client.finish(statuses.ended(working.result()))
    except ConnectionError:
        pass
    finally:
        for task in (listening, working):
            task.cancel()
        await asyncio.gather(listening, working, return_exceptions=True)
        process.close()


async def _serve(client: Client, process: Conversation, asked: Command) -> int | None:
    copies = [
        asyncio.create_task(_copy(reader, client, channel if wanted else None))
        for reader, channel, wanted in (
            (process.stdout, Channel.STDOUT, asked.stdout),
            (process.stderr, Channel.STDERR, asked.stderr),
        )
        if reader is not None
    ]
    try:
        code = await process.wait()
        # What runs on in the background may hold the output open.
        done, _ = await asyncio.wait(copies, timeout=LAST_WORDS_SECONDS)
        for copy in done:
            copy.result()
        return code
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, client: Client, channel: Channel | None) -> None:
    while data := await reader.read(CHUNK):
        if channel is not None:
            await client.send(channel, data)


async def _listen(client: Client, process: Conversation) -> None:
    async for channel, data in client.received():
        if channel == Channel.STDIN and data:
            await process.write(data)
        elif channel == Channel.STDIN:
            process.end_input()
        elif channel == Channel.RESIZE:
            _resize(process, data)


def _resize(process: Conversation, data: bytes) -> None:
    with contextlib.suppress(ValueError, TypeError, KeyError):
        size = json.loads(data)
        process.resize(int(size["Width"]), int(size["Height"]))
