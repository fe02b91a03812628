"""Providers by their sources. A type that is not here is refused by the specification's schema, never replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

import aiohttp

from tunebird.metrics.pods import PodsProvider
from tunebird.metrics.prometheus import PrometheusProvider
from tunebird.metrics.provider import PodsSource, PrometheusSource, Provider, Source

MOST_CLIENTS = 64
MOST_CONNECTIONS = 64


class ProviderRegistry:
    """Implements `Providers` with one HTTP session for all scrapes. Made inside the event loop; `close` ends it."""

    def __init__(self, *, scrape_timeout_seconds: float = 3.0) -> None:
        self._timeout = scrape_timeout_seconds
        connector = aiohttp.TCPConnector(limit=MOST_CONNECTIONS)
        self._session = aiohttp.ClientSession(connector=connector, trust_env=False)
        self._prometheus: dict[tuple[object, ...], PrometheusProvider] = {}

    def of(self, source: Source, secret: Mapping[str, str]) -> Provider:
        """The provider of a source; clients of a Prometheus are kept while their secret stays the same."""
        match source:
            case PodsSource():
                return PodsProvider(self._session, source.path, self._timeout)
            case PrometheusSource():
                return self._client(source, secret)
            case _ as unreachable:
                assert_never(unreachable)

    async def close(self) -> None:
        await self._session.close()

    def _client(self, source: PrometheusSource, secret: Mapping[str, str]) -> PrometheusProvider:
        key = (source, *sorted(secret.items()))
        if key not in self._prometheus:
            while len(self._prometheus) >= MOST_CLIENTS:
                self._prometheus.pop(next(iter(self._prometheus)))
            self._prometheus[key] = PrometheusProvider(source, secret)
        return self._prometheus[key]
