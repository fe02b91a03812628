"""The load counts what clients saw, and the picture shows it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tunebird.cli.story import picture
from tunebird.cli.story.load import AT_ONCE, Load, Sample, Target, ask


def a_sample(at: float, version: str = "v1", status: int = 200, seconds: float = 0.1, *, cut: bool = False) -> Sample:
    return Sample(at, seconds, status, version, cut)


async def chat(request: web.Request) -> web.StreamResponse:
    """A server whose mode the model's name chooses."""
    body = await request.json()
    headers = {"x-tunebird-model-version": "v1"}
    if body["model"] == "broken":
        return web.json_response({"error": {}}, status=500, headers=headers)
    if not body["stream"]:
        return web.json_response({"choices": []}, headers=headers)
    reply = web.StreamResponse(headers=headers)
    await reply.prepare(request)
    await reply.write(b"data: {}\n\n")
    if body["model"] == "cutting":
        assert request.transport is not None
        request.transport.abort()
        return reply
    await reply.write(b"data: [DONE]\n\n")
    return reply


@dataclass
class Stuck:
    """A server that answers nobody until it is let go, and counts who waits."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0
    most: int = 0

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        await self.go.wait()
        self.waiting -= 1
        return await chat(request)


async def served(port: int, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.AppRunner:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


@pytest.fixture
async def url(unused_tcp_port: int) -> object:
    runner = await served(unused_tcp_port, chat)
    yield f"http://127.0.0.1:{unused_tcp_port}"
    await runner.cleanup()


@pytest.mark.parametrize(
    ("model", "stream", "failed"),
    [
        ("good", False, False),
        ("good", True, False),
        ("broken", False, True),
        ("broken", True, True),
        ("cutting", True, True),
    ],
)
async def test_an_answer_counts_as_failed_when_its_user_would_say_so(
    url: str, model: str, stream: bool, failed: bool
) -> None:
    async with aiohttp.ClientSession() as session:
        sample = await ask(session, Target(url, model), 0.0, stream=stream)
    assert sample.failed is failed
    assert sample.version == "v1"


async def test_a_server_that_is_not_there_is_a_failure_without_a_version() -> None:
    async with aiohttp.ClientSession() as session:
        sample = await ask(session, Target("http://127.0.0.1:1", "x"), 0.0, stream=False)
    assert (sample.status, sample.failed, sample.version) == (0, True, "")


async def test_every_request_of_the_load_is_told_once(url: str) -> None:
    with Load(Target(url, "good"), rate=50) as load:
        while len(load.samples) < 10:  # noqa: ASYNC110 (the load runs in a thread of its own)
            await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        stopped = loop.run_in_executor(None, load.__exit__, None, None, None)
        await stopped
    assert not any(sample.failed for sample in load.samples)
    assert len({sample.at for sample in load.samples}) == len(load.samples)


async def test_a_server_that_can_not_keep_up_is_not_flooded(unused_tcp_port: int) -> None:
    stuck = Stuck()
    runner = await served(unused_tcp_port, stuck.chat)
    with Load(Target(f"http://127.0.0.1:{unused_tcp_port}", "good"), rate=1000) as load:
        while stuck.waiting < AT_ONCE:  # noqa: ASYNC110 (the load runs in a thread of its own)
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # a hundred more would be due
        held = load.now()
        stuck.go.set()
        while len(load.samples) <= AT_ONCE:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.get_running_loop().run_in_executor(None, load.__exit__, None, None, None)
    await runner.cleanup()
    assert stuck.most == AT_ONCE
    assert len([sample for sample in load.samples if sample.at < held]) == AT_ONCE
    assert not any(sample.failed for sample in load.samples)


def test_bins_hold_every_request_once() -> None:
    samples = [a_sample(at / 10, "v1" if at < 50 else "v2") for at in range(100)]
    cut = picture.bins(samples, 10)
    assert [bin_.shares for bin_ in cut[:5]] == [{"v1": 1.0}] * 5
    assert cut[-1].shares == {"v2": 1.0}


def test_the_picture_shows_each_version_and_the_errors() -> None:
    samples = [a_sample(at, "v1") for at in range(10)] + [a_sample(10 + at, "v2", 500) for at in range(10)]
    text = picture.terminal(samples, [picture.Mark(10, "RolloutStarted")], width=20)
    rows = {line.split("│")[0].strip(): line.split("│")[1] for line in text.splitlines() if "│" in line}
    assert rows["to v1"] == "█" * 10 + " " * 10
    assert rows["to v2"] == rows["errors"] == " " * 10 + "█" * 10
    assert "RolloutStarted" in text


def test_the_png_is_written(tmp_path: Path) -> None:
    picture.png([a_sample(at) for at in range(5)], [picture.Mark(1, "Promoted")], tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("values", "expected"), [([], 0.0), ([1.0], 1.0), (list(range(1, 101)), 95)])
def test_p95_is_the_nearest_rank(values: list[float], expected: float) -> None:
    assert picture.p95(values) == expected


def test_marks_of_one_moment_become_one() -> None:
    marks = [picture.Mark(1.0, "SLIBreached"), picture.Mark(1.2, "RolledBack"), picture.Mark(9.0, "Promoted")]
    assert picture.merged(marks) == (picture.Mark(1.0, "SLIBreached, RolledBack"), picture.Mark(9.0, "Promoted"))
