"""One call of grpc.health.v1.Health/Check, in as much HTTP/2 as that takes (RFC 9113; no HPACK is read).

https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

import asyncio
import struct
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SERVING = "SERVING"
STATUSES = ("UNKNOWN", SERVING, "NOT_SERVING", "SERVICE_UNKNOWN")
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
STREAM = 1


class Kind(IntEnum):
    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7


class NoAnswerError(Exception):
    """The server has no health service, or doesn't know the one that was asked for."""


async def check(host: str, port: int, service: str) -> str:
    """The status that the server gives. Raises `OSError`, and `NoAnswerError`."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(_request(f"{host}:{port}", service))
        return _status(await _answer(reader, writer))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise NoAnswerError("the connection was closed") from error
    finally:
        writer.close()


def _request(authority: str, service: str) -> bytes:
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/grpc.health.v1.Health/Check",
        ":authority": authority,
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": "kube-probe/1.33",
    }
    block = b"".join(b"\0" + _short(name) + _short(value) for name, value in headers.items())
    body = struct.pack(">BI", 0, len(message)) + message
    return (
        PREFACE
        + _frame(Kind.SETTINGS, 0, 0, b"")
        + _frame(Kind.HEADERS, END_HEADERS, STREAM, block)
        + _frame(Kind.DATA, END_STREAM, STREAM, body)
    )


def _short(text: str) -> bytes:
    """A string of HPACK, at most 126 bytes, as it is."""
    return bytes([len(text)]) + text.encode()


def _varint(number: int) -> bytes:
    found = b""
    while number > 0x7F:
        found += bytes([number & 0x7F | 0x80])
        number >>= 7
    return found + bytes([number])


def _frame(kind: Kind, flags: int, stream: int, content: bytes) -> bytes:
    return struct.pack(">I", len(content))[1:] + struct.pack(">BBI", kind, flags, stream) + content


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """What the server sends as its message, until it ends the stream."""
    body = b""
    while True:
        size, kind, flags, stream = struct.unpack(">IBBI", b"\0" + await reader.readexactly(9))
        content = await reader.readexactly(size)
        if kind in (Kind.SETTINGS, Kind.PING) and not flags & ACK:
            writer.write(_frame(Kind(kind), ACK, 0, content if kind == Kind.PING else b""))
        elif kind == Kind.GOAWAY:
            return body
        elif stream & 0x7FFFFFFF == STREAM:
            if kind == Kind.DATA:
                body += content[1 : len(content) - content[0]] if flags & PADDED else content
            if kind == Kind.RST_STREAM or (kind in (Kind.DATA, Kind.HEADERS) and flags & END_STREAM):
                return body


def _status(body: bytes) -> str:
    """From a message in its five bytes of envelope; an empty one has the first status."""
    if len(body) < 5:
        raise NoAnswerError("the server does not serve grpc.health.v1.Health, or does not know the service")
    message = body[5:]
    number = message[1] if len(message) > 1 and message[0] == 0x08 else 0
    return STATUSES[number] if number < len(STATUSES) else str(number)
