"""Prometheus: a real server that scrapes a small exporter, and every odd answer of its API."""

import asyncio
import json
import shutil
import time
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from fakes.ports import free_port
from tunebird.metrics.prometheus import PrometheusProvider, with_selector
from tunebird.metrics.provider import Counts, Lack, Measure, Missing, Preset, PrometheusSource, Query, Value

ERRORS = Measure("errors", Preset.ERROR_RATE)
CUSTOM = Measure("custom", good="good_total{{selector}}", total="all_total{{selector}}")
QUEUE = Measure("queue", query="max(queue{{selector}})")


@asynccontextmanager
async def served(handler, path):
    app = web.Application()
    app.router.add_get(path, handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def readings(port, *measures, secret=None):
    source = PrometheusSource("prom", f"http://127.0.0.1:{port}", 1.0)
    query = Query("ml", "vllm", measures, "support-abc", ())
    return (await PrometheusProvider(source, secret or {}).sample(query)).readings


async def reading_of(body, measure, *, status=200):
    async def api(_):
        return web.Response(text=body if isinstance(body, str) else json.dumps(body), status=status)

    async with served(api, "/api/v1/query") as port:
        return (await readings(port, measure))[measure.name]


def vector(*values, labels=({"pod": "support-abc-1"},)):
    pairs = zip(labels * len(values), values, strict=False)
    result = [{"metric": label, "value": [0, value]} for label, value in pairs]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


async def test_a_value_is_read():
    assert await reading_of(vector("12.5"), QUEUE) == Value(12.5)


@pytest.mark.parametrize("measure", [QUEUE, ERRORS, CUSTOM])
@pytest.mark.parametrize(
    ("body", "status", "lack"),
    [
        (vector("NaN"), 200, Lack.NAN),
        (vector("+Inf"), 200, Lack.NAN),
        (vector(), 200, Lack.NO_DATA),
        (vector("1"), 503, Lack.PROVIDER_ERROR),
        ("<html>", 200, Lack.PROVIDER_ERROR),
        ({"status": "success", "data": {"resultType": "scalar", "result": [0, "1"]}}, 200, Lack.PROVIDER_ERROR),
        ({"status": "success", "data": {"resultType": "string", "result": "x"}}, 200, Lack.PROVIDER_ERROR),
    ],
)
async def test_every_odd_answer_has_its_own_reason(measure, body, status, lack):
    reading = await reading_of(body, measure, status=status)
    assert isinstance(reading, Missing)
    assert reading.lack is lack


async def test_a_server_that_does_not_answer_in_time_is_a_provider_error():
    async def api(_):
        await asyncio.sleep(30)
        return web.Response()

    async with served(api, "/api/v1/query") as port:
        reading = (await readings(port, QUEUE))["queue"]
    assert isinstance(reading, Missing)
    assert reading.lack is Lack.PROVIDER_ERROR


async def test_a_value_of_many_series_is_refused():
    reading = await reading_of(vector("1", "2"), QUEUE)
    assert isinstance(reading, Missing)
    assert "2 series" in reading.message


async def test_a_token_is_sent():
    seen = []

    async def api(request):
        seen.append(request.headers.get("Authorization"))
        return web.json_response(vector("1"))

    async with served(api, "/api/v1/query") as port:
        await readings(port, QUEUE, secret={"token": "abc"})
    assert seen == ["Bearer abc"]


def test_the_selector_fits_inside_and_outside_braces():
    assert with_selector("up{{selector}}", 'a="b"') == 'up{a="b"}'
    assert with_selector('up{job="x",{{selector}}}', 'a="b"') == 'up{job="x",a="b"}'


EXPOSED = """# TYPE http_requests_total counter
http_requests_total{handler="/v1/completions",method="POST",status="2xx"} 8
http_requests_total{handler="/v1/completions",method="POST",status="5xx"} 2
# TYPE good_total counter
good_total 30
# TYPE all_total counter
all_total 40
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{le="0.5"} 7
vllm:time_to_first_token_seconds_bucket{le="+Inf"} 9
vllm:time_to_first_token_seconds_count 9
vllm:time_to_first_token_seconds_sum 4
queue 3
"""


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not installed")
async def test_a_real_prometheus_answers_presets_counters_and_values(tmp_path):
    async def metrics(_):
        return web.Response(text=EXPOSED)

    async with served(metrics, "/metrics") as exporter:
        labels = {"namespace": "ml", "pod": "support-abc-1"}
        job = {"job_name": "x", "static_configs": [{"targets": [f"127.0.0.1:{exporter}"], "labels": labels}]}
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}
        (tmp_path / "prometheus.yml").write_text(json.dumps(config))
        port = free_port()
        process = await asyncio.create_subprocess_exec(
            "prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
        )  # fmt: skip
        try:
            found = await _when_scraped(port)
        finally:
            process.terminate()
            await process.wait()
    assert {item.source: (item.failures, item.total) for item in found["errors"].by_source} == {
        "support-abc-1": (2, 10)
    }
    assert [(item.failures, item.total) for item in found["ttft"].by_source] == [(2, 9)]
    assert [(item.failures, item.total) for item in found["custom"].by_source] == [(10, 40)]
    assert found["queue"] == Value(3)


async def _when_scraped(port):
    """Ask until the first scrape is stored (at most a minute)."""
    end = time.monotonic() + 60
    while True:
        found = await readings(port, ERRORS, Measure("ttft", Preset.TTFT, 0.5), CUSTOM, QUEUE)
        if (isinstance(found["errors"], Counts) and isinstance(found["custom"], Counts)) or time.monotonic() > end:
            return found
        await asyncio.sleep(0.2)
