"""Decides after each step: evaluate, save, stop. Keeps the best checkpoint, publishes what was saved, writes the curves
and tells how far the run is. All that it counts lies in `facts` and goes into every checkpoint."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from tunebird_trainer.config import Precision
from tunebird_trainer.progress import Progress, Speed
from tunebird_trainer.survival.group import agreed, barrier
from tunebird_trainer.training import curves, devices
from tunebird_trainer.training.divergence import Losses, not_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tunebird_trainer.config import Config
    from tunebird_trainer.survival.checkpoints import Checkpoints, Saved
    from tunebird_trainer.training.curves import Curves

_LOG_KEPT = 20  # entries of the log that stay in a checkpoint's state


class StopRequestedDuringEvaluation(Exception):  # noqa: N818
    """Leaves an evaluation early; the step before it is complete and can be saved."""


@dataclass(slots=True)
class Watch:
    """What the callback shares with the frame: requests in, facts out."""

    stop_requested: Callable[[], bool]
    told: Callable[[Progress], None]
    saved: Callable[[Saved], None]
    attempt: int
    shaped: Callable[[dict[str, int]], None] = lambda _: None
    facts: dict[str, Any] = field(default_factory=dict)
    checkpoint: str | None = None


class Keeper(TrainerCallback):
    def __init__(self, config: Config, checkpoints: Checkpoints, watch: Watch, written: Curves | None = None) -> None:
        self.config, self.checkpoints, self.watch, self.curves = config, checkpoints, watch, written
        self.device = devices.here()
        self.holds_out = False
        self.parameters = 0
        self.data_wait_seconds = 0.0  # of the step in hand
        self.reporting_seconds = 0.0  # that training waited for curves and reports
        self.saved_at = time.monotonic()
        self.seconds_before = float(watch.facts.get("seconds", 0))
        self.losses = Losses(**watch.facts.get("losses", {}))
        self.began = time.monotonic()
        self.speed = Speed(0)
        checkpoints.best = watch.facts.get("bestStep")

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.began = self.saved_at = time.monotonic()
        self.speed = Speed(state.num_input_tokens_seen)
        self._tell(state, "train")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        last = state.global_step >= state.max_steps or "stoppedEarly" in self.watch.facts
        stop, save = agreed(self.watch.stop_requested(), self._due(state.global_step))
        due = last or self.evaluation_due(state.global_step, state.epoch)
        control.should_evaluate = self.holds_out and due and not stop
        control.should_save = save or stop or last
        control.should_training_stop = stop or last

    def on_prediction_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        (stop,) = agreed(self.watch.stop_requested())
        if stop:
            raise StopRequestedDuringEvaluation

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        del state.log_history[:-_LOG_KEPT]
        self._check_gradient(logs, state.global_step)
        if "loss" not in logs:
            return
        self.watch.facts.update(trainLoss=logs["loss"], learningRate=logs["learning_rate"])
        self.losses.add(logs["loss"])
        self.losses.check(state.global_step, self.config.training.learning_rate)
        if self.losses.above and not control.should_training_stop:
            control.should_save = False  # the last good checkpoint stays the last one
        self.speed.step(state.num_input_tokens_seen)
        with self._reporting():
            self._record_step(state, logs)
            self._tell(state, "train")

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
        loss = metrics["eval_loss"]
        if not math.isfinite(loss):
            raise not_finite("held-out loss", loss, state.global_step, self.config.training.learning_rate)
        if state.global_step == 0:
            self.watch.facts["evalLossBefore"] = loss
        self.watch.facts.update(evalLoss=loss, evaluatedStep=state.global_step)
        self.speed.interrupted()
        if state.global_step:
            self._compare(loss, state, control)
        with self._reporting():
            self.record({"step": state.global_step, **curves.renamed(metrics)})
            self._tell(state, "evaluate")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.saved_at = time.monotonic()
        barrier()
        if state.is_world_process_zero:
            self._publish(args, state)
        barrier()
        self.speed.interrupted()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.curves:
            self.curves.flush()
            share = self.reporting_seconds / max(time.monotonic() - self.began, 1e-6)
            print(f"train: reports and curves took {self.reporting_seconds:.3f} s, {share:.2%} of training", flush=True)

    def evaluation_due(self, step: int, epoch: float) -> bool:
        every = self.config.training.evaluate_every
        return epoch % 1 == 0 if every is None else step % every == 0

    def record(self, line: dict[str, Any]) -> None:
        if self.curves:
            self.curves.add(line)

    def _compare(self, loss: float, state: Any, control: Any) -> None:
        """The lowest held-out loss so far is kept as a checkpoint; too many evaluations without one end the run."""
        facts, asked = self.watch.facts, self.config.training
        if not asked.keep_best and asked.early_stopping is None:
            return
        if loss < facts.get("bestLoss", math.inf):
            facts.update(bestLoss=loss, bestStep=state.global_step, withoutImprovement=0)
            self.checkpoints.best = state.global_step
            control.should_save = True
        else:
            facts["withoutImprovement"] += 1
        if asked.early_stopping and facts["withoutImprovement"] >= asked.early_stopping.patience:
            facts["stoppedEarly"] = state.global_step
            control.should_save = control.should_training_stop = True

    def _publish(self, args: Any, state: Any) -> None:
        if self.curves:
            self.curves.flush()
        self.watch.facts.update(
            of=state.max_steps,
            epoch=state.epoch,
            tokens=state.num_input_tokens_seen,
            seconds=round(self.seconds_before + time.monotonic() - self.began, 3),
            losses=asdict(self.losses),
        )
        written = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        saved = self.checkpoints.publish(written, dict(self.watch.facts))
        self.watch.checkpoint = saved.name
        self.watch.saved(saved)

    def _due(self, step: int) -> bool:
        asked = self.config.checkpoint
        by_steps = asked.every_steps is not None and step % asked.every_steps == 0
        return by_steps or time.monotonic() - self.saved_at >= asked.every_seconds

    def _check_gradient(self, logs: dict[str, Any], step: int) -> None:
        # fp16 meets infinite gradients as a matter of course: its scaler skips those steps.
        norm = logs.get("grad_norm")
        if norm is not None and not math.isfinite(norm) and self.config.training.precision is not Precision.FP16:
            raise not_finite("gradient norm", norm, step, self.config.training.learning_rate)

    def _record_step(self, state: Any, logs: dict[str, Any]) -> None:
        facts, limit = self.watch.facts, self.config.training.max_gradient_norm
        clipped = bool(limit) and logs.get("grad_norm", 0) > limit
        facts["clippedSteps"] = facts.get("clippedSteps", 0) + clipped
        rate = self.speed.last_tokens_per_second
        self.record(
            {
                "step": state.global_step, "epoch": round(state.epoch or 0, 4), **curves.renamed(logs),
                "clippedShare": round(facts["clippedSteps"] / state.global_step, 4),
                "tokens": state.num_input_tokens_seen, "tokensPerSecond": rate,
                "mfu": curves.utilization(self.config, self.device, self.parameters, rate),
                "dataWaitSeconds": round(self.data_wait_seconds, 6),
            }
        )  # fmt: skip
        self.data_wait_seconds = 0.0

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.reporting_seconds += time.perf_counter() - started

    def _tell(self, state: Any, phase: str) -> None:
        if not state.is_world_process_zero:
            return
        facts = self.watch.facts
        self.watch.told(
            Progress(
                self.watch.attempt, phase, state.global_step, state.max_steps,
                epoch=state.epoch, loss=facts.get("trainLoss"), eval_loss=facts.get("evalLoss"),
                learning_rate=facts.get("learningRate"),
                tokens_per_second=self.speed.tokens_per_second(),
                eta_seconds=self.speed.eta_seconds(state.global_step, state.max_steps),
                checkpoint=self.watch.checkpoint,
            )
        )  # fmt: skip
