"""The web application: routes, headers and error bodies that every answer shares, and what is counted about them."""

import asyncio
import itertools
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from tunebird_trainer import __version__
from tunebird_trainer.server import answers, errors
from tunebird_trainer.server.chat import FAULT_ID, REQUEST_ID, Chat
from tunebird_trainer.server.errors import Refusal
from tunebird_trainer.server.json_response import json_response
from tunebird_trainer.server.metrics import HttpMetrics

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
VERSION_HEADER = "x-tunebird-model-version"
_UNCOUNTED = frozenset({"/health", "/ready", "/metrics", "/version", "/load"})
_LARGEST_BODY = 8 * 2**20


@dataclass(slots=True)
class Serving:
    """What the process can do right now. `chat` is None until the model is loaded and has answered once."""

    chat: Chat | None = None
    served: answers.Served | None = None
    why_not_ready: str = "the model is being loaded"
    draining: bool = False
    in_flight: int = 0
    _left: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def ready(self) -> bool:
        return self.chat is not None and not self.draining

    @asynccontextmanager
    async def one_more(self) -> AsyncIterator[None]:
        """Counts a request as in flight."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            async with self._left:
                self._left.notify_all()

    async def idle(self, timeout_seconds: float) -> None:
        """Returns when no request is in flight, or when the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds), self._left:
                await self._left.wait_for(lambda: not self.in_flight)


class App:
    """Handlers over one `Serving`."""

    def __init__(self, serving: Serving, registry: CollectorRegistry, metrics: HttpMetrics, model_version: str):
        self._serving = serving
        self._registry = registry
        self._metrics = metrics
        self._model_version = model_version
        self._numbers = itertools.count(1)

    def build(self) -> web.Application:
        app = web.Application(middlewares=[self._observed, _shaped], client_max_size=_LARGEST_BODY)
        app.on_response_prepare.append(self._add_headers)
        app.router.add_get("/health", self._health)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", self._scrape)
        app.router.add_get("/version", self._version)
        app.router.add_get("/load", self._load)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        return app

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _ready(self, _: web.Request) -> web.Response:
        if self._serving.ready:
            return web.Response(text="ready\n")
        why = "draining" if self._serving.draining else self._serving.why_not_ready
        return web.Response(status=503, text=f"{why}\n")

    async def _scrape(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def _version(self, _: web.Request) -> web.Response:
        return json_response({"version": __version__})

    async def _load(self, _: web.Request) -> web.Response:
        return json_response({"server_load": self._serving.in_flight})

    async def _models(self, _: web.Request) -> web.Response:
        if self._serving.served is None:
            raise errors.not_ready(self._serving.why_not_ready)
        return json_response(answers.models(self._serving.served))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        if self._serving.chat is None:
            raise errors.not_ready(self._serving.why_not_ready)
        async with self._serving.one_more():
            return await self._serving.chat.handle(request)

    @web.middleware
    async def _observed(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Names the request, turns refusals into answers and counts both."""
        given = request.headers.get("X-Request-Id")
        request[REQUEST_ID] = given or uuid.uuid4().hex
        request[FAULT_ID] = given or str(next(self._numbers))
        began = time.monotonic()
        response = await self._answered(request, handler)
        self._count(request, response, time.monotonic() - began)
        return response

    async def _answered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refusal as refusal:
            if refusal.status >= 500:
                self._metrics.failed(refusal.cause)
            headers = {"Retry-After": "1"} if refusal.status == 503 else None
            return json_response(refusal.body(), refusal.status, headers)
        except ConnectionError:
            raise  # the client went away: there is nobody to answer
        except Exception:  # the outermost frame of a request: the client gets a body, the log the traceback
            log.exception("Request failed path=%s", request.path)
            self._metrics.failed("internal")
            refusal = errors.internal("The request failed; the server's log says why.", "internal")
            return json_response(refusal.body(), 500)

    def _count(self, request: web.Request, response: web.StreamResponse, seconds: float) -> None:
        handler = _handler_name(request)
        if handler in _UNCOUNTED:
            return
        self._metrics.answered(request.method, handler, response.status, seconds)
        body = response.body if isinstance(response, web.Response) else None
        sent = len(body) if isinstance(body, bytes | bytearray) else 0
        self._metrics.sized(handler, request.content_length or 0, sent)

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        if self._model_version:
            response.headers[VERSION_HEADER] = self._model_version
        response.headers["x-request-id"] = request[REQUEST_ID] if REQUEST_ID in request else uuid.uuid4().hex
        if self._serving.draining:
            response.headers["Connection"] = "close"  # the next request must find another pod
            response.force_close()


@web.middleware
async def _shaped(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The framework's own errors (no such path, wrong method, body too large), in vLLM's words."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        detail: dict[str, Any] = {"detail": error.reason}
        return json_response(detail, error.status, headers)


def _handler_name(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource else "none"
