"""exec and attach over a WebSocket: each message begins with the number of its channel.

https://kubernetes.io/blog/2024/08/20/websockets-transition/, KEP-4006
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from enum import IntEnum
from typing import Any

from aiohttp import WSMsgType, web

Obj = dict[str, Any]

V5 = "v5.channel.k8s.io"
PROTOCOLS = (V5, "v4.channel.k8s.io")
CLOSE = 255


class Channel(IntEnum):
    STDIN = 0
    STDOUT = 1
    STDERR = 2
    ERROR = 3
    RESIZE = 4


class WebSocketChannels:
    """One connection. `received` ends with it; an empty message stands for the end of a channel."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def received(self) -> AsyncIterator[tuple[int, bytes]]:
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                data = str(message.data).encode()
            elif message.type is WSMsgType.BINARY:
                data = bytes(message.data)
            else:
                return
            if data[:1] == bytes([CLOSE]) and self._socket.ws_protocol == V5:
                yield data[1], b""
            elif len(data) > 1:
                yield data[0], data[1:]

    async def send(self, channel: Channel, data: bytes) -> None:
        await self._socket.send_bytes(bytes([channel]) + data)

    async def greet(self, channel: Channel) -> None:
        """An empty message tells the client that the connection stands."""
        await self.send(channel, b"")

    async def finish(self, status: Obj) -> None:
        with contextlib.suppress(ConnectionError):
            await self.send(Channel.ERROR, json.dumps(status).encode())
            await self._socket.close()
