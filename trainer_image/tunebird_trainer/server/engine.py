"""The thread that generates: running requests take turns, one token each, so that none waits for another's end.

The event loop only submits, cancels and receives steps. No request is batched with another: on a CPU and with small
models the gain is small, and turns keep every request's tokens independent of its neighbours.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from tunebird_trainer.server import errors
from tunebird_trainer.server.generation import Generation, Prompt, Reason, Step, Times
from tunebird_trainer.server.metrics import EngineMetrics
from tunebird_trainer.server.model import LanguageModel
from tunebird_trainer.server.settings import Limits

log = logging.getLogger(__name__)


class Engine:
    """Start it once; `close` ends the thread and aborts what is left."""

    def __init__(self, model: LanguageModel, limits: Limits, metrics: EngineMetrics):
        self._model = model
        self._limits = limits
        self._metrics = metrics
        self._changed = threading.Condition()
        self._waiting: deque[Generation] = deque()
        self._running: list[Generation] = []
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(self, prompt: Prompt, emit: Callable[[Step], None]) -> Generation:
        """Raises Refusal (503) if too many requests wait."""
        generation = Generation(prompt, emit, Times(prompt.arrived))
        with self._changed:
            if len(self._waiting) >= self._limits.waiting:
                self._metrics.rejected()
                raise errors.overloaded(len(self._waiting))
            self._waiting.append(generation)
            self._changed.notify()
        return generation

    def cancel(self, generation: Generation) -> None:
        """Ends it before its next token; nothing is emitted after that. Harmless if it has ended."""
        with self._changed:
            generation.cancelled = True
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            for generation in (*self._waiting, *self._running):
                generation.cancelled = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (running := self._admitted()) is not None:
            tokens = sum(self._turn(generation) for generation in running)
            self._metrics.iterated(tokens)

    def _admitted(self) -> list[Generation] | None:
        """Who takes a turn now; waits while there is nobody. None when closed."""
        with self._changed:
            self._drop_cancelled()
            while not self._waiting and not self._running:
                self._measure()
                if self._closed:
                    return None
                self._changed.wait()
                self._drop_cancelled()
            self._start_waiting()
            self._measure()
            return list(self._running)

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self._limits.running:
            generation = self._waiting.popleft()
            generation.start(self._model)
            self._running.append(generation)

    def _drop_cancelled(self) -> None:
        for queue in (self._waiting, self._running):
            for generation in [one for one in queue if one.cancelled]:
                queue.remove(generation)
                self._metrics.aborted()

    def _measure(self) -> None:
        cached = sum(generation.cached_tokens for generation in self._running)
        capacity = self._limits.running * self._model.context
        self._metrics.busy(len(self._running), len(self._waiting), cached / capacity)

    def _turn(self, generation: Generation) -> int:
        """One token for one request. Returns how many tokens the model read for it."""
        if generation.cancelled:
            return 0
        before, fresh = generation.times.last, generation.tokens == 0
        step = self._advanced(generation)
        if step.reason is not Reason.ERROR:
            self._metrics.stepped(generation, time.monotonic() - before)
        if step.reason is not None:
            self._finish(generation, step.reason)
        generation.emit(step)
        return len(generation.prompt.tokens) if fresh else 1

    def _advanced(self, generation: Generation) -> Step:
        try:
            return generation.advance()
        except Exception:
            log.exception("Generation failed")
            return Step("", generation.tokens, Reason.ERROR)

    def _finish(self, generation: Generation, reason: Reason) -> None:
        with self._changed:
            self._running.remove(generation)
            self._measure()
        self._metrics.finished(generation, reason)
