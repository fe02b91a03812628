"""What the presets read: names and labels as vLLM 0.32 writes them, which our own server shares. Pure."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass

from tunebird.metrics.provider import Preset

HISTOGRAMS: Mapping[Preset, str] = {
    Preset.LATENCY: "vllm:e2e_request_latency_seconds",
    Preset.TTFT: "vllm:time_to_first_token_seconds",
    Preset.TIME_PER_OUTPUT_TOKEN: "vllm:request_time_per_output_token_seconds",
}

# fmt: off
BOUNDS: Mapping[Preset, tuple[float, ...]] = {
    Preset.LATENCY: (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680),
    Preset.TTFT: (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160,
                  640, 2560),
    Preset.TIME_PER_OUTPUT_TOKEN: (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
                                   20, 40, 80),
}
# fmt: on

FINISHED = "vllm:request_success"
RUNAWAY_REASONS = frozenset({"length", "repetition"})
RUNNING = "vllm:num_requests_running"
BORN = "process_start_time_seconds"

# Answers to users' requests by status class; 4xx are the client's own errors and neither good nor bad.
RESPONSES = "http_requests"
ANSWERED = frozenset({"2xx", "5xx"})
USER_HANDLERS = "/v1/"

# Our own server counts what vLLM can't: errors inside a stream that began with 200, and streams that were cut.
OWN_ERRORS = ("tunebird_request_errors", "tunebird_streams_cut")


@dataclass(frozen=True, slots=True)
class Unknown:
    """A bound that the histogram does not have, and the ones beside it."""

    below: float | None
    above: float | None

    def __str__(self) -> str:
        near = [f"{bound:g}s" for bound in (self.below, self.above) if bound is not None]
        return " or ".join(near)


def bound_near(within: float, bounds: tuple[float, ...]) -> Unknown | None:
    """None if `within` is one of `bounds`, else its neighbours."""
    if any(abs(bound - within) < 1e-9 for bound in bounds):
        return None
    place = bisect(bounds, within)
    return Unknown(bounds[place - 1] if place else None, bounds[place] if place < len(bounds) else None)
