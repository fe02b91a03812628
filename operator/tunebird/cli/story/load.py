"""A steady stream of chat requests through the gateway, as clients would send it, and what came of each.

Open loop: requests leave at their time however slow the answers are, until `AT_ONCE` are without an answer. Beyond that
it waits as a client does whose connections are all in use: what is shown is how a version is served, not that a
machine with too little CPU for the rate lets a queue overflow. Every second request is streamed.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

import aiohttp
import click

VERSION_HEADER = "x-tunebird-model-version"
# Requests a second, as an option takes them.
RATE = click.FloatRange(0.01, 1000)
# Requests without an answer yet: half of what one server of the default runtime lets wait before it refuses with 503.
AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go and what they ask."""

    url: str
    model: str
    host: str = ""
    prompt: str = "How do I see why a pod is pending?"
    max_tokens: int = 8
    timeout_seconds: float = 30


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: seconds since the load began, its duration, and how it ended.

    `status` 0 means that no answer came; `cut` that a stream ended before its `[DONE]`.
    """

    at: float
    seconds: float
    status: int
    version: str = ""
    cut: bool = False
    error: str = ""
    first_byte: float = 0.0

    @property
    def failed(self) -> bool:
        return self.status != 200 or self.cut


@dataclass
class Load:
    """Sends `rate` requests a second from a thread of its own between `with` and its end."""

    target: Target
    rate: float
    samples: list[Sample] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._stop = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def now(self) -> float:
        """Seconds since the load began: the time axis of the samples."""
        return time.monotonic() - self._began

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=self.target.timeout_seconds)
        running: set[asyncio.Task[None]] = set()
        async with aiohttp.ClientSession(timeout=timeout) as session:
            number, due = 0, self.now()
            while not self._stop.is_set():
                task = asyncio.create_task(self._one(session, stream=number % 2 == 1))
                running.add(task)
                task.add_done_callback(running.discard)
                number, due = number + 1, due + 1 / self.rate
                await asyncio.sleep(max(0.0, due - self.now()))
                if len(running) >= AT_ONCE:
                    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    due = self.now()  # what it could not send is not sent in a burst afterwards
            await asyncio.gather(*running)

    async def _one(self, session: aiohttp.ClientSession, *, stream: bool) -> None:
        self.samples.append(await ask(session, self.target, self._began, stream=stream))


async def ask(session: aiohttp.ClientSession, target: Target, began: float, *, stream: bool) -> Sample:
    """Send one request and read its answer to the end."""
    at = time.monotonic()
    body = {
        "model": target.model,
        "messages": [{"role": "user", "content": target.prompt}],
        "max_tokens": target.max_tokens,
        "stream": stream,
    }
    headers = {"Host": target.host} if target.host else {}
    status, version, first = 0, "", 0.0
    try:
        async with session.post(f"{target.url}/v1/chat/completions", json=body, headers=headers) as reply:
            status, version = reply.status, reply.headers.get(VERSION_HEADER, "")
            first = time.monotonic() - at
            text = await reply.text()
    except (aiohttp.ClientError, TimeoutError, OSError) as problem:
        return Sample(at - began, time.monotonic() - at, status, version, bool(status), repr(problem), first)
    error = "" if status == 200 else text[:200]
    whole = error != "" or _whole(text, stream=stream)
    return Sample(at - began, time.monotonic() - at, status, version, not whole, error, first)


def _whole(text: str, *, stream: bool) -> bool:
    """Whether an answer is whole: valid JSON, or a stream up to its end mark."""
    if stream:
        return text.rstrip().endswith("data: [DONE]")
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
