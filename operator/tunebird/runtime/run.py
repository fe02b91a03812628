"""The life of the operator: log in, find the CRDs, take the Lease, run the loops, and leave things in order."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import kopf

from tunebird.config import Config
from tunebird.kube.children import Children
from tunebird.kube.client import KubeApi
from tunebird.kube.errors import KubeError, Unavailable
from tunebird.kube.login import Login, login
from tunebird.kube.meta import FINE_TUNE_JOB, LEASE, MODEL_ROLLOUT, Ref
from tunebird.kube.rest import RestKube
from tunebird.runtime import kopf_settings
from tunebird.runtime.app import App
from tunebird.runtime.cache import ChildrenCache, keep_swept
from tunebird.runtime.health import Heartbeat, Readiness, Stage
from tunebird.runtime.http import probes, served
from tunebird.runtime.lease import Leadership, Lost, lease_name
from tunebird.runtime.loop import Loops, LoopSettings, Reconciler, Shared
from tunebird.runtime.reports import ReportEndpoint, ReportStore, Tokens
from tunebird.runtime.telemetry import Telemetry

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
PASSES_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Parts:
    """What reconcilers are made of."""

    config: Config
    api: KubeApi
    children: Children
    reports: ReportStore
    clock: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Reconcilers:
    """One for each kind."""

    finetunejobs: Reconciler
    modelrollouts: Reconciler


Build = Callable[[Parts], AbstractAsyncContextManager[Reconcilers]]


def utc_now() -> datetime:
    """The operator's clock."""
    return datetime.now(UTC)


async def run(config: Config, build: Build, registry: kopf.OperatorRegistry) -> int:
    """Run until SIGTERM (0), or until the Lease is lost or kopf fails (1)."""
    operator = Operator(config, build, registry)
    application = probes(operator.heartbeat, operator.readiness, operator.telemetry)
    async with served(application, config.http_listen.host, config.http_listen.port) as port:
        log.info("Serving probes and metrics", extra={"port": port})
        return await _until_signalled(operator.lead())


async def _until_signalled(work: Coroutine[None, None, None]) -> int:
    """Before kopf runs, which takes the signals over, a signal just cancels."""
    task = asyncio.create_task(work, name="operator")
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return 0
    except (Lost, KubeError) as error:
        log.error("Stopped acting", extra={"error": str(error)})
        return 1
    return 0


class Operator:
    """One process's attempt to be the operator."""

    def __init__(self, config: Config, build: Build, registry: kopf.OperatorRegistry) -> None:
        self._config = config
        self._build = build
        self._registry = registry
        self.heartbeat = Heartbeat()
        self.readiness = Readiness()
        self.telemetry = Telemetry()

    async def lead(self) -> None:
        """Get ready, wait for the Lease, work, hand the Lease over. Raises `Lost`."""
        access = await _logged_in()
        async with RestKube(access, clock=utc_now) as unfenced:
            await _cluster_ready(unfenced)
            self.readiness.reached(Stage.CLUSTER)
            lease = Ref(LEASE, self._config.namespace, lease_name(self._config.watch_namespaces))
            leadership = Leadership(unfenced, lease, self._config.identity)
            await leadership.acquire()
            try:
                await self._work(access, leadership)
            finally:
                self.readiness.lost(Stage.LEASE)
                self.telemetry.leader.set(0)
                await leadership.release()

    async def _work(self, access: Login, leadership: Leadership) -> None:
        """All that only the holder of the Lease does."""
        async with AsyncExitStack() as stack:
            holding = await _owned(stack, leadership.hold(), "lease")
            api = await stack.enter_async_context(RestKube(access, clock=utc_now, permit=leadership.permit))
            app = await self._app(stack, api)
            await app.children.sweep(api, self._config.watch_namespaces)
            await self._background(stack, api, app)
            self.readiness.reached(Stage.LEASE)
            self.telemetry.leader.set(1)
            await self._watch(app, holding)

    async def _app(self, stack: AsyncExitStack, api: KubeApi) -> App:
        def wake(uid: str) -> None:
            app.finetunejobs.wake(uid)

        children, reports = ChildrenCache(), ReportStore(wake)
        parts = Parts(self._config, api, children, reports, utc_now)
        reconcilers = await stack.enter_async_context(self._build(parts))
        passes = asyncio.Semaphore(PASSES_AT_ONCE)
        settings = LoopSettings(resync=self._config.resync_seconds)
        shared = Shared(self.telemetry, self.heartbeat, passes, settings)
        app = App(
            finetunejobs=Loops(FINE_TUNE_JOB.kind, reconcilers.finetunejobs, shared),
            modelrollouts=Loops(MODEL_ROLLOUT.kind, reconcilers.modelrollouts, shared),
            children=children,
            reports=reports,
        )
        return app

    async def _background(self, stack: AsyncExitStack, api: KubeApi, app: App) -> None:
        await _owned(stack, keep_swept(app.children, api, self._config.watch_namespaces, app.wake), "sweep")
        await _owned(stack, self.telemetry.watch_event_loop(), "event loop lag")
        endpoint = ReportEndpoint(Tokens(api), app.children, app.reports, utc_now, self.telemetry)
        listen = self._config.report_listen
        port = await stack.enter_async_context(served(endpoint.application(), listen.host, listen.port))
        log.info("Taking progress reports", extra={"port": port})

    async def _watch(self, app: App, holding: asyncio.Task[None]) -> None:
        """Run kopf until it ends by a signal, or until the Lease is lost."""
        namespaces = self._config.watch_namespaces
        holding.add_done_callback(lambda _: app.stopping.set())
        await kopf.operator(
            registry=self._registry,
            settings=kopf_settings.settings(),
            memo=kopf.Memo(app=app),
            clusterwide=not namespaces,
            namespaces=namespaces,
            standalone=True,
            stop_flag=app.stopping,
        )
        if holding.done():
            holding.result()


async def _owned(stack: AsyncExitStack, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
    """Start a task that ends with the stack."""
    task = asyncio.create_task(work, name=name)
    stack.push_async_callback(_ended, task)
    return task


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, Lost):
        await task


async def _logged_in() -> Login:
    """Log in, however long it takes."""
    told = ""
    while True:
        try:
            return await login()
        except Unavailable as error:
            if str(error) != told:
                log.warning("Waiting for credentials", extra={"error": str(error)})
            told = str(error)
        await asyncio.sleep(RETRY_SECONDS)


async def _cluster_ready(api: RestKube) -> None:
    """Wait for the API server and for both CRDs."""
    told = ""
    while missing := await _missing(api):
        if missing != told:
            log.warning("Waiting for the cluster", extra={"missing": missing})
        told = missing
        await asyncio.sleep(RETRY_SECONDS)


async def _missing(api: RestKube) -> str:
    try:
        absent = [kind.kind for kind in (FINE_TUNE_JOB, MODEL_ROLLOUT) if not await api.serves(kind)]
    except KubeError as error:
        return str(error)
    return f"the CRDs of {' and '.join(absent)}: kubectl apply --server-side -f crds/" if absent else ""
