"""Frames of SPDY/3.1, as far as exec, attach and port-forward use them. Pure.

SPDY Protocol, draft 3.1: a frame is 8 bytes of header and its content; headers are one zlib stream each way.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from devplane.streaming.spdy_dictionary import DICTIONARY

VERSION = 3
FIN = 0x01
MOST_HEADERS = 64 * 1024
CONTROL = 0x8000


class Kind(IntEnum):
    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class SpdyError(Exception):
    """Bytes that are no SPDY; the connection is of no more use."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A control frame of `kind`, or data for `stream` where it is None."""

    kind: int | None
    flags: int
    stream: int
    content: bytes

    @property
    def is_last(self) -> bool:
        return bool(self.flags & FIN)


class Reader:
    """Bytes in, frames out, wherever the bytes were cut."""

    def __init__(self) -> None:
        self._rest = b""
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Frame]:
        self._rest += data
        while len(self._rest) >= 8:
            first, second, tail = struct.unpack(">HHI", self._rest[:8])
            flags, length = tail >> 24, tail & 0xFFFFFF
            if len(self._rest) < 8 + length:
                return
            content, self._rest = self._rest[8 : 8 + length], self._rest[8 + length :]
            yield _frame(first, second, flags, content)

    def headers(self, packed: bytes) -> dict[str, str]:
        """Names in lower case; of several values the first. Every block must be read, in order."""
        try:
            plain = self._inflate.decompress(packed, MOST_HEADERS)
        except zlib.error as error:
            raise SpdyError(f"headers can't be decompressed: {error}") from error
        if self._inflate.unconsumed_tail:
            raise SpdyError(f"headers of more than {MOST_HEADERS} bytes")
        words = list(_words(plain))
        return {
            name.decode("latin-1").lower(): value.split(b"\0")[0].decode("latin-1")
            for name, value in zip(words[::2], words[1::2], strict=False)
        }


def _frame(first: int, second: int, flags: int, content: bytes) -> Frame:
    if not first & CONTROL:
        return Frame(None, flags, first << 16 | second, content)
    if first & 0x7FFF != VERSION:
        raise SpdyError(f"SPDY version {first & 0x7FFF} is not {VERSION}")
    needed = {Kind.SYN_STREAM: 10, Kind.SYN_REPLY: 4, Kind.RST_STREAM: 8, Kind.PING: 4, Kind.HEADERS: 4}
    if len(content) < needed.get(second, 0):  # type: ignore[call-overload]
        raise SpdyError(f"a frame of kind {second} is too short")
    stream = struct.unpack(">I", content[:4])[0] & 0x7FFFFFFF if len(content) >= 4 else 0
    return Frame(second, flags, stream, content)


def _words(plain: bytes) -> Iterator[bytes]:
    """The names and values of a header block, alternating."""
    at = 4
    while at + 4 <= len(plain):
        (length,) = struct.unpack_from(">I", plain, at)
        yield plain[at + 4 : at + 4 + length]
        at += 4 + length


class Writer:
    """Frames as bytes."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def syn_stream(self, stream: int, headers: Mapping[str, str]) -> bytes:
        return _control(Kind.SYN_STREAM, struct.pack(">IIH", stream, 0, 0) + self._headers(headers))

    def syn_reply(self, stream: int) -> bytes:
        return _control(Kind.SYN_REPLY, struct.pack(">I", stream) + self._headers({}))

    def reset(self, stream: int, status: int = 1) -> bytes:
        return _control(Kind.RST_STREAM, struct.pack(">II", stream, status))

    def pong(self, content: bytes) -> bytes:
        return _control(Kind.PING, content)

    def data(self, stream: int, data: bytes, *, is_last: bool = False) -> bytes:
        return struct.pack(">II", stream, (FIN if is_last else 0) << 24 | len(data)) + data

    def _headers(self, headers: Mapping[str, str]) -> bytes:
        words = [word.encode("latin-1") for pair in headers.items() for word in pair]
        plain = struct.pack(">I", len(headers)) + b"".join(struct.pack(">I", len(word)) + word for word in words)
        return self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def _control(kind: Kind, content: bytes) -> bytes:
    return struct.pack(">HHI", CONTROL | VERSION, kind, len(content)) + content
