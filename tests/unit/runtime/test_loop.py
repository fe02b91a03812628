"""The loop in virtual time: when it passes, when it waits, and what it makes of each error."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from fakes.virtual_time import run_virtual
from tunebird.kube.errors import Conflict, Rejected, Unavailable
from tunebird.kube.meta import Key
from tunebird.kube.requeue import Requeue
from tunebird.runtime.health import Heartbeat
from tunebird.runtime.loop import Loops, LoopSettings, Shared
from tunebird.runtime.telemetry import Telemetry

KEY = Key("ml", "support", "uid-1")
NEVER = Requeue.never()


class Scripted:
    """A reconciler that answers from a list (an error is raised), then never; it keeps the times of its passes."""

    def __init__(self, *answers: Requeue | Exception, takes: float = 0.0) -> None:
        self.answers = list(answers)
        self.takes = takes
        self.times: list[float] = []
        self.running = 0
        self.most_at_once = 0
        self.during: Callable[[], None] = lambda: None

    async def reconcile(self, key: Key) -> Requeue:
        self.times.append(asyncio.get_running_loop().time())
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        self.during()
        await asyncio.sleep(self.takes)
        self.running -= 1
        answer = self.answers.pop(0) if self.answers else NEVER
        if isinstance(answer, Exception):
            raise answer
        return answer


def shared(at_once: int = 4, **settings: float) -> Shared:
    return Shared(
        telemetry=Telemetry(),
        heartbeat=Heartbeat(),
        passes=asyncio.Semaphore(at_once),
        settings=LoopSettings(**settings),
        jitter=lambda: 1.0,
    )


async def run_for(seconds: float, loops: Loops, *, then: Callable[[], None] = lambda: None, at: float = 0.0) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(loops.run(KEY, stop))
    await asyncio.sleep(at)
    then()
    await asyncio.sleep(seconds - at)
    stop.set()
    await task


def passes(seconds: float, reconciler: Scripted, *, wake_at: float | None = None, wakes: int = 1) -> list[float]:
    async def main() -> None:
        loops = Loops("FineTuneJob", reconciler, shared())
        if wake_at is None:
            await run_for(seconds, loops)
        else:
            await run_for(seconds, loops, at=wake_at, then=lambda: [loops.wake("uid-1") for _ in range(wakes)] and None)

    run_virtual(main())
    return reconciler.times


def test_first_pass_comes_at_once_and_the_resync_brings_the_next() -> None:
    assert passes(121, Scripted()) == [0.0, 60.0, 120.0]


def test_burst_of_wake_ups_is_one_pass() -> None:
    assert passes(30, Scripted(), wake_at=5.0, wakes=100) == [0.0, 5.0]


def test_wake_up_during_a_pass_is_not_lost() -> None:
    assert passes(30, Scripted(takes=2.0), wake_at=1.0) == [0.0, 2.0]


def test_requeue_is_honoured_but_never_beyond_the_resync() -> None:
    assert passes(80, Scripted(Requeue.after(7), Requeue.after(3600))) == [0.0, 7.0, 67.0]


def test_saved_progress_is_followed_by_a_pass_at_once() -> None:
    assert passes(10, Scripted(Requeue.now(), Requeue.now())) == [0.0, 0.0, 0.0]


def test_conflict_observes_again_at_once() -> None:
    assert passes(10, Scripted(Conflict("stale"), Conflict("stale"))) == [0.0, 0.0, 0.0]


def test_endless_conflicts_are_slowed_down() -> None:
    times = passes(20, Scripted(*[Conflict("stale")] * 1000))
    assert times[:31] == [0.0] * 31
    assert times[31:] == [1.0, 3.0, 7.0, 15.0]


def test_unavailable_backs_off_exponentially_to_its_limit() -> None:
    assert passes(50, Scripted(*[Unavailable("down")] * 100)) == [0.0, 1.0, 3.0, 7.0, 15.0, 30.0, 45.0]


def test_success_forgets_the_failures() -> None:
    script = Scripted(Unavailable("down"), Unavailable("down"), Requeue.after(5), Unavailable("down"))
    assert passes(12, script) == [0.0, 1.0, 3.0, 8.0, 9.0]


def test_retry_after_is_honoured_whatever_wakes_the_loop() -> None:
    script = Scripted(Unavailable("slow down", retry_after_seconds=20))
    assert passes(30, script, wake_at=3.0, wakes=5) == [0.0, 20.0]


def test_wake_up_shortens_a_backoff_but_not_to_nothing() -> None:
    script = Scripted(*[Unavailable("down")] * 4)
    assert passes(8, script, wake_at=4.0) == [0.0, 1.0, 3.0, 4.0]


def test_bug_is_logged_once_with_its_traceback_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    reconciler = Scripted(*[ZeroDivisionError("oops")] * 3)

    async def main() -> float | None:
        common = shared()
        await run_for(10, Loops("FineTuneJob", reconciler, common))
        labels = {"kind": "FineTuneJob", "outcome": "bug"}
        return common.telemetry.registry.get_sample_value("tunebird_passes_total", labels)

    with caplog.at_level(logging.ERROR):
        assert run_virtual(main()) == 3
    assert [record.exc_info is not None for record in caplog.records] == [True]
    assert reconciler.times == [0.0, 1.0, 3.0, 7.0]


def test_refused_request_is_told_and_tried_at_the_resync_at_last(caplog: pytest.LogCaptureFixture) -> None:
    reconciler = Scripted(*[Rejected("forbidden", code=403, reason="Forbidden")] * 20)
    with caplog.at_level(logging.ERROR):
        times = passes(190, reconciler)
    assert times == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0, 123.0, 183.0]
    assert len(caplog.records) == 1


def test_pass_that_hangs_is_ended_and_tried_again() -> None:
    times = passes(300, Scripted(takes=10_000))
    assert times == [0.0, 121.0, 243.0]


def test_stop_lets_the_pass_under_way_finish() -> None:
    reconciler = Scripted(takes=5.0)

    async def main() -> tuple[int, float]:
        await run_for(2, Loops("FineTuneJob", reconciler, shared()))
        return reconciler.running, asyncio.get_running_loop().time()

    assert run_virtual(main()) == (0, 5.0)


def test_no_more_passes_than_allowed_run_at_once() -> None:
    reconciler = Scripted(takes=1.0)

    async def main() -> None:
        loops = Loops("FineTuneJob", reconciler, shared(at_once=3))
        stop = asyncio.Event()
        tasks = [asyncio.create_task(loops.run(Key("ml", f"job-{n}", f"uid-{n}"), stop)) for n in range(10)]
        await asyncio.sleep(5)
        stop.set()
        await asyncio.gather(*tasks)

    run_virtual(main())
    assert reconciler.most_at_once == 3
    assert len(reconciler.times) == 10


def test_stop_ends_at_once_what_still_waits_for_its_turn() -> None:
    reconciler = Scripted(takes=5.0)

    async def main() -> tuple[int, float]:
        loops = Loops("FineTuneJob", reconciler, shared(at_once=2))
        stop = asyncio.Event()
        tasks = [asyncio.create_task(loops.run(Key("ml", f"job-{n}", f"uid-{n}"), stop)) for n in range(50)]
        await asyncio.sleep(1)
        stop.set()
        await asyncio.gather(*tasks)
        return len(reconciler.times), asyncio.get_running_loop().time()

    assert run_virtual(main()) == (2, 5.0)


def test_wake_all_reaches_one_namespace_only() -> None:
    reconciler = Scripted()

    async def main() -> list[float]:
        loops = Loops("ModelRollout", reconciler, shared())
        stop = asyncio.Event()
        keys = [Key("ml", "a", "uid-a"), Key("other", "b", "uid-b")]
        tasks = [asyncio.create_task(loops.run(key, stop)) for key in keys]
        await asyncio.sleep(5)
        loops.wake_all("ml")
        await asyncio.sleep(5)
        stop.set()
        await asyncio.gather(*tasks)
        return reconciler.times

    assert run_virtual(main()) == [0.0, 0.0, 5.0]


def test_loop_that_ended_is_forgotten() -> None:
    async def main() -> tuple[str, float | None]:
        common = shared()
        loops = Loops("FineTuneJob", Scripted(), common)
        await run_for(1, loops)
        loops.wake("uid-1")
        gauge = common.telemetry.registry.get_sample_value("tunebird_loops", {"kind": "FineTuneJob"})
        return common.heartbeat.complaint(), gauge

    assert run_virtual(main()) == ("", 0.0)
