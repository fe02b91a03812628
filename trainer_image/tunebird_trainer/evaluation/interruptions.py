"""What an evaluation owes to those who watch it: signs of life, and an end soon after it was asked to stop."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.survival import heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

_LOOK_SECONDS = 0.25
T = TypeVar("T")


class Interruptions:
    """Looks whether a stop was asked for, from wherever the time goes: batches, forward passes, waiting for others."""

    def __init__(
        self, stop_requested: Callable[[], bool] = lambda: False, doing: Callable[[str], None] = lambda _: None
    ) -> None:
        self._stop_requested = stop_requested
        self._doing = doing

    def look(self) -> None:
        """Raises Failure (Preempted) after SIGTERM."""
        if self._stop_requested():
            raise Failure(Reason.PREEMPTED, "stopped by SIGTERM during the evaluation; training is not repeated")

    def between(self) -> None:
        """Between two pieces of work of this process."""
        self.beat()
        self.look()

    def counted(self, what: str, then: Callable[[], None], of: int | None = None, each: int = 1) -> Callable[[], None]:
        """`then`, which also tells how much was done before this call: so many more for every call."""
        calls = itertools.count(step=each)

        def tell() -> None:
            done = next(calls)
            self._doing(f"{what}: {done}" if of is None else f"{what}: {min(done, of)} of {of}")
            then()

        return tell

    def beat(self) -> None:
        """Something was done, or came to an end: an answer, an error, a time-out."""
        heartbeat.pulse.beat(heartbeat.Phase.EVALUATE)

    def waited(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives; it is cancelled when a stop is asked for. Waiting alone is no sign of life."""
        return asyncio.run(self._watched(work))

    @contextmanager
    def within(self, model: Any) -> Iterator[None]:
        """For code that asks the model itself and never comes back in between: every forward pass is a sign of life."""
        tell = self.counted("passes through the model", self.between)
        hook = model.register_forward_pre_hook(lambda *_: tell())
        try:
            yield
        finally:
            hook.remove()

    async def _watched(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                self.look()
                await asyncio.wait({task}, timeout=_LOOK_SECONDS)
        finally:
            task.cancel()
        return await task
