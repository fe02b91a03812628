"""A client of OpenAI's chat API, for vLLM, our own server and judges. What can't be had becomes an answer with an
error, never an exception: the checks then say inconclusive."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from tunebird_checks.answers import Answer, ToolCall
from tunebird_checks.toolcalls import parsed

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    import aiohttp

_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_LARGEST_BODY = 8 * 2**20
_LONGEST_WAIT_SECONDS = 20.0
_LEAST_LOST = 4  # questions without an answer before an endpoint is given up


@dataclass(frozen=True, slots=True)
class Target:
    """Where to ask. An empty `model` takes the first that the endpoint lists."""

    url: str
    model: str = ""
    api_key: str = ""
    concurrency: int = 8
    timeout_seconds: float = 120.0
    retries: int = 3
    backoff_seconds: float = 0.5


@dataclass(frozen=True, slots=True)
class Generation:
    """Temperature 0 is greedy; `samples` answers a case, each with its own seed."""

    temperature: float = 0.0
    max_tokens: int = 256
    samples: int = 1
    seed: int = 0


class Refused(Exception):  # noqa: N818  the endpoint's answer, not a fault here
    """The endpoint answered with a status that another try does not change."""


class _Unanswered(Exception):  # noqa: N818  as above
    """Another try may help, after `wait` seconds where the endpoint named them."""

    def __init__(self, said: str, wait: float | None = None) -> None:
        super().__init__(said)
        self.wait = wait


class Chat:
    """One open session; use it as an async context manager. `tried` is called after each request, whatever came of it.

    After as many questions in a row without an answer, each with all its tries, as are asked at once, the endpoint is
    given up: the others are not asked, or a suite would wait for hours on a judge that is gone.
    """

    def __init__(self, target: Target, tried: Callable[[], None] = lambda: None) -> None:
        self.target = target
        self._tried = tried
        self._lost = 0  # questions in a row without an answer
        self._root = _root(target.url)
        self._model = target.model
        self._gate = asyncio.Semaphore(target.concurrency)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        import aiohttp

        headers = {"Authorization": f"Bearer {self.target.api_key}"} if self.target.api_key else {}
        timeout = aiohttp.ClientTimeout(total=self.target.timeout_seconds)
        self._session = aiohttp.ClientSession(headers=headers, timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def ask(
        self, turns: tuple[dict[str, Any], ...], generation: Generation, tools: tuple[Any, ...] = (), sample: int = 0
    ) -> Answer:
        body: dict[str, Any] = {"messages": list(turns), "max_tokens": generation.max_tokens,
                                "temperature": generation.temperature}  # fmt: skip
        if generation.temperature:
            body["seed"] = generation.seed + sample
        if tools:
            body["tools"] = list(tools)
        async with self._gate:
            if self._lost >= max(_LEAST_LOST, self.target.concurrency):
                return Answer("", error=f"{self._root} was given up after {self._lost} questions without an answer")
            return await self._asked(body)

    async def _asked(self, body: dict[str, Any]) -> Answer:
        error, wait = "", None
        for attempt in range(self.target.retries + 1):
            if attempt:
                await asyncio.sleep(
                    min(_LONGEST_WAIT_SECONDS, wait or self.target.backoff_seconds * 2 ** (attempt - 1))
                )
            try:
                answer = await self._once(body)
                self._lost = 0
                return answer
            except Refused as refused:
                self._lost = 0
                return Answer("", error=str(refused))
            except _Unanswered as lost:
                error, wait = str(lost), lost.wait
            finally:
                self._tried()
        self._lost += 1
        return Answer("", error=error)

    async def _once(self, body: dict[str, Any]) -> Answer:
        """Raises _Unanswered where another try may help, Refused where none does."""
        import aiohttp

        began = time.monotonic()
        try:
            body["model"] = await self._name()
            status, content, wait = await self._post(body)
            if status == 200:
                return _answer(content, time.monotonic() - began)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as failed:
            raise _Unanswered(f"{self._root}: {str(failed) or type(failed).__name__}") from failed
        said = f"{self._root} answered {status}: {_told(content)}"
        raise _Unanswered(said, wait) if status in _RETRIED else Refused(said)

    async def _post(self, body: dict[str, Any]) -> tuple[int, bytes, float | None]:
        assert self._session is not None
        async with self._session.post(f"{self._root}/chat/completions", json=body) as response:
            content = await _bounded(response)
            after = response.headers.get("Retry-After", "")
            return response.status, content, float(after) if after.isdigit() else None

    async def _name(self) -> str:
        if not self._model:
            assert self._session is not None
            async with self._session.get(f"{self._root}/models") as response:
                content = await _bounded(response)
                if response.status in _RETRIED:
                    raise ConnectionError(f"{self._root}/models answered {response.status}")
                if response.status != 200:
                    raise Refused(f"{self._root}/models answered {response.status}: {_told(content)}")
            self._model = str(json.loads(content)["data"][0]["id"])
        return self._model


def _root(url: str) -> str:
    """Up to and with the version, whichever of the usual ways the endpoint is named."""
    trimmed = url.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    if urlsplit(trimmed).scheme not in ("http", "https"):
        raise ValueError(f"endpoint {url!r} is not an http:// or https:// address")
    return trimmed if urlsplit(trimmed).path else f"{trimmed}/v1"


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for part in response.content.iter_chunked(65536):
        content += part
        if len(content) > _LARGEST_BODY:
            raise ValueError(f"the body is larger than {_LARGEST_BODY} bytes")
    return bytes(content)


def _answer(content: bytes, seconds: float) -> Answer:
    """Raises ValueError for a body that is no completion."""
    try:
        body = json.loads(content)
        choice = body["choices"][0]
        message = choice["message"]
        found = [parsed(call.get("function")) for call in message.get("tool_calls") or []]
        calls = tuple(call for call in found if isinstance(call, ToolCall))
        tokens = int((body.get("usage") or {}).get("completion_tokens") or 0)
        text = message.get("content") or ""
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"the body is no chat completion ({type(error).__name__}: {error})") from error
    if not isinstance(text, str):
        raise ValueError(f"the message's content is {type(text).__name__}, not text")
    return Answer(text, calls, str(choice.get("finish_reason") or ""), tokens, seconds)


def _told(content: bytes) -> str:
    return " ".join(content.decode(errors="replace").split())[:200]
