"""An API server in this process, without controllers and kubelet, and a client of it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from apiserver.api.replay import Replay
from devplane.app import Devplane, Options


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[Devplane, Replay]]:
    plane = Devplane(Options(folder, has_nodes=False))
    await plane.start()
    try:
        trust = ssl.create_default_context(cadata=plane.credentials.ca_pem)
        connector = aiohttp.TCPConnector(ssl=trust)
        async with aiohttp.ClientSession(plane.server_url, connector=connector) as session:
            yield plane, Replay(session, plane.credentials.admin_token)
    finally:
        await plane.stop()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Replay]:
    async with serving(tmp_path) as (_, client):
        yield client
