"""The operator's own HTTP servers: /healthz, /readyz and /metrics on one port, progress reports on another."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tunebird.runtime.health import Heartbeat, Readiness
from tunebird.runtime.telemetry import Telemetry

SHUTDOWN_SECONDS = 2.0


class ListenError(Exception):
    """A port is taken or not ours to use; the message says which, why and what to do."""


def probes(heartbeat: Heartbeat, readiness: Readiness, telemetry: Telemetry) -> web.Application:
    """Probes answer 200 "ok", or 503 and why. An event loop that stands still answers nothing, which fails them too."""

    async def healthz(_: web.Request) -> web.Response:
        return _verdict(heartbeat.complaint())

    async def readyz(_: web.Request) -> web.Response:
        return _verdict(readiness.complaint())

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=telemetry.exposition(), headers={"Content-Type": "text/plain; version=0.0.4"})

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", metrics)
    return application


@asynccontextmanager
async def served(application: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve while the context lasts; gives the port, which with 0 is any free one. Raises `ListenError`."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await _started(site, host, port)
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def _started(site: web.TCPSite, host: str, port: int) -> None:
    try:
        await site.start()
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise ListenError(
            f"cannot listen on {host}:{port} ({why}): end what uses the port, or set TUNEBIRD_HTTP_LISTEN or "
            "TUNEBIRD_REPORT_LISTEN to a free one"
        ) from error


def _verdict(complaint: str) -> web.Response:
    return web.Response(status=503 if complaint else 200, text=f"{complaint or 'ok'}\n")
