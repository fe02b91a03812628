"""The operator's own servers."""

import socket

import pytest
from aiohttp import web

from tunebird.runtime.http import ListenError, served


async def test_a_taken_port_is_named_with_its_remedy():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=rf"127\.0\.0\.1:{port} \(Address already in use\).*TUNEBIRD_HTTP_LISTEN"):
            async with served(web.Application(), "127.0.0.1", port):
                pass
