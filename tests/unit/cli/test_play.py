"""The demo waits as long as something changes, and says what an object was when nothing did."""

import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import click
import pytest

from tunebird.cli.story import play


class Clock:
    """Time that passes while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(play, "time", found)
    return found


def job(phase: str, message: str = "") -> dict[str, Any]:
    status = {"phase": phase, "message": message, "observedGeneration": 1}
    return {"metadata": {"name": "one", "generation": 1}, "status": status}


def stage(states: Iterator[dict[str, Any] | None]) -> Any:
    """A cluster without pods; `test_demo_waiting.py` has some."""
    return SimpleNamespace(kubectl=SimpleNamespace(get=lambda kind, name: next(states), items=lambda *_: []))


def test_a_slow_job_is_waited_for_as_long_as_it_goes_on(clock: Clock) -> None:
    slow = itertools.chain.from_iterable(itertools.repeat(job("Running", f"step {n}"), 18) for n in range(100))
    seen = play.follow(stage(itertools.chain(slow, [job("Succeeded")])), "finetunejob", "one", 10, lambda _: None)
    assert seen["status"]["phase"] == "Succeeded"
    assert clock.now > 800


def test_a_job_that_stands_still_is_told_of_with_its_own_words(clock: Clock) -> None:
    states = itertools.repeat(job("Pending", "waits for 2 GPUs"))
    with pytest.raises(click.ClickException, match=r"one is Pending and has not changed for 10 s\. waits for 2 GPUs"):
        play.follow(stage(states), "finetunejob", "one", 10, lambda _: None)
    assert clock.now == pytest.approx(10, abs=1)


def test_an_object_that_is_not_there_is_not_waited_for_for_ever(clock: Clock) -> None:
    with pytest.raises(click.ClickException, match=r"one is Pending and has not changed for 10 s\.\nit has no pod"):
        play.rolled_back(stage(itertools.repeat(None)), "one", 10)
    assert clock.now == pytest.approx(10, abs=1)


@pytest.mark.usefixtures("clock")
def test_a_failure_ends_the_wait_at_once() -> None:
    with pytest.raises(click.ClickException, match="Failed"):
        play.follow(stage(iter([job("Running"), job("Failed", "out of memory")])), "finetunejob", "one", 9, print)
