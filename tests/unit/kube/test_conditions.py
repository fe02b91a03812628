"""Conditions as a list keyed by type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from tunebird.kube.conditions import Condition, conditions_of, find, instant, is_true, set_condition, timestamp, without

NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def test_new_condition_is_appended_with_whole_seconds() -> None:
    (condition,) = set_condition((), "Ready", "False", "Waiting", "for pods", NOW, 3)
    assert condition.manifest() == {
        "type": "Ready",
        "status": "False",
        "observedGeneration": 3,
        "lastTransitionTime": "2026-01-01T12:00:00Z",
        "reason": "Waiting",
        "message": "for pods",
    }


def test_transition_time_stays_while_the_status_is_the_same() -> None:
    before = set_condition((), "Ready", "False", "Waiting", "for pods", NOW, 3)
    (after,) = set_condition(before, "Ready", "False", "Failing", "no pods", LATER, 4)
    assert after.last_transition_time == NOW.replace(microsecond=0)
    assert (after.reason, after.observed_generation) == ("Failing", 4)


def test_transition_time_moves_with_the_status() -> None:
    before = set_condition((), "Ready", "False", "Waiting", "", NOW, 3)
    (after,) = set_condition(before, "Ready", "True", "Serving", "", LATER, 3)
    assert after.last_transition_time == LATER.replace(microsecond=0)


def test_place_in_the_list_is_kept() -> None:
    conditions: tuple[Condition, ...] = ()
    for kind in ("A", "B", "C"):
        conditions = set_condition(conditions, kind, "Unknown", "New", "", NOW, 1)
    conditions = set_condition(conditions, "B", "True", "Done", "", LATER, 1)
    assert [condition.type for condition in conditions] == ["A", "B", "C"]
    assert [condition.type for condition in without(conditions, "A", "C")] == ["B"]


def test_what_was_written_is_read_back_the_same() -> None:
    conditions = set_condition((), "Ready", "True", "Serving", "all", NOW, 2)
    assert conditions_of({"conditions": [condition.manifest() for condition in conditions]}) == conditions
    assert conditions_of({}) == ()


def test_unknown_is_not_true() -> None:
    conditions = set_condition((), "Ready", "Unknown", "New", "", NOW, 1)
    assert not is_true(conditions, "Ready")
    assert not is_true(conditions, "Absent")
    assert find(conditions, "Absent") is None


def test_timestamps_are_utc_whatever_zone_they_came_from() -> None:
    berlin = timezone(timedelta(hours=1))
    assert timestamp(datetime(2026, 1, 1, 13, 0, tzinfo=berlin)) == "2026-01-01T12:00:00Z"
    assert instant("2026-01-01T13:00:00+01:00") == instant("2026-01-01T12:00:00.000000Z")
