"""What every source of numbers looks like: it answers counts, values or why there are none, never verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Preset(StrEnum):
    """Indicators that Tunebird knows how to read; each is about users' requests."""

    ERROR_RATE = "error-rate"
    LATENCY = "latency"
    TTFT = "ttft"
    TIME_PER_OUTPUT_TOKEN = "time-per-output-token"  # noqa: S105  an indicator's name
    RUNAWAY = "runaway"


class Lack(StrEnum):
    """Why there is no number; the words of status and events."""

    NO_DATA = "NoData"
    NAN = "NaN"
    ZERO_TRAFFIC = "ZeroTraffic"
    TOO_FEW_SAMPLES = "TooFewSamples"
    STALE_SCRAPE = "StaleScrape"
    PROVIDER_ERROR = "ProviderError"
    COUNTER_RESET = "CounterReset"


@dataclass(frozen=True, slots=True)
class Measure:
    """One indicator to read: a preset (with `within` seconds), or PromQL for good and total, or for one value."""

    name: str
    preset: Preset | None = None
    within: float | None = None
    good: str = ""
    total: str = ""
    query: str = ""


@dataclass(frozen=True, slots=True)
class PodTarget:
    """Where a pod's metrics are."""

    name: str
    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class Query:
    """Measures of one arm: the pods of one revision, whose names begin with `workload`."""

    namespace: str
    runtime: str
    measures: tuple[Measure, ...]
    workload: str
    pods: tuple[PodTarget, ...]


@dataclass(frozen=True, slots=True)
class Count:
    """Counters of one source (a pod or a series) as they stand; another `born` is another process (0: unknown)."""

    source: str
    failures: float
    total: float
    born: float = 0.0
    running: float = 0.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Cumulative failures and events by source; `lacking` is why some source is not among them."""

    by_source: tuple[Count, ...]
    lacking: Missing | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """A single finite number."""

    number: float


@dataclass(frozen=True, slots=True)
class Missing:
    """No number, and why; `message` names what was asked and what would help."""

    lack: Lack
    message: str


Reading = Counts | Value | Missing


@dataclass(frozen=True, slots=True)
class Sample:
    """The answer to a `Query`: a reading for each measure by name."""

    readings: dict[str, Reading] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PrometheusSource:
    """A Prometheus server and the Secret with its credentials."""

    name: str
    address: str
    timeout: float
    secret: str = ""


@dataclass(frozen=True, slots=True)
class PodsSource:
    """The servers' own metrics; without `port` the server's."""

    name: str
    port: int | None = None
    path: str = "/metrics"


Source = PrometheusSource | PodsSource


class Provider(Protocol):
    """The only I/O of an analysis. Never raises for a source that can't answer: that is a `Missing`."""

    async def sample(self, query: Query) -> Sample:
        """Readings of all measures; ends within the provider's own deadline."""


class Providers(Protocol):
    """Providers by their sources; one instance lives as long as the operator."""

    def of(self, source: Source, secret: Mapping[str, str]) -> Provider:
        """The provider of `source`; `secret` has the decoded values of its Secret, empty where none is named."""
