"""Numbers from the servers' pods themselves: one scrape of each pod serves all measures."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp

from tunebird.metrics.exposition import Scrape, born, found, parsed, running
from tunebird.metrics.provider import Count, Counts, Lack, Measure, Missing, PodTarget, Query, Reading, Sample

MOST_BYTES = 16 * 1024 * 1024


class PodsProvider:
    """Scrapes ready pods side by side; each has its own deadline."""

    def __init__(self, session: aiohttp.ClientSession, path: str = "/metrics", timeout_seconds: float = 3.0) -> None:
        self._session = session
        self._path = path
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    async def sample(self, query: Query) -> Sample:
        """Counters by pod. A pod that does not answer keeps its last counters; its measures are then not fresh."""
        scrapes = await asyncio.gather(*(self._scrape(pod) for pod in query.pods))
        answers = tuple(zip(query.pods, scrapes, strict=True))
        return Sample({measure.name: _reading(measure, answers) for measure in query.measures})

    async def _scrape(self, pod: PodTarget) -> Scrape | Missing:
        url = f"http://{_host(pod.ip)}:{pod.port}{self._path}"
        try:
            async with self._session.get(url, timeout=self._timeout) as response:
                if response.status != 200:
                    return Missing(Lack.PROVIDER_ERROR, f"{pod.name}: {url} answers {response.status}")
                body = await response.content.read(MOST_BYTES)
                return parsed(body.decode())
        except TimeoutError:
            return Missing(Lack.PROVIDER_ERROR, f"{pod.name}: {url} did not answer in {self._timeout.total:g}s")
        except (aiohttp.ClientError, OSError) as error:
            return Missing(Lack.PROVIDER_ERROR, f"{pod.name}: {url}: {error}")
        except (ValueError, KeyError) as error:
            return Missing(Lack.PROVIDER_ERROR, f"{pod.name}: {url} is not in the Prometheus text format: {error}")


def _reading(measure: Measure, answers: Sequence[tuple[PodTarget, Scrape | Missing]]) -> Reading:
    """What the pods have counted: failures of those that answer count, even if others don't."""
    readings = [_pod_reading(measure, pod, scrape) for pod, scrape in answers]
    counts = tuple(reading for reading in readings if isinstance(reading, Count))
    lacking = next((reading for reading in readings if isinstance(reading, Missing)), None)
    if not counts:
        return lacking or Missing(Lack.NO_DATA, "no pod is ready")
    return Counts(counts, lacking)


def _pod_reading(measure: Measure, pod: PodTarget, scrape: Scrape | Missing) -> Count | Missing:
    if isinstance(scrape, Missing):
        return scrape
    count = found(scrape, measure)
    if isinstance(count, Missing):
        return Missing(count.lack, f"{pod.name}: {count.message}")
    return Count(pod.name, count.failures, count.total, born(scrape), running(scrape))


def _host(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip
