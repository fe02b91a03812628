"""Scrapes of pods over a real socket: good answers, and each kind of bad one."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

from tunebird.metrics.pods import PodsProvider
from tunebird.metrics.provider import Counts, Lack, Measure, Missing, PodTarget, Preset, Query

TEXT = """# TYPE http_requests_total counter
http_requests_total{handler="/v1/completions",method="POST",status="2xx"} 8
http_requests_total{handler="/v1/completions",method="POST",status="5xx"} 2
process_start_time_seconds 1000
"""


async def answer(handler):
    """The sample of one pod whose /metrics is `handler`."""
    app = web.Application()
    app.router.add_get("/metrics", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        return await ask([PodTarget("a-1", "127.0.0.1", port)])
    finally:
        await runner.cleanup()


async def ask(pods):
    async with aiohttp.ClientSession() as session:
        query = Query("default", "tunebird", (Measure("errors", Preset.ERROR_RATE),), "a", tuple(pods))
        return (await PodsProvider(session, timeout_seconds=0.5).sample(query)).readings["errors"]


async def test_counters_come_by_pod():
    async def metrics(_):
        return web.Response(text=TEXT)

    reading = await answer(metrics)
    assert isinstance(reading, Counts)
    assert [(item.source, item.failures, item.total, item.born) for item in reading.by_source] == [("a-1", 2, 10, 1000)]


async def unavailable(_):
    return web.Response(status=500)


async def nonsense(_):
    return web.Response(text="{not metrics}}")


async def never(_):
    await asyncio.sleep(30)
    return web.Response()


@pytest.mark.parametrize(
    ("handler", "words"), [(unavailable, "answers 500"), (nonsense, "text format"), (never, "0.5s")]
)
async def test_trouble_is_a_provider_error_with_its_cause(handler, words):
    reading = await answer(handler)
    assert isinstance(reading, Missing)
    assert reading.lack is Lack.PROVIDER_ERROR
    assert words in reading.message


async def test_a_pod_that_nobody_answers_for_is_a_provider_error():
    reading = await ask([PodTarget("a-1", "127.0.0.1", 1)])
    assert isinstance(reading, Missing)
    assert reading.lack is Lack.PROVIDER_ERROR


async def test_without_ready_pods_there_is_no_data():
    reading = await ask([])
    assert isinstance(reading, Missing)
    assert reading.lack is Lack.NO_DATA


async def test_failures_of_one_pod_count_although_another_does_not_answer():
    async def metrics(_):
        return web.Response(text=TEXT)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        port = runner.addresses[0][1]
        reading = await ask([PodTarget("a-1", "127.0.0.1", port), PodTarget("a-2", "127.0.0.1", 1)])
    finally:
        await runner.cleanup()
    assert isinstance(reading, Counts)
    assert reading.by_source[0].failures == 2
    assert reading.lacking is not None
    assert reading.lacking.lack is Lack.PROVIDER_ERROR
