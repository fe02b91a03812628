"""TRL's SFTTrainer with what a long run on Kubernetes needs: stop on request, save by time, notice a lost run,
count on."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftModel
from transformers import PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer, pack_dataset

from tunebird_trainer.config import Mixing, Precision, Tuning, target_modules
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.progress import Progress, Speed

if TYPE_CHECKING:
    from collections.abc import Callable

    from datasets import Dataset

    from tunebird_trainer.checkpoints import Checkpoints, Saved
    from tunebird_trainer.config import Config
    from tunebird_trainer.data import Prepared

_OPTIMIZERS = {"adamw": "adamw_torch_fused"}
_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}
_LOG_KEPT = 20  # entries of the log that stay in a checkpoint's state


class StopRequestedDuringEvaluation(Exception):  # noqa: N818
    """Leaves an evaluation early; the step before it is complete and can be saved."""


@dataclass(slots=True)
class Watch:
    """What the callback shares with the recipe: requests in, facts out."""

    stop_requested: Callable[[], bool]
    told: Callable[[Progress], None]
    saved: Callable[[Saved], None]
    attempt: int
    facts: dict[str, Any] = field(default_factory=dict)
    checkpoint: str | None = None


class Sft(SFTTrainer):
    """Raises on a loss that is not a number before the optimizer can spoil the weights."""

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        if not torch.isfinite(loss):
            raise diverged("loss", float(loss), self.state.global_step + 1, self.args.learning_rate)
        return loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        try:
            return super().evaluate(*args, **kwargs)
        except StopRequestedDuringEvaluation:
            self.control.should_evaluate = False
            self.control.should_save = self.control.should_training_stop = True
            return {}


class Keeper(TrainerCallback):
    """Asks for checkpoints and evaluations, publishes what was saved, and tells how far the run is."""

    def __init__(self, config: Config, checkpoints: Checkpoints, watch: Watch) -> None:
        self.config, self.checkpoints, self.watch = config, checkpoints, watch
        self.holds_out = False
        self.saved_at = time.monotonic()
        self.seconds_before = float(watch.facts.get("seconds", 0))
        self.speed = Speed(0, 0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.saved_at = time.monotonic()
        self.speed = Speed(state.global_step, state.num_input_tokens_seen)
        self._tell(state, "train")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        last = state.global_step >= state.max_steps
        stop, save = agreed(self.watch.stop_requested(), self._due(state.global_step))
        control.should_evaluate = self.holds_out and not stop and (last or self._evaluation_due(state))
        control.should_save = save or stop or last
        control.should_training_stop = stop or last

    def on_prediction_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        (stop,) = agreed(self.watch.stop_requested())
        if stop:
            raise StopRequestedDuringEvaluation

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        del state.log_history[:-_LOG_KEPT]
        self._check_gradient(logs, state.global_step)
        if "loss" in logs:
            self.watch.facts.update(trainLoss=logs["loss"], learningRate=logs["learning_rate"])
            self._tell(state, "train")

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
        loss = metrics["eval_loss"]
        if not math.isfinite(loss):
            raise diverged("held-out loss", loss, state.global_step, self.config.training.learning_rate)
        if state.global_step == 0:
            self.watch.facts["evalLossBefore"] = loss
        self.watch.facts.update(evalLoss=loss, evaluatedStep=state.global_step)
        self._tell(state, "evaluate")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.saved_at = time.monotonic()
        barrier()
        if state.is_world_process_zero:
            self._publish(args, state)
        barrier()

    def _publish(self, args: Any, state: Any) -> None:
        self.watch.facts.update(
            of=state.max_steps,
            epoch=state.epoch,
            tokens=state.num_input_tokens_seen,
            seconds=round(self.seconds_before + self.speed.seconds, 3),
        )
        written = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        saved = self.checkpoints.publish(written, dict(self.watch.facts))
        self.watch.checkpoint = saved.name
        self.watch.saved(saved)

    def _due(self, step: int) -> bool:
        asked = self.config.checkpoint
        by_steps = asked.every_steps is not None and step % asked.every_steps == 0
        return by_steps or time.monotonic() - self.saved_at >= asked.every_seconds

    def _evaluation_due(self, state: Any) -> bool:
        every = self.config.training.evaluate_every
        return bool(state.epoch % 1 == 0 if every is None else state.global_step % every == 0)

    def _check_gradient(self, logs: dict[str, Any], step: int) -> None:
        # fp16 meets infinite gradients as a matter of course: its scaler skips those steps.
        norm = logs.get("grad_norm")
        if norm is not None and not math.isfinite(norm) and self.config.training.precision is not Precision.FP16:
            raise diverged("gradient norm", norm, step, self.config.training.learning_rate)

    def _tell(self, state: Any, phase: str) -> None:
        if not state.is_world_process_zero:
            return
        facts = self.watch.facts
        self.watch.told(
            Progress(
                self.watch.attempt, phase, state.global_step, state.max_steps,
                epoch=state.epoch, loss=facts.get("trainLoss"), eval_loss=facts.get("evalLoss"),
                learning_rate=facts.get("learningRate"),
                tokens_per_second=self.speed.tokens_per_second(state.num_input_tokens_seen),
                eta_seconds=self.speed.eta_seconds(state.global_step, state.max_steps),
                checkpoint=self.watch.checkpoint,
            )
        )  # fmt: skip


def build(config: Config, model: Any, tokenizer: Any, data: Prepared, keeper: Keeper, *, fresh: bool) -> Sft:
    """The trainer for prepared data; TRL neither templates, tokenizes nor masks anything."""
    keeper.holds_out = len(data.validation) > 0
    _check_targets(model, config)
    trainer = Sft(
        model=model,
        args=arguments(config, keeper.checkpoints.writing, measure_first=fresh and keeper.holds_out),
        processing_class=tokenizer,
        train_dataset=_train_set(data.train, config),
        eval_dataset=data.validation if len(data.validation) else None,
        peft_config=adapter(config)
        if config.method.tuning is Tuning.LORA and not isinstance(model, PeftModel)
        else None,
        callbacks=[keeper],
    )
    trainer.remove_callback(PrinterCallback)  # the reporter prints
    return trainer


def arguments(config: Config, writing: Path, *, measure_first: bool) -> SFTConfig:
    training, on_cpu = config.training, not torch.cuda.is_available()
    return SFTConfig(
        output_dir=str(writing),
        num_train_epochs=training.epochs, max_steps=training.max_steps or -1,
        per_device_train_batch_size=training.micro_batch_size, per_device_eval_batch_size=training.micro_batch_size,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        learning_rate=training.learning_rate, lr_scheduler_type=_SCHEDULES[training.schedule.type],
        warmup_steps=float(training.schedule.warmup), optim=_OPTIMIZERS[training.optimizer],
        bf16=training.precision is Precision.BF16, fp16=training.precision is Precision.FP16,
        activation_checkpointing=training.activation_checkpointing,
        seed=training.seed, data_seed=training.seed, full_determinism=training.deterministic,
        train_sampling_strategy="sequential" if config.mixing is Mixing.INTERLEAVE else "random",
        max_length=training.max_sequence_length, packing=training.packing, eval_packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        eval_on_start=measure_first,
        eval_strategy="no", save_strategy="no",  # the keeper decides
        logging_steps=1, logging_nan_inf_filter=False, include_num_input_tokens_seen="non_padding",
        use_cpu=on_cpu, ddp_find_unused_parameters=False if _in_group() else None,
        ddp_backend=("gloo" if on_cpu else "nccl") if _in_group() else None,
        disable_tqdm=True, report_to="none", dataloader_pin_memory=not on_cpu,
    )  # fmt: skip


def _check_targets(model: Any, config: Config) -> None:
    wanted = target_modules(config.method.lora) if config.method.lora else []
    present = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    absent = [name for name in wanted if name not in (*present, "all-linear")]
    if absent:
        known = ", ".join(sorted(name for name in present if name.endswith("_proj"))) or "other names"
        raise Failure(
            Reason.INVALID_CONFIG,
            f"method.lora.targetModules: {', '.join(absent)} is not in this model; use all-linear or {known}",
        )


def adapter(config: Config) -> LoraConfig:
    lora = config.method.lora
    assert lora is not None  # checked with the config
    names = target_modules(lora)
    return LoraConfig(
        task_type="CAUSAL_LM", r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout,
        target_modules=names[0] if names == ["all-linear"] else names,
        use_dora=lora.use_dora, use_rslora=lora.use_rslora,
    )  # fmt: skip


def agreed(*flags: bool) -> tuple[bool, ...]:
    """True where any process says so: all must stop and save at the same step, or they wait for each other for ever."""
    if not _in_group():
        return flags
    tensor = torch.tensor(flags, dtype=torch.int32, device="cuda" if torch.cuda.is_available() else "cpu")
    torch.distributed.all_reduce(tensor, torch.distributed.ReduceOp.MAX)
    return tuple(bool(flag) for flag in tensor.tolist())


def barrier() -> None:
    if _in_group() and torch.distributed.is_initialized():
        torch.distributed.barrier()


def diverged(what: str, value: float, step: int, learning_rate: float) -> Failure:
    return Failure(
        Reason.NAN_LOSS,
        f"{what} is {value} at step {step}; lower training.learningRate (now {learning_rate:g}) or look at the data",
    )


def _in_group() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def _train_set(dataset: Dataset, config: Config) -> Dataset:
    if config.training.packing:
        return pack_dataset(dataset, config.training.max_sequence_length, "bfd")
    return dataset
