"""What a training script used up to its first step and up to the end of training, taken at the same places whoever
wrote it, and what it trained on. The script ends there: what it does with the trained model is not compared."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Clocks:
    """CPU seconds, user and system, of the process, its children and the wrapper that started it."""

    first_step: float = 0.0  # when the first batch is asked for
    trained: float = 0.0  # when training returns: the last checkpoint is written
    steps: int = 0
    tokens: int = 0  # without padding
    padded: int = 0  # as the model sees them
    losses: list[tuple[int, float]] = field(default_factory=list)  # of step, the mean since the one before


@contextmanager
def clocked() -> Iterator[None]:
    """Run the block until `transformers.Trainer.train` returns; what was measured goes to the file TUNEBIRD_CLOCKS."""
    clocks = Clocks()
    _watch(clocks)
    yield
    raise SystemExit("the script has not trained")


def cpu_seconds() -> float:
    used = os.times()
    own = used.user + used.system + used.children_user + used.children_system
    wrapper = os.environ.get("TUNEBIRD_WRAPPER_PID")
    return own + (_cpu_seconds_of(int(wrapper)) if wrapper else 0.0)


def _cpu_seconds_of(pid: int) -> float:
    """Of a living process: `utime` and `stime`, fields 14 and 15 of proc(5)."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _watch(clocks: Clocks) -> None:
    from transformers import Trainer

    get, step, log, train = Trainer.get_batch_samples, Trainer.training_step, Trainer.log, Trainer.train

    def watched_get(self: Any, *args: Any, **kwargs: Any) -> Any:
        clocks.first_step = clocks.first_step or cpu_seconds()
        return get(self, *args, **kwargs)

    def watched_step(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if clocks.first_step:  # else it is a rehearsal
            clocks.padded += inputs["input_ids"].numel()
        return step(self, model, inputs, *args, **kwargs)

    def watched_log(self: Any, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs:
            clocks.losses.append((self.state.global_step, float(logs["loss"])))
        log(self, logs, *args, **kwargs)

    def watched_train(self: Any, *args: Any, **kwargs: Any) -> None:
        train(self, *args, **kwargs)
        clocks.trained = cpu_seconds()
        clocks.steps, clocks.tokens = self.state.global_step, self.state.num_input_tokens_seen
        Path(os.environ["TUNEBIRD_CLOCKS"]).write_text(json.dumps(asdict(clocks)))
        sys.exit(0)

    Trainer.get_batch_samples, Trainer.training_step = watched_get, watched_step
    Trainer.log, Trainer.train = watched_log, watched_train
