"""Notices a run that is lost: a loss that is not a number, or one that climbed and stays up."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from tunebird_trainer.outcome import Failure, Reason

WINDOW = 20  # steps that say what is normal
PATIENCE = 10  # steps in a row above the bound
FACTOR = 2.0
MARGIN = 2.0  # nats; a loss near zero may double as a matter of course


@dataclass(slots=True)
class Losses:
    """The recent normal losses and how many steps in a row were above the bound; goes into every checkpoint."""

    recent: list[float] = field(default_factory=list)
    above: int = 0

    @property
    def bound(self) -> float | None:
        if len(self.recent) < WINDOW:
            return None
        normal = statistics.median(self.recent)
        return max(FACTOR * normal, normal + MARGIN)

    def add(self, loss: float) -> None:
        if self.bound is not None and loss > self.bound:
            self.above += 1  # what is above the bound must not become the new normal
            return
        self.above = 0
        self.recent = [*self.recent, loss][-WINDOW:]

    def check(self, step: int, learning_rate: float) -> None:
        """Raises:
        Failure: NaNLoss when the loss has been above the bound for too long."""
        if self.above >= PATIENCE:
            said = f"the loss has been above {self.bound:.3g} for {PATIENCE} steps, after a median of "
            said += f"{statistics.median(self.recent):.3g}: the run diverges at step {step}"
            raise Failure(Reason.NAN_LOSS, f"{said}; {remedy(learning_rate)}")


def not_finite(what: str, value: float, step: int, learning_rate: float) -> Failure:
    return Failure(Reason.NAN_LOSS, f"{what} is {value} at step {step}; {remedy(learning_rate)}")


def remedy(learning_rate: float) -> str:
    return f"lower training.learningRate (now {learning_rate:g}) or look at the data"
