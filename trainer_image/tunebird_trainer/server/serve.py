"""The life of the process: listen at once, load, warm up, be ready; on SIGTERM drain, finish and leave with 0."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable

from aiohttp import web

from tunebird_trainer import __version__
from tunebird_trainer.server import metrics, source
from tunebird_trainer.server.answers import Served
from tunebird_trainer.server.chat import Chat
from tunebird_trainer.server.engine import Engine
from tunebird_trainer.server.generation import Generation, Prompt, Step, Times
from tunebird_trainer.server.model import LanguageModel, TransformersModel
from tunebird_trainer.server.requests import Sampling
from tunebird_trainer.server.settings import Settings
from tunebird_trainer.server.web_app import App, Serving

log = logging.getLogger(__name__)

_WARM_UP = ({"role": "user", "content": "Hello"},)


class Server:
    """`run` returns when the process may end; what it raises is why the model can't be served."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._serving = Serving()
        self._registry = metrics.registry()
        self._http_metrics = metrics.HttpMetrics(self._registry, settings.model_name, settings.model_version)
        self._engine: Engine | None = None
        self._stop = asyncio.Event()
        self.port = 0

    async def run(self) -> None:
        """Raises Failure if the model is absent, unusable or not the promised one."""
        _on_signals(self._stop.set)
        app = App(self._serving, self._registry, self._http_metrics, self._settings.model_version).build()
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = await self._listen(runner)
            if await self._loaded_before_stop():
                await self._stop.wait()
                await self._drain(site)
        finally:
            await runner.cleanup()
            await self._close()

    async def _listen(self, runner: web.AppRunner) -> web.TCPSite:
        site = web.TCPSite(runner, self._settings.host, self._settings.port)
        await site.start()
        self.port = runner.addresses[0][1]
        log.info("Listening host=%s port=%d", self._settings.host, self.port)
        return site

    async def _loaded_before_stop(self) -> bool:
        """Loads in a thread, so that probes are answered meanwhile. False if told to stop first."""
        loading = asyncio.create_task(self._load())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not loading.done():
            loading.cancel()
            return False
        await loading
        return True

    async def _load(self) -> None:
        began, settings = time.monotonic(), self._settings
        model, digest = await asyncio.to_thread(_loaded, settings)
        fingerprint = f"tunebird-{__version__}-{digest.removeprefix('sha256:')[:8]}"
        served = Served(settings.model_name, settings.model_uri, model.context, int(time.time()), fingerprint)
        engine_metrics = metrics.EngineMetrics(
            self._registry, settings.model_name, settings.model_version, model.context
        )
        self._engine = Engine(model, settings.limits, engine_metrics)
        self._serving.served = served
        self._serving.chat = Chat(model, self._engine, served, settings.faults, self._http_metrics)
        log.info("Ready model=%s digest=%s seconds=%.1f", settings.model_uri, digest, time.monotonic() - began)

    async def _drain(self, site: web.TCPSite) -> None:
        """Not ready at once; new requests are served a little longer, because endpoints lag behind readiness."""
        self._serving.draining = True
        log.info("Draining in_flight=%d", self._serving.in_flight)
        await asyncio.sleep(self._settings.drain_delay)
        await site.stop()
        await self._serving.idle(self._settings.shutdown_timeout)
        log.info("Drained in_flight=%d", self._serving.in_flight)

    async def _close(self) -> None:
        if self._serving.chat is not None:
            self._serving.chat.close()
        if self._engine is not None:
            await asyncio.to_thread(self._engine.close)


def _loaded(settings: Settings) -> tuple[LanguageModel, str]:
    path = source.directory(settings.model_uri)
    digest = source.verified(settings.model_uri, path, settings.model_digest)
    model = TransformersModel(source.merged_form(path), settings.limits.context)
    _warm_up(model)
    return model, digest


def _warm_up(model: LanguageModel) -> None:
    """A short answer, so that the first real one doesn't pay for lazy set-up."""
    prompt = Prompt(model.prompt(_WARM_UP), Sampling(0.0, 1.0, 2), time.monotonic())
    generation = Generation(prompt, _discard, Times(prompt.arrived))
    generation.start(model)
    while generation.advance().reason is None:
        pass


def _discard(_: Step) -> None:
    """Nobody reads the warm-up."""


def _on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
