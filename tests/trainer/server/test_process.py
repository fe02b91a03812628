"""The real process: how it starts, what it says when it can't, how it leaves."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tunebird_trainer.stores.storage import directory_digest

TRAINER_IMAGE = Path(__file__).parents[3] / "trainer_image"


class Process:
    def __init__(self, process: asyncio.subprocess.Process, last_word: Path):
        self.process = process
        self._last_word = last_word
        self.url = ""
        self.log: list[str] = []

    async def listening(self) -> None:
        while match := await self.process.stderr.readline():
            self.log.append(match.decode())
            if found := re.search(rb"Listening host=\S+ port=(\d+)", match):
                self.url = f"http://127.0.0.1:{int(found[1])}"
                return
        pytest.fail("the server ended before it listened")

    async def ready(self, session: aiohttp.ClientSession) -> None:
        while (await session.get(f"{self.url}/ready")).status != 200:  # noqa: ASYNC110  another process
            await asyncio.sleep(0.05)

    def last_word(self) -> dict[str, Any]:
        return json.loads(self._last_word.read_text())

    async def ended(self) -> int:
        self.log += (await self.process.stderr.read()).decode().splitlines()
        return await self.process.wait()


Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(tiny_directory: Path, tmp_path: Path) -> AsyncIterator[Start]:
    """start("--model-digest", …): the server of the tiny model, on a claim named `models`."""
    started: list[asyncio.subprocess.Process] = []

    async def start(*arguments: str) -> Process:
        last_word = tmp_path / "termination-log"
        environment = {
            **os.environ, "PYTHONPATH": str(TRAINER_IMAGE), "HF_HUB_OFFLINE": "1",
            "TUNEBIRD_VOLUMES": json.dumps({"models": str(tiny_directory.parent)}),
            "TUNEBIRD_TERMINATION_LOG": str(last_word),
        }  # fmt: skip
        command = [sys.executable, "-m", "tunebird_trainer.server", "--port", "0", *arguments]
        process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.PIPE)
        started.append(process)
        return Process(process, last_word)

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@asynccontextmanager
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as opened:
        yield opened


async def test_sigterm_lets_streams_finish_and_leaves_with_zero(start: Start, tiny_directory: Path):
    digest = directory_digest(tiny_directory)
    server = await start("--model-uri", "pvc://models/tiny", "--model-digest", digest, "--drain-delay", "300ms")
    await server.listening()
    async with session() as client:
        await server.ready(client)
        body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 300, "stream": True, "seed": 1}
        stream = await client.post(f"{server.url}/v1/chat/completions", json=body)
        server.process.send_signal(signal.SIGTERM)
        assert await becomes_unready(client, server)
        late = await client.get(f"{server.url}/v1/models")
        assert (late.status, late.headers["Connection"]) == (200, "close")
        assert (await stream.read()).endswith(b"data: [DONE]\n\n")
    assert await server.ended() == 0
    assert [line for line in server.log if " INFO tunebird_trainer." not in line] == []


async def becomes_unready(client: aiohttp.ClientSession, server: Process) -> bool:
    while (await client.get(f"{server.url}/ready")).status == 200:  # noqa: ASYNC110  another process
        await asyncio.sleep(0.01)
    return True


async def test_another_digest_than_promised_ends_it_with_4_and_both_digests(start: Start, tiny_directory: Path):
    promised = "sha256:" + "0" * 64
    server = await start("--model-uri", "pvc://models/tiny", "--model-digest", promised)
    assert await server.ended() == 4
    said = server.last_word()
    assert (said["reason"], said["exitCode"]) == ("ModelMismatch", 4)
    assert promised in said["message"]
    assert directory_digest(tiny_directory) in said["message"]
    assert "publish the model again" in said["message"]


async def test_an_absent_model_ends_it_with_4(start: Start):
    server = await start("--model-uri", "pvc://models/other")
    assert await server.ended() == 4
    assert server.last_word()["reason"] == "ModelNotFound"


async def test_a_bad_argument_ends_it_with_2_and_names_it(start: Start):
    server = await start("--model-uri", "pvc://models/tiny", "--inject-errors", "lots")
    assert await server.ended() == 2
    assert "--inject-errors" in server.last_word()["message"]


async def test_sigterm_while_loading_leaves_with_zero(start: Start):
    server = await start("--model-uri", "pvc://models/tiny")
    await server.listening()
    server.process.send_signal(signal.SIGTERM)
    assert await server.ended() == 0
