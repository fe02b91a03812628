"""CPU seconds of a training script, taken at the same places whoever wrote it: start, first step, end of training."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass


@dataclass
class Clocks:
    """CPU seconds of all threads of the process (user and system), and the tokens trained on without padding."""

    first_step: float = 0.0
    trained: float = 0.0
    end: float = 0.0
    tokens: int = 0


@contextmanager
def clocked() -> Iterator[Clocks]:
    """Run the block with `transformers.Trainer` watched, and print the clocks as the last line of standard output."""
    clocks, out = Clocks(), sys.stdout
    with redirect_stdout(sys.stderr):
        _watch(clocks)
        yield clocks
    clocks.end = time.process_time()
    print(json.dumps(asdict(clocks)), file=out)


def _watch(clocks: Clocks) -> None:
    from transformers import Trainer

    step, train = Trainer.training_step, Trainer.train

    def watched_step(self: Trainer, *args: object, **kwargs: object) -> object:
        clocks.first_step = clocks.first_step or time.process_time()
        return step(self, *args, **kwargs)

    def watched_train(self: Trainer, *args: object, **kwargs: object) -> object:
        result = train(self, *args, **kwargs)
        clocks.trained = time.process_time()
        return result

    Trainer.training_step, Trainer.train = watched_step, watched_train
