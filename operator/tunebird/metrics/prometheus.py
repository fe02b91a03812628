"""Numbers from a Prometheus-compatible API, through its client library in a thread with a deadline."""

from __future__ import annotations

import asyncio
import base64
import re
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from math import isfinite, isnan
from pathlib import Path
from typing import Any, Protocol

from tunebird.metrics.presets import FINISHED, HISTOGRAMS, OWN_ERRORS, RESPONSES, USER_HANDLERS
from tunebird.metrics.provider import (
    Count,
    Counts,
    Lack,
    Measure,
    Missing,
    Preset,
    PrometheusSource,
    Query,
    Reading,
    Sample,
    Value,
)

SELECTOR = "{{selector}}"
_BARE = re.compile(r"(?<=[A-Za-z0-9_:])\{\{selector\}\}")
Series = Sequence[Mapping[str, Any]]


class Client(Protocol):
    """The one call of prometheus-api-client that is used."""

    def custom_query(self, query: str) -> Any:
        """The result of an instant query."""


class PrometheusProvider:
    """Presets are asked by pod, so that restarts are seen; custom counters by whatever series they give."""

    def __init__(self, source: PrometheusSource, secret: Mapping[str, str]) -> None:
        self._source = source
        self._secret = dict(secret)

    async def sample(self, query: Query) -> Sample:
        """Each measure on its own: one that fails does not spoil the others."""
        readings = await asyncio.gather(*(self._reading(measure, query) for measure in query.measures))
        return Sample({measure.name: reading for measure, reading in zip(query.measures, readings, strict=True)})

    async def _reading(self, measure: Measure, query: Query) -> Reading:
        selector = f'namespace="{query.namespace}",pod=~"{query.workload}-.+"'
        if measure.query:
            return _value(measure, await self._ask(with_selector(measure.query, selector)))
        bad, total = queries(measure, selector)
        of_bad, of_total = await asyncio.gather(self._ask(bad), self._ask(total))
        return _counts(measure, of_bad, of_total)

    async def _ask(self, promql: str) -> Series | Missing:
        try:
            async with asyncio.timeout(self._source.timeout + 1):
                result = await asyncio.to_thread(self._client.custom_query, promql)
        except TimeoutError:
            return Missing(Lack.PROVIDER_ERROR, f"{self._source.address} did not answer in {self._source.timeout:g}s")
        except Exception as error:  # noqa: BLE001  the library lets requests' and json's errors through, and its own
            return Missing(Lack.PROVIDER_ERROR, f"{self._source.address}: {str(error)[:300]}")
        if not isinstance(result, list) or not all(isinstance(item, Mapping) and "value" in item for item in result):
            return Missing(Lack.PROVIDER_ERROR, f"{promql} gives no instant vector but {str(result)[:80]}")
        return result

    @cached_property
    def _client(self) -> Client:
        """Made on first use: who names no Prometheus does not pay for the library. Retries are the next round's."""
        from prometheus_api_client import PrometheusConnect
        from requests import Session
        from urllib3 import Retry

        session = Session()
        session.trust_env = False
        session.verify = _file(self._secret["ca.crt"]) if "ca.crt" in self._secret else True
        client: Client = PrometheusConnect(
            url=self._source.address.rstrip("/"),
            headers=_headers(self._secret),
            retry=Retry(total=0),
            session=session,
            timeout=max(1, round(self._source.timeout)),
        )
        return client


def with_selector(promql: str, selector: str) -> str:
    """``name{{selector}}`` gets braces of its own; inside braces it is only the matchers."""
    return _BARE.sub(f"{{{selector}}}", promql).replace(SELECTOR, selector)


def queries(measure: Measure, selector: str) -> tuple[str, str]:
    """PromQL for failures and events of a measure. Custom ones say good and total; failures are the difference."""
    match measure.preset:
        case None:
            good, total = (with_selector(text, selector) for text in (measure.good, measure.total))
            return f"({total}) - ({good})", total
        case Preset.ERROR_RATE:
            return _error_queries(selector)
        case Preset.RUNAWAY:
            runaway = f'{FINISHED}_total{{{selector},finished_reason=~"length|repetition"}}'
            return f"sum by (pod) ({runaway})", f"sum by (pod) ({FINISHED}_total{{{selector}}})"
        case preset:
            name = HISTOGRAMS[preset]
            total = f"sum by (pod) ({name}_count{{{selector}}})"
            bounds = {f"{measure.within:g}", str(float(measure.within or 0))}
            fast = f'sum by (pod) ({name}_bucket{{{selector},le=~"{"|".join(sorted(bounds))}"}})'
            return f"{total} - {fast}", total


def _error_queries(selector: str) -> tuple[str, str]:
    users = f'{selector},method="POST",handler=~"{USER_HANDLERS}.*"'
    total = f'sum by (pod) ({RESPONSES}_total{{{users},status=~"2xx|5xx"}})'
    own = " + ".join(f"sum by (pod) ({name}_total{{{selector}}})" for name in OWN_ERRORS)
    answered = f'sum by (pod) ({RESPONSES}_total{{{users},status="5xx"}})'
    return f"({own}) or {answered} or {total} * 0", total


def _counts(measure: Measure, bad: Series | Missing, total: Series | Missing) -> Reading:
    for answer in (bad, total):
        if isinstance(answer, Missing):
            return answer
    assert not isinstance(bad, Missing)
    assert not isinstance(total, Missing)
    failures = {_source(item): _number(item) for item in bad}
    events = {_source(item): _number(item) for item in total}
    if not events:
        return Missing(Lack.NO_DATA, f"{measure.name}: Prometheus has no series for these pods")
    if set(failures) != set(events):
        return Missing(Lack.NO_DATA, f"{measure.name}: good and total have different series; sum both by one label")
    odd = next((name for name in events if not _finite(failures[name]) or not _finite(events[name])), None)
    if odd is not None:
        return Missing(Lack.NAN, f"{measure.name} of {odd} is {failures[odd]} of {events[odd]}")
    return Counts(tuple(Count(name, failures[name], events[name]) for name in sorted(events)))


def _value(measure: Measure, answer: Series | Missing) -> Reading:
    if isinstance(answer, Missing):
        return answer
    if not answer:
        return Missing(Lack.NO_DATA, f"{measure.name}: the query gives no series")
    if len(answer) > 1:
        return Missing(Lack.PROVIDER_ERROR, f"{measure.name}: the query gives {len(answer)} series, it must give one")
    number = _number(answer[0])
    if not _finite(number):
        return Missing(Lack.NAN, f"{measure.name} is {number}")
    return Value(number)


def _finite(number: float) -> bool:
    return isfinite(number) and not isnan(number)


def _source(item: Mapping[str, Any]) -> str:
    labels = {key: value for key, value in item.get("metric", {}).items() if key != "__name__"}
    if set(labels) <= {"pod"}:
        return str(labels.get("pod", "all"))
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _number(item: Mapping[str, Any]) -> float:
    try:
        return float(item["value"][1])
    except (ValueError, TypeError, IndexError):
        return float("nan")


def _headers(secret: Mapping[str, str]) -> dict[str, str]:
    if token := secret.get("token", "").strip():
        return {"Authorization": f"Bearer {token}"}
    if "username" in secret:
        pair = f"{secret['username']}:{secret.get('password', '')}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}


def _file(text: str) -> str:
    path = Path(tempfile.mkdtemp(prefix="tunebird-ca-")) / "ca.crt"
    path.write_text(text)
    return str(path)
