"""Presets over what a real vLLM 0.32 wrote, and over what our own server adds."""

from pathlib import Path

import pytest

from tunebird.metrics.exposition import Found, born, found, parsed, running
from tunebird.metrics.presets import BOUNDS, HISTOGRAMS, bound_near
from tunebird.metrics.provider import Lack, Measure, Missing, Preset

GOLDEN = Path(__file__).parent / "vllm-0.32"
OWN = """# TYPE http_requests_total counter
http_requests_total{handler="/v1/chat/completions",method="POST",status="2xx",model_version="a"} 90
http_requests_total{handler="/v1/chat/completions",method="POST",status="4xx",model_version="a"} 7
http_requests_total{handler="/v1/chat/completions",method="POST",status="5xx",model_version="a"} 10
http_requests_total{handler="/v1/models",method="GET",status="2xx",model_version="a"} 5
# TYPE tunebird_request_errors_total counter
tunebird_request_errors_total{model_name="s",model_version="a",cause="injected"} 12
# TYPE tunebird_streams_cut_total counter
tunebird_streams_cut_total{model_name="s",model_version="a"} 1
"""


def golden(name):
    return parsed((GOLDEN / f"metrics-{name}.txt").read_text())


def test_a_fresh_vllm_has_counted_nothing():
    assert found(golden("fresh"), Measure("ttft", Preset.TTFT, 0.5)) == Found(0, 0)


def test_slow_first_tokens_are_those_above_the_bound():
    assert found(golden("busy"), Measure("ttft", Preset.TTFT, 10)) == Found(2, 22)


def test_slow_requests_are_those_above_the_bound():
    assert found(golden("busy"), Measure("latency", Preset.LATENCY, 1)) == Found(3, 16)


def test_errors_of_vllm_leave_out_the_clients_own_mistakes():
    assert found(golden("busy"), Measure("errors", Preset.ERROR_RATE)) == Found(0, 15)


def test_runaway_answers_are_cut_by_length_or_repetition():
    assert found(golden("after"), Measure("runaway", Preset.RUNAWAY)) == Found(40, 46)


def test_our_server_tells_errors_inside_streams_that_began_well():
    assert found(parsed(OWN), Measure("errors", Preset.ERROR_RATE)) == Found(13, 100)


def test_a_process_says_when_it_began_and_what_it_works_on():
    assert born(golden("busy")) > 1.7e9
    assert running(golden("after")) == 0


@pytest.mark.parametrize("preset", list(HISTOGRAMS))
def test_the_known_bounds_are_those_that_vllm_writes(preset):
    buckets = golden("busy").lines[f"{HISTOGRAMS[preset]}_bucket"]
    assert BOUNDS[preset] == tuple(sorted({float(line.labels["le"]) for line in buckets})[:-1])


def test_a_bound_between_buckets_names_its_neighbours():
    assert str(bound_near(0.3, BOUNDS[Preset.TTFT])) == "0.25s or 0.5s"
    assert str(bound_near(9000, BOUNDS[Preset.TTFT])) == "2560s"
    assert bound_near(0.25, BOUNDS[Preset.TTFT]) is None


@pytest.mark.parametrize("preset", list(Preset))
def test_a_server_without_these_metrics_has_no_data(preset):
    answer = found(parsed("up 1\n"), Measure("x", preset, 0.5))
    assert isinstance(answer, Missing)
    assert answer.lack is Lack.NO_DATA


def test_a_counter_that_is_not_a_number_is_nan():
    text = OWN.replace('status="5xx",model_version="a"} 10', 'status="5xx",model_version="a"} NaN')
    text = text.replace('cause="injected"} 12', 'cause="injected"} NaN')
    answer = found(parsed(text), Measure("errors", Preset.ERROR_RATE))
    assert isinstance(answer, Missing)
    assert answer.lack is Lack.NAN
