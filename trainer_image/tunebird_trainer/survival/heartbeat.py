"""Signs of life: each process leaves its phase, step and the time in a small file, from the thread that trains; the
wrapper reads them and knows a hung process by the age of the last one."""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tunebird_trainer.config import PhaseLimits

_RECORD = "{:<10}{:>12}{:>20.6f}\n"  # one size, so that a reader never sees half of two


class Phase(StrEnum):
    LOAD = "load"
    COMPILE = "compile"  # until the first step is through: kernels, communicators, graphs
    STEP = "step"
    EVALUATE = "evaluate"
    SAVE = "save"
    CONVERT = "convert"  # checkpoints for another number of processes, and the artifact


PHASES = {"load": Phase.LOAD, "data": Phase.LOAD, "train": Phase.COMPILE, "evaluate": Phase.EVALUATE,
          "save": Phase.CONVERT, "publish": Phase.CONVERT}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Beat:
    phase: Phase
    step: int
    at: float  # CLOCK_MONOTONIC, the same for all processes of a machine


@dataclass(frozen=True, slots=True)
class Hung:
    rank: int
    beat: Beat
    silent_seconds: float
    limit_seconds: int

    @property
    def sentence(self) -> str:
        return (
            f"process {self.rank} gave no sign of life for {self.silent_seconds:.0f} s in phase {self.beat.phase} "
            f"after step {self.beat.step} (limit {self.limit_seconds} s); its stack is in the log; look there or raise "
            f"distributed.phaseLimits.{self.beat.phase}"
        )


class Pulse:
    """Writes this process's beats; without a file it does nothing."""

    def __init__(self) -> None:
        self.descriptor: int | None = None
        self.phase, self.step = Phase.LOAD, 0

    def start(self) -> None:
        """Begin, and let SIGUSR1 print the stacks of all threads."""
        faulthandler.register(signal.SIGUSR1, all_threads=True)
        if path := os.environ.get("TUNEBIRD_HEARTBEAT"):
            self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        self.beat()

    def beat(self, phase: Phase | None = None, step: int | None = None) -> None:
        self.phase = phase or self.phase
        self.step = self.step if step is None else step
        if self.descriptor is not None:
            os.pwrite(self.descriptor, record(Beat(self.phase, self.step, time.monotonic())).encode(), 0)


pulse = Pulse()  # a process has one


def record(beat: Beat) -> str:
    return _RECORD.format(beat.phase, beat.step, beat.at)


def shortest(limits: PhaseLimits) -> int:
    return min(asdict(limits).values())


def read(path: Path) -> Beat | None:
    try:
        phase, step, at = path.read_text().split()
        return Beat(Phase(phase), int(step), float(at))
    except (OSError, ValueError):
        return None


def hung(beats: Iterable[tuple[int, Beat]], limits: PhaseLimits, now: float) -> Hung | None:
    """The process that has been silent for too long; of several the one that fell silent first, because the others wait
    for it."""
    allowed = asdict(limits)
    found = [
        Hung(rank, beat, now - beat.at, allowed[beat.phase])
        for rank, beat in beats
        if now - beat.at > allowed[beat.phase]
    ]
    return min(found, key=lambda each: each.beat.at, default=None)


def callback() -> Any:
    """A callback of transformers' Trainer that beats; it goes after the one that decides what follows a step."""
    from transformers import TrainerCallback

    class Beats(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            pulse.beat(Phase.COMPILE, state.global_step)

        def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            pulse.beat()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            pulse.beat(_after_step(control), state.global_step)

        def on_prediction_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            pulse.beat(Phase.EVALUATE)

        def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            pulse.beat(Phase.SAVE if control.should_save else Phase.STEP)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            pulse.beat(Phase.STEP)

    return Beats()


def _after_step(control: Any) -> Phase:
    if control.should_evaluate:
        return Phase.EVALUATE
    return Phase.SAVE if control.should_save else Phase.STEP
