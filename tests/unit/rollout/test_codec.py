"""What is saved in status is what is read back: evidence hangs on it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunebird.rollout.codec import decoded, encoded
from tunebird.rollout.progress import Baseline, Measured, Progress


def kept(born: float) -> float:
    """A process's start time after a turn through status."""
    baseline = Baseline("errors", "pod", 3.0, 17.0, born)
    saved = Progress(measured=Measured(since=datetime(2026, 1, 1, tzinfo=UTC), baselines=(baseline,)))
    read = decoded(encoded(saved))
    assert read is not None
    return read.measured.baselines[0].born


def test_a_process_start_time_keeps_its_milliseconds() -> None:
    # Rounded to ten seconds a server looks reborn at every sample, and all it ever counted is added again.
    assert abs(kept(1795260853.274) - 1795260853.274) < 0.001


@given(st.floats(min_value=0, max_value=4e9))
def test_no_start_time_moves_by_a_second(born: float) -> None:
    assert abs(kept(born) - born) < 0.001


@pytest.mark.parametrize("pods", [1, 400])
def test_a_long_record_is_packed_and_read_back_whole(pods: int) -> None:
    baselines = tuple(Baseline("errors", f"support-abc-{index}", 1.0, 2.5, 3.0) for index in range(pods))
    saved = Progress(number=3, measured=Measured(baselines=baselines))
    assert decoded(encoded(saved)) == saved
    assert len(encoded(saved)) < 20_000


@pytest.mark.parametrize("text", ["", "{}", "nonsense", "zlib:nonsense", '{"v":99}', '{"v":1,"other":2}'])
def test_a_record_that_does_not_fit_is_no_record(text: str) -> None:
    assert decoded(text) is None
