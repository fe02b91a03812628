"""SPDY/3.1 as far as port-forward, exec and attach need it; the example of the dictionary is in its specification."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devplane.streaming.spdy_dictionary import DICTIONARY
from devplane.streaming.spdy_frames import Frame, Kind, Reader, SpdyError, Writer
from devplane.streaming.spdy_session import Session, Stream

HEADERS = {"streamtype": "data", "port": "8000", "requestid": "0"}


def test_dictionary_is_the_one_of_the_specification() -> None:
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


@given(st.lists(st.integers(1, 200)))
def test_frames_are_found_wherever_the_bytes_are_cut(cuts: list[int]) -> None:
    writer, reader = Writer(), Reader()
    sent = writer.syn_stream(1, HEADERS) + writer.data(1, b"x" * 300) + writer.data(1, b"", is_last=True)
    sent += writer.syn_stream(3, {**HEADERS, "requestid": "1"}) + writer.reset(3)
    found: list[Frame] = []
    for cut in [*cuts, len(sent)]:
        piece, sent = sent[:cut], sent[cut:]
        found += reader.feed(piece)
    assert [(one.kind, one.stream, one.is_last) for one in found] == [
        (Kind.SYN_STREAM, 1, False),
        (None, 1, False),
        (None, 1, True),
        (Kind.SYN_STREAM, 3, False),
        (Kind.RST_STREAM, 3, False),
    ]
    assert reader.headers(found[0].content[10:]) == HEADERS
    assert reader.headers(found[3].content[10:])["requestid"] == "1"


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_refused(data: bytes) -> None:
    reader = Reader()
    try:
        for frame in reader.feed(data):
            if frame.kind == Kind.SYN_STREAM:
                reader.headers(frame.content[10:])
    except SpdyError:
        pass


def test_headers_that_grow_without_end_are_cut() -> None:
    packed = zlib.compressobj(zdict=DICTIONARY)
    bomb = packed.compress(struct.pack(">II", 1, 1 << 24) + bytes(1 << 24)) + packed.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(SpdyError, match="more than"):
        Reader().headers(bomb)


class Conversation:
    """A session whose client sends what it is given."""

    def __init__(self, *sent: bytes) -> None:
        self.answered = b""
        self.opened: list[Stream] = []
        self._sent = sent
        self.session = Session(self._send, self.opened.append)

    async def _send(self, data: bytes) -> None:
        self.answered += data

    async def _received(self) -> AsyncIterator[bytes]:
        for data in self._sent:
            yield data
            await asyncio.sleep(0)

    async def run(self) -> list[Frame]:
        await self.session.run(self._received())
        return list(Reader().feed(self.answered))


async def test_stream_is_accepted_and_pings_are_answered() -> None:
    ping = struct.pack(">HHII", 0x8003, Kind.PING, 4, 77)
    talk = Conversation(Writer().syn_stream(1, HEADERS), ping)
    answers = await talk.run()
    assert [(one.kind, one.stream) for one in answers] == [(Kind.SYN_REPLY, 1), (Kind.PING, 77)]
    assert talk.opened[0].headers == HEADERS


async def test_data_for_a_stream_that_is_not_there_is_reset() -> None:
    answers = await Conversation(Writer().data(5, b"lost")).run()
    assert [(one.kind, one.stream) for one in answers] == [(Kind.RST_STREAM, 5)]


async def test_stream_ends_with_its_connection() -> None:
    talk = Conversation(Writer().syn_stream(1, HEADERS))
    await talk.run()
    assert await talk.opened[0].read() == b""
    await talk.opened[0].write(b"nobody hears")
    assert b"nobody hears" not in talk.answered
