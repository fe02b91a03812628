"""A server in this process, on a scripted model or on a tiny real one."""

import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the trainer's environment is needed")

import torch
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from tunebird_trainer.models import Size, build_tiny
from tunebird_trainer.server import metrics
from tunebird_trainer.server.answers import Served
from tunebird_trainer.server.chat import Chat
from tunebird_trainer.server.engine import Engine
from tunebird_trainer.server.faults import Faults
from tunebird_trainer.server.model import LanguageModel, TransformersModel
from tunebird_trainer.server.requests import Defaults
from tunebird_trainer.server.settings import Limits
from tunebird_trainer.server.web_app import App, Serving

END = 0


@dataclass
class ScriptedModel:
    """Says `words` and ends, one token a word. `gate` holds each token back until it is released."""

    words: Sequence[str]
    context: int = 512
    ends: frozenset[int] = frozenset({END})
    defaults: Defaults = field(default_factory=Defaults)
    gate: threading.Semaphore | None = None

    def prompt(self, messages: Sequence[dict[str, Any]]) -> tuple[int, ...]:
        words = " ".join(message["content"] for message in messages).split()
        return (1,) * len(words)

    def new_cache(self) -> list[int]:
        return []

    def logits(self, tokens: Sequence[int], cache: list[int]) -> torch.Tensor:
        if self.gate is not None:
            self.gate.acquire()
        said = len(cache)
        cache.append(said)
        token = said + 1 if said < len(self.words) else END
        row = torch.full((len(self.words) + 1,), -1e9)
        row[token] = 0.0
        return row

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(self.words[token - 1] for token in tokens if token)


@dataclass
class Running:
    """A server to talk to, with its counts."""

    client: TestClient
    serving: Serving
    registry: CollectorRegistry

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of all samples of that name with those labels, as a scrape shows it."""
        response = await self.client.get("/metrics")
        families = text_string_to_metric_families(await response.text())
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    async def chat(self, **body: Any):
        headers = body.pop("headers", None)
        body = {"model": "support", "messages": [{"role": "user", "content": "hello there"}], **body}
        return await self.client.post("/v1/chat/completions", json=body, headers=headers)


Serve = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def serve() -> Serve:
    return _serve


@asynccontextmanager
async def _serve(
    model: LanguageModel,
    faults: Faults | None = None,
    limits: Limits | None = None,
    ready: bool = True,
    version: str = "r1",
) -> AsyncIterator[Running]:
    registry = metrics.registry()
    http_metrics = metrics.HttpMetrics(registry, "support", version)
    engine_metrics = metrics.EngineMetrics(registry, "support", version, model.context)
    engine = Engine(model, limits or Limits(running=4, waiting=8, context=None), engine_metrics)
    served = Served("support", "/models/smollm2", model.context, 1_700_000_000, "tunebird-test")
    chat = Chat(model, engine, served, faults or Faults(), http_metrics)
    serving = Serving(chat=chat, served=served) if ready else Serving()
    app = App(serving, registry, http_metrics, version).build()
    try:
        async with TestClient(TestServer(app)) as client:
            yield Running(client, serving, registry)
    finally:
        if isinstance(model, ScriptedModel) and model.gate is not None:
            model.gate.release(10_000)
        chat.close()
        engine.close()


@pytest.fixture
def say() -> Callable[..., ScriptedModel]:
    """say("one ", "two "): a model that says so."""
    return lambda *words, **more: ScriptedModel(words, **more)


@pytest.fixture(scope="session")
def tiny_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    size = Size(layers=2, hidden=64, vocabulary=512, positions=512)
    return build_tiny(tmp_path_factory.mktemp("models") / "tiny", size=size)


@pytest.fixture(scope="session")
def tiny(tiny_directory: Path) -> TransformersModel:
    return TransformersModel(tiny_directory, None)


@pytest.fixture(scope="session")
def recorded() -> Path:
    return Path(__file__).parent / "vllm-0.32"


def events(body: bytes) -> Iterator[dict[str, Any]]:
    """The JSON of each server-sent event, up to [DONE]."""
    for line in body.decode().split("\n\n"):
        if line and line != "data: [DONE]":
            yield json.loads(line.removeprefix("data: "))


@pytest.fixture
def parse_events() -> Callable[[bytes], list[dict[str, Any]]]:
    return lambda body: list(events(body))
