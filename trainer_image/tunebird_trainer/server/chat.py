"""The chat endpoint: one request from its body to the last byte of its answer."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from aiohttp import web

from tunebird_trainer.server import answers, errors, requests
from tunebird_trainer.server.answers import Ending, Head, Served, Usage
from tunebird_trainer.server.engine import Engine
from tunebird_trainer.server.errors import Refusal
from tunebird_trainer.server.faults import Faults
from tunebird_trainer.server.generation import Prompt, Reason, Step
from tunebird_trainer.server.json_response import json_response
from tunebird_trainer.server.metrics import HttpMetrics
from tunebird_trainer.server.model import LanguageModel, UnusableChat
from tunebird_trainer.server.requests import Asked

REQUEST_ID = web.RequestKey("request_id", str)
FAULT_ID = web.RequestKey("fault_id", str)

# A Go proxy in front that has not finished with the request's body when the answer begins closes the connection
# (https://go.dev/issue/40747). A model that has its first token sooner than this is one for tests.
SETTLED_SECONDS = 0.03

Steps = AsyncIterator[Step]


class Chat:
    """Answers `POST /v1/chat/completions` with one loaded model."""

    def __init__(self, model: LanguageModel, engine: Engine, served: Served, faults: Faults, metrics: HttpMetrics):
        self._model = model
        self._engine = engine
        self._served = served
        self._faults = faults
        self._metrics = metrics
        self._tokenizing = ThreadPoolExecutor(1, "tokenizer")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Raises Refusal."""
        arrived = time.monotonic()
        asked = requests.asked(await request.text(), self._served.name)
        prompt = await self._prompt(asked, arrived)
        await self._inject(request[FAULT_ID])
        head = Head(_answer_id(request), int(time.time()), self._served)
        async with self._steps(prompt) as steps:
            if asked.streams:
                return await self._stream(request, head, asked, prompt, steps)
            return await _whole(head, prompt, steps)

    def close(self) -> None:
        self._tokenizing.shutdown(wait=False, cancel_futures=True)

    async def _prompt(self, asked: Asked, arrived: float) -> Prompt:
        loop = asyncio.get_running_loop()
        try:
            tokens = await loop.run_in_executor(self._tokenizing, self._model.prompt, asked.messages)
        except UnusableChat as error:
            raise errors.invalid(f"{error}.", "messages", f"{len(asked.messages)} messages") from error
        sampling = requests.sampling(asked, len(tokens), self._model.context, self._model.defaults)
        return Prompt(tokens, sampling, arrived)

    async def _inject(self, fault_id: str) -> None:
        await asyncio.sleep(self._faults.delay)
        if self._faults.fails(fault_id):
            raise errors.internal("The server failed on purpose (--inject-errors).", "injected")

    @asynccontextmanager
    async def _steps(self, prompt: Prompt) -> AsyncIterator[Steps]:
        """The steps of one generation; it is cancelled if the block is left before the last."""
        loop, received = asyncio.get_running_loop(), asyncio.Queue[Step]()
        generation = self._engine.submit(prompt, lambda step: loop.call_soon_threadsafe(received.put_nowait, step))
        try:
            yield _until_last(received)
        finally:
            self._engine.cancel(generation)

    async def _stream(
        self, request: web.Request, head: Head, asked: Asked, prompt: Prompt, steps: Steps
    ) -> web.StreamResponse:
        first = await anext(steps)
        if first.reason is Reason.ERROR:
            raise _generation_failed()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        # Not before the first token, so that an error can still have its status.
        await asyncio.sleep(prompt.arrived + SETTLED_SECONDS - time.monotonic())
        await response.prepare(request)
        await response.write(answers.event(answers.first_chunk(head)))
        cut_after, sent, tokens = self._faults.cut_after(request[FAULT_ID]), 0, 0
        async for step in _preceded(first, steps):
            if step.reason is Reason.ERROR:
                return await self._failed(response)
            if sent == cut_after or (cut_after is not None and step.reason):
                return self._cut(request, response)
            tokens = step.tokens
            if step.text or step.reason:
                sent += 1
                await response.write(answers.event(answers.chunk(head, step.text, _ending(step))))
        if asked.wants_usage:
            await response.write(answers.event(answers.usage_chunk(head, Usage(len(prompt.tokens), tokens))))
        await response.write(answers.DONE)
        return response

    def _cut(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        """Ends the connection without ending the stream, as a crash would."""
        self._metrics.cut()
        if request.transport is not None:
            request.transport.abort()
        return response

    async def _failed(self, response: web.StreamResponse) -> web.StreamResponse:
        self._metrics.failed("internal")
        await response.write(answers.event(_generation_failed().body()) + answers.DONE)
        return response


async def _whole(head: Head, prompt: Prompt, steps: Steps) -> web.Response:
    taken = [step async for step in steps]
    last = taken[-1]
    if last.reason is Reason.ERROR:
        raise _generation_failed()
    ending = _ending(last)
    assert ending is not None
    text, usage = "".join(step.text for step in taken), Usage(len(prompt.tokens), last.tokens)
    return json_response(answers.completion(head, text, ending, usage))


async def _until_last(received: asyncio.Queue[Step]) -> Steps:
    while True:
        step = await received.get()
        yield step
        if step.reason is not None:
            return


async def _preceded(first: Step, rest: Steps) -> Steps:
    yield first
    if first.reason is None:
        async for step in rest:
            yield step


def _ending(step: Step) -> Ending | None:
    return Ending(step.reason.value, step.stop) if step.reason else None


def _generation_failed() -> Refusal:
    return errors.internal("Generation failed; the server's log says why.", "internal")


def _answer_id(request: web.Request) -> str:
    """After the client's own request id if it sent one."""
    return f"chatcmpl-{request.headers.get('X-Request-Id') or uuid.uuid4().hex[:16]}"
