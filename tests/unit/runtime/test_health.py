"""Liveness and readiness as values."""

from __future__ import annotations

from tunebird.runtime.health import Heartbeat, Readiness, Stage


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_operator_with_nothing_to_do_is_alive() -> None:
    clock = Seconds()
    heartbeat = Heartbeat(300, clock)
    clock.now = 10_000
    assert heartbeat.complaint() == ""


def test_operator_whose_passes_all_hang_is_not_alive() -> None:
    clock = Seconds()
    heartbeat = Heartbeat(300, clock)
    heartbeat.begin("a")
    heartbeat.begin("b")
    clock.now = 301
    assert heartbeat.complaint() == "2 unfinished objects, but no pass was completed for 301 s"


def test_one_loop_that_ends_passes_keeps_the_operator_alive() -> None:
    clock = Seconds()
    heartbeat = Heartbeat(300, clock)
    heartbeat.begin("a")
    heartbeat.begin("b")
    clock.now = 299
    heartbeat.beat("a")
    clock.now = 500
    assert heartbeat.complaint() == ""


def test_late_beat_of_a_loop_that_ended_counts_for_nothing() -> None:
    heartbeat = Heartbeat(300, Seconds())
    heartbeat.begin("a")
    heartbeat.end("a")
    heartbeat.beat("a")
    assert heartbeat.complaint() == ""


def test_ready_only_after_every_stage() -> None:
    readiness = Readiness()
    assert readiness.complaint().startswith("not yet: logged in")
    readiness.reached(Stage.CLUSTER)
    assert readiness.complaint() == "not yet: this operator holds the Lease"
    readiness.reached(Stage.LEASE)
    assert readiness.complaint() == ""
    readiness.lost(Stage.LEASE)
    assert readiness.complaint() != ""
