"""What a run measured, step by step, in `curves.jsonl` beside its checkpoints. A thread of its own writes: training
only puts a record into a queue. A resumed run goes on from its checkpoint's step, so that no step is there twice."""

from __future__ import annotations

import json
import math
import os
import queue
import threading
from typing import TYPE_CHECKING, Any

from tunebird_trainer.config import Tuning
from tunebird_trainer.training import devices, objectives

if TYPE_CHECKING:
    from pathlib import Path

    from tunebird_trainer.config import Config
    from tunebird_trainer.training.devices import Device

NAME = "curves.jsonl"
# What TRL logs, by the name that the curves have for it.
_NAMES = {
    "loss": "loss",
    "grad_norm": "gradientNorm",
    "learning_rate": "learningRate",
    "entropy": "entropy",
    "mean_token_accuracy": "tokenAccuracy",
    "rewards/chosen": "rewardChosen",
    "rewards/rejected": "rewardRejected",
    "rewards/margins": "rewardMargin",
    "rewards/accuracies": "rewardAccuracy",
}


class Curves:
    """The file of one run; only process 0 has one."""

    def __init__(self, path: Path, after: int | None) -> None:
        """Keep what was measured up to step `after`; None begins afresh."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        rewind(path, after)
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._waiting: queue.SimpleQueue[dict[str, Any] | threading.Event] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="curves", daemon=True)
        self._thread.start()

    def add(self, record: dict[str, Any]) -> None:
        self._waiting.put(record)

    def flush(self) -> None:
        """Wait until all that was added is on disk: before a checkpoint, from which a resumed run goes on."""
        written = threading.Event()
        self._waiting.put(written)
        written.wait()

    def _run(self) -> None:
        while True:
            item = self._waiting.get()
            if isinstance(item, threading.Event):
                self._sync()
                item.set()
            else:
                self._write(item)

    def _write(self, record: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
        except OSError as error:
            print(f"curves: step {record.get('step')} not written: {error.strerror}; training goes on", flush=True)

    def _sync(self) -> None:
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:  # the checkpoint that follows meets the same storage and says so
            print(f"curves: {self.path} not written: {error.strerror}; training goes on", flush=True)


def rewind(path: Path, after: int | None) -> None:
    """Drop what was measured past step `after`, and a last line that a kill cut off."""
    kept = [] if after is None else [line for line in read(path) if line["step"] <= after]
    aside = path.with_suffix(".new")
    aside.write_text("".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in kept))
    aside.replace(path)


def read(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    whole = []
    for line in lines:
        try:
            whole.append(json.loads(line))
        except ValueError:
            continue
    return whole


def renamed(logs: dict[str, Any]) -> dict[str, float]:
    """The measured values of a log, evaluations' with their `eval_` turned into `eval`; infinite ones are left out,
    because JSON has no word for them."""
    found = {}
    for key, value in logs.items():
        name = _NAMES.get(key.removeprefix("eval_"))
        if name and isinstance(value, int | float) and math.isfinite(value):
            found[name if not key.startswith("eval_") else "eval" + name[0].upper() + name[1:]] = value
    return found


def flops_per_token(config: Config, parameters: int) -> float:
    """Arithmetic that training one token needs, by the usual convention: 2N forward, 2N back through the activations
    and, where all weights are trained, 2N for their gradients. Recomputed activations don't count; a reference's
    forward pass does."""
    own = 6 if config.method.tuning is Tuning.FULL else 4
    return (own + 2 * objectives.recipe(config).passes(config)) * parameters


def utilization(config: Config, device: Device, parameters: int, tokens_per_second: float) -> float | None:
    """Model FLOP/s utilization of all GPUs together; None where the peak is not known."""
    peak = devices.peak_flops(device, config.training.precision)
    if peak is None:
        return None
    return tokens_per_second * flops_per_token(config, parameters) / (peak * config.distributed.world_size)
