"""What a server pod's /metrics says about users' requests: failures and events as they stand. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite

from prometheus_client.parser import text_string_to_metric_families

from tunebird.metrics.presets import (
    ANSWERED,
    BORN,
    FINISHED,
    HISTOGRAMS,
    OWN_ERRORS,
    RESPONSES,
    RUNAWAY_REASONS,
    RUNNING,
    USER_HANDLERS,
    bound_near,
)
from tunebird.metrics.provider import Lack, Measure, Missing, Preset


@dataclass(frozen=True, slots=True)
class Line:
    """One sample of the exposition."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Scrape:
    """Samples by name."""

    lines: Mapping[str, tuple[Line, ...]]

    def total(self, name: str, wanted: Callable[[Mapping[str, str]], bool] = lambda _: True) -> float:
        """The sum of a name's samples, of those whose labels are wanted."""
        return sum(line.value for line in self.lines.get(name, ()) if wanted(line.labels))


@dataclass(frozen=True, slots=True)
class Found:
    """Failures among events."""

    failures: float
    total: float


def parsed(text: str) -> Scrape:
    """Raises ValueError where it is not the text format."""
    lines: dict[str, list[Line]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            lines.setdefault(sample.name, []).append(Line(sample.labels, sample.value))
    return Scrape({name: tuple(found) for name, found in lines.items()})


def found(scrape: Scrape, measure: Measure) -> Found | Missing:
    """The counters of one measure."""
    match measure.preset:
        case Preset.ERROR_RATE:
            result = _errors(scrape)
        case Preset.RUNAWAY:
            result = _runaway(scrape)
        case None:
            return Missing(Lack.NO_DATA, f"{measure.name}: pods answer presets only")
        case preset:
            result = _slow(scrape, HISTOGRAMS[preset], measure.within or 0.0)
    if isinstance(result, Found) and not (isfinite(result.failures) and isfinite(result.total)):
        return Missing(Lack.NAN, f"{measure.name} is {result.failures:g} of {result.total:g}")
    return result


def running(scrape: Scrape) -> float:
    """Requests that the server is working on."""
    return scrape.total(RUNNING)


def born(scrape: Scrape) -> float:
    """When the process began, in Unix seconds; 0 if it does not say."""
    return scrape.total(BORN)


def _errors(scrape: Scrape) -> Found | Missing:
    """5xx answers to users, and what our own server counts besides: errors in a stream, and streams that were cut."""
    name = f"{RESPONSES}_total"
    if name not in scrape.lines and not any(f"{own}_total" in scrape.lines for own in OWN_ERRORS):
        return _absent(scrape, name)
    answered = scrape.total(name, lambda labels: _is_users(labels) and labels.get("status") in ANSWERED)
    refused = scrape.total(name, lambda labels: _is_users(labels) and labels.get("status") == "5xx")
    inside = sum(scrape.total(f"{own}_total") for own in OWN_ERRORS)
    broken = scrape.total(f"{FINISHED}_total", lambda labels: labels.get("finished_reason") == "error")
    failures = max(refused, inside, broken)
    return Found(failures, max(answered, failures))


def _is_users(labels: Mapping[str, str]) -> bool:
    return labels.get("method") == "POST" and labels.get("handler", "").startswith(USER_HANDLERS)


def _runaway(scrape: Scrape) -> Found | Missing:
    name = f"{FINISHED}_total"
    if name not in scrape.lines:
        return _absent(scrape, name)
    runaway = scrape.total(name, lambda labels: labels.get("finished_reason") in RUNAWAY_REASONS)
    return Found(runaway, scrape.total(name))


def _slow(scrape: Scrape, histogram: str, within: float) -> Found | Missing:
    buckets = scrape.lines.get(f"{histogram}_bucket", ())
    if not buckets:
        return _absent(scrape, f"{histogram}_bucket")
    bounds = sorted({float(line.labels["le"]) for line in buckets})
    near = bound_near(within, tuple(bound for bound in bounds if isfinite(bound)))
    if near is not None:
        return Missing(Lack.NO_DATA, f"{histogram} has no bucket bound {within:g}s; use {near}")
    fast = _sum(line.value for line in buckets if abs(float(line.labels["le"]) - within) < 1e-9)
    total = _sum(line.value for line in buckets if not isfinite(float(line.labels["le"])))
    return Found(total - fast, total)


def _sum(values: Iterable[float]) -> float:
    return float(sum(values))


def _absent(scrape: Scrape, name: str) -> Missing:
    return Missing(Lack.NO_DATA, f"the pod has no metric {name} (it has {len(scrape.lines)} others)")
