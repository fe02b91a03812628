"""TRL's trainers with what a long run on Kubernetes needs: stop on request, notice a lost run, count on. TRL neither
templates, tokenizes nor masks anything: rows come as columns of token ids."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PrinterCallback, TrainerCallback, set_seed
from transformers.trainer_pt_utils import LengthGroupedSampler
from trl import DPOTrainer, SFTTrainer

from tunebird_trainer.config import target_modules
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.survival import heartbeat
from tunebird_trainer.training import arguments, deepspeed, devices, objectives, packing, randomness, worst_case
from tunebird_trainer.training.divergence import not_finite
from tunebird_trainer.training.keeper import Keeper, StopRequestedDuringEvaluation
from tunebird_trainer.training.loading import shape
from tunebird_trainer.training.samples import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from datasets import Dataset

    from tunebird_trainer.config import Config
    from tunebird_trainer.data.prepared import Prepared


class _Enduring:
    """What is the same for every trainer of TRL's; mixed into each."""

    keeper: Keeper

    def training_step(self: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Raises on a loss that is not a number before the optimizer can spoil the weights."""
        loss: torch.Tensor = super().training_step(*args, **kwargs)  # type: ignore[misc]
        if not torch.isfinite(loss):
            raise not_finite("loss", float(loss), self.state.global_step + 1, self.args.learning_rate)
        return loss

    def evaluate(self: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Uses no random number of training's: whether an evaluation was left out or repeated changes no step."""
        print(
            f"train: evaluating {len(self.eval_dataset)} held-out rows after step {self.state.global_step}", flush=True
        )
        try:
            with randomness.kept():
                return super().evaluate(*args, **kwargs)  # type: ignore[misc]
        except StopRequestedDuringEvaluation:
            self.control.should_evaluate = False
            self.control.should_save = self.control.should_training_stop = True
            return {}

    def get_batch_samples(self: Any, *args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        batches = super().get_batch_samples(*args, **kwargs)  # type: ignore[misc]
        self.keeper.data_wait_seconds += time.perf_counter() - started
        return batches

    def _get_train_sampler(self: Any, dataset: Dataset | None = None) -> Any:
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(dataset)  # type: ignore[misc]
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return Grouped(batch, self.lengths, self.args.seed)

    def forget_metrics(self: Any) -> None:
        """As if the steps so far had not been: for a rehearsal."""
        self._metrics["train"].clear()
        self._total_train_tokens = 0


class Supervised(_Enduring, SFTTrainer):
    """Each token weighs the same in a global batch, however it is split: TRL divides by the labels of all of it."""


class Preference(_Enduring, DPOTrainer):
    """Each pair weighs the same in a global batch, however it is split: TRL takes the mean of each micro-batch, and the
    last one of an epoch may be smaller."""

    pairs = 0

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        batches, items = super().get_batch_samples(*args, **kwargs)
        self.pairs = sum(len(batch["input_ids"]) // 2 for batch in batches)
        return batches, items

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        if not self.model.training or not self.pairs:
            return loss
        return loss * (len(inputs["input_ids"]) // 2 * self.current_gradient_accumulation_steps / self.pairs)


class Grouped(LengthGroupedSampler):
    """Rows of like length together, in an order that only seed and epoch decide: transformers draws it from the global
    generator, and a resumed run would see other batches."""

    def __init__(self, batch: int, lengths: list[int], seed: int) -> None:
        super().__init__(batch, lengths=lengths)
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        self.generator = torch.Generator().manual_seed(self.seed + self.epoch)
        return super().__iter__()


class Rehearsal(TrainerCallback):
    """Runs the worst-case step when everything is in place and nothing has begun."""

    def __init__(self, config: Config, keeper: Keeper) -> None:
        self.config, self.keeper = config, keeper
        self.trainer: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        found = shape(self.trainer.model)
        if reason := self._reason_against():
            print(f"worst case: not tried, {reason}", flush=True)
            self.keeper.watch.shaped(found)
            return
        longest = worst_case.length(self.trainer, self.config)
        size = f"{self.config.training.micro_batch_size} x {longest} tokens"
        print(f"worst case: trying the longest step, {size}", flush=True)
        measured = worst_case.rehearse(self.trainer, self.config, longest)
        self.keeper.speed.interrupted()
        memory = f"{measured.peak_bytes / 2**30:.2f} GiB"
        print(f"worst case: {size} took {measured.seconds:.1f} s and at most {memory}; undone", flush=True)
        self.keeper.watch.shaped({**found, "longest": longest, "peakBytes": measured.peak_bytes})

    def _reason_against(self) -> str:
        asked = self.config.training.worst_case_step
        if asked is False:
            return "training.worstCaseStep is false"
        if self.trainer.is_deepspeed_enabled:
            return "DeepSpeed can't take a step back"
        if asked is None and not devices.here().on_gpu:
            return "it is slow on a CPU and host memory is large; training.worstCaseStep true asks for it"
        return ""


@dataclass(frozen=True, slots=True)
class Start:
    """From where training begins: the model before training where an objective compares with one, and the checkpoint
    that is gone on from."""

    resume: Path | None = None
    reference: Any = None
    measure_first: bool = False


def build(config: Config, model: Any, tokenizer: Any, data: Prepared, keeper: Keeper, start: Start) -> Any:
    """The objective's trainer for prepared data."""
    keeper.holds_out = len(data.validation) > 0
    recipe, rehearsal = objectives.recipe(config), Rehearsal(config, keeper)
    model = adapted(model, config)
    keeper.parameters = shape(model)["parameters"]
    adapter = {name: each.detach().clone() for name, each in model.named_parameters() if each.requires_grad}
    reference = {"ref_model": start.reference} if start.reference is not None else {}
    trainer = globals()[recipe.trainer](
        model=model,
        args=arguments.settings(
            config, devices.here(), keeper.checkpoints.writing, start.resume, measure_first=start.measure_first
        ),
        processing_class=tokenizer,
        train_dataset=_train_set(data.train, config),
        eval_dataset=data.validation if keeper.holds_out else None,
        callbacks=[
            keeper,
            Sampler(config.training.samples, tokenizer, keeper.record),
            heartbeat.callback(),
            deepspeed.mender(),
            rehearsal,
        ],
        **reference,
    )
    trainer.keeper = keeper
    rehearsal.trainer = trainer
    if config.training.group_by_length:
        trainer.lengths = [recipe.length(row) for row in trainer.train_dataset]
    if reference:
        trainer.ref_model = None  # its log-probabilities are columns by now
    if isinstance(model, PeftModel):
        _undo_trl(model, adapter)
    trainer.remove_callback(PrinterCallback)  # the reporter prints
    return trainer


def adapted(model: Any, config: Config) -> Any:
    """The model with its adapter; its weights are fp32 whatever the base is held in."""
    wanted = arguments.adapter(config)
    if wanted is None or isinstance(model, PeftModel):
        return model
    _check_targets(model, config)
    set_seed(config.training.seed)
    # ZeRO-3 gathers adapter and base into one buffer, which has one dtype: trl/trainer/sft_trainer.py, 1.16.
    same = config.distributed.zero_stage == 3 and config.method.quantization == "none"
    return get_peft_model(model, LoraConfig(**wanted), autocast_adapter_dtype=not same)


def _undo_trl(model: PeftModel, adapter: dict[str, torch.Tensor]) -> None:
    """TRL 1.16 casts the adapter of a quantized model to bf16, and gives preference training a frozen copy of an
    adapter as its reference; here the adapter stays as it was made and the reference is the model without it."""
    if "ref" in model.peft_config:
        model.delete_adapter("ref")
        model.set_adapter("default")
    for name, parameter in model.named_parameters():
        if name in adapter:
            parameter.data = adapter[name]


def _train_set(dataset: Dataset, config: Config) -> Dataset:
    return packing.packed(dataset, config) if config.training.packing else dataset


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
