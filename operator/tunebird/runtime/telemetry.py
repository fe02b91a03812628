"""The operator's own metrics, as they stand on /metrics."""

from __future__ import annotations

import asyncio
import time
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
TICK_SECONDS = 1.0


class Outcome(StrEnum):
    """How a pass ended."""

    DONE = "done"
    CONFLICT = "conflict"
    UNAVAILABLE = "unavailable"
    REJECTED = "rejected"
    BUG = "bug"


class Telemetry:
    """Metrics in a registry of their own, so that tests (and two in one process) don't meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (GCCollector, PlatformCollector, ProcessCollector):
            collector(registry=self.registry)
        self.passes = Counter(
            "tunebird_passes_total", "Reconcile passes by outcome", ["kind", "outcome"], registry=self.registry
        )
        self.durations = Histogram(
            "tunebird_pass_seconds", "Duration of a pass", ["kind"], buckets=LATENCIES, registry=self.registry
        )
        self.latency = Histogram(
            "tunebird_wake_to_done_seconds",
            "From the first wake-up to the end of the pass that saw it",
            ["kind"],
            buckets=LATENCIES,
            registry=self.registry,
        )
        self.loops = Gauge("tunebird_loops", "Objects that a loop works on", ["kind"], registry=self.registry)
        self.queued = Gauge("tunebird_passes_waiting", "Passes waiting for their turn", registry=self.registry)
        self.reports = Counter(
            "tunebird_reports_total", "Progress reports of trainers by HTTP status", ["code"], registry=self.registry
        )
        self.leader = Gauge("tunebird_leader", "1 while this operator holds the Lease", registry=self.registry)
        self.lag = Gauge(
            "tunebird_event_loop_lag_seconds", "How late the event loop was at its last tick", registry=self.registry
        )

    def exposition(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)

    async def watch_event_loop(self) -> None:
        """Measure for ever how late a sleeper wakes; a loop that stands still doesn't answer its probes either."""
        while True:
            due = time.monotonic() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            self.lag.set(max(0.0, time.monotonic() - due))
