"""Reports become progress in status seldom enough, and never too late to matter."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from tunebird.api.reports import Report
from tunebird.finetune.progress import for_people, noted_progress

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _report(**told: Any) -> Report:
    return Report.model_validate({"tunebird": {"attempt": 1, "phase": "train", "of": 1000, **told}})


def test_the_first_report_is_noted_at_once() -> None:
    progress, wait = noted_progress(None, _report(step=1, loss=2.30987), 1, NOW)
    assert progress is not None
    assert (progress.summary, progress.loss, wait) == ("1/1000", "2.31", None)


@pytest.mark.parametrize(
    ("told", "seconds", "noted"),
    [
        ({"step": 2}, 3, False),
        ({"step": 2}, 10, True),
        ({"step": 12}, 1, False),
        ({"step": 12}, 2, True),
        ({"step": 2, "checkpoint": "checkpoint-2"}, 0, True),
        ({"step": 2, "phase": "save"}, 0, True),
        ({"step": 1000}, 0, True),
        ({"step": 1, "activity": "10 of 20 answers"}, 9, False),
        ({"step": 1, "activity": "10 of 20 answers"}, 10, True),
    ],
)
def test_news_waits_for_its_turn(told: dict[str, Any], seconds: int, noted: bool) -> None:
    before, _ = noted_progress(None, _report(step=1), 1, NOW)
    after, wait = noted_progress(before, _report(**told), 1, NOW + timedelta(seconds=seconds))
    assert (after != before) is noted
    assert (wait is None) is noted


def test_what_is_done_within_a_phase_is_noted_without_control_characters() -> None:
    progress, _ = noted_progress(None, _report(phase="save", activity="10 of\x1b\n20 answers"), 1, NOW)
    assert progress is not None
    assert progress.activity == "10 of  20 answers"


def test_a_trainer_that_tells_no_activity_is_understood() -> None:
    assert _report(step=1).tunebird.activity == ""


def test_a_report_of_another_attempt_says_nothing() -> None:
    assert noted_progress(None, _report(step=1), 2, NOW) == (None, None)


def test_a_report_with_numbers_that_are_none_is_refused() -> None:
    with pytest.raises(ValidationError):
        Report.model_validate({"tunebird": {"attempt": 1, "loss": float("nan")}})


@pytest.mark.parametrize(("seconds", "text"), [(None, ""), (45, "45s"), (95, "1m35s"), (3900, "1h05m")])
def test_time_left_is_short(seconds: int | None, text: str) -> None:
    assert for_people(seconds) == text
