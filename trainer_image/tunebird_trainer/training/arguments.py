"""From a config and a device to what TRL's trainers are given. Pure, so that what a GPU would get can be read, compared
and kept in tests on a machine without one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from tunebird_trainer.config import Mixing, Precision, Quantization, Tuning, target_modules
from tunebird_trainer.training import deepspeed, devices, objectives

if TYPE_CHECKING:
    from pathlib import Path

    from tunebird_trainer.config import Config
    from tunebird_trainer.training.devices import Device

OPTIMIZERS = {
    "adamw": "adamw_torch_fused",
    "adamw-8bit": "adamw_bnb_8bit",
    "paged-adamw-8bit": "paged_adamw_8bit",
    "adafactor": "adafactor",
    "sgd": "sgd",
}
_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


def resolved_arguments(config: Config, device: Device) -> dict[str, Any]:
    """Everything that is decided before the model is there: how it is loaded, what the trainer gets, and why a faster
    way was not taken."""
    attention = devices.attention(config.model.attention, config.training.precision, device)
    fused = devices.fused_kernels(device)
    return {
        "model": {
            "dtype": weights_dtype(config), "attn_implementation": attention.value, "use_kernels": fused.value == "hub",
            "quantization": quantization(config),
        },
        "adapter": adapter(config),
        "trainer": trainer_arguments(config, device),
        "reasons": [choice.reason for choice in (attention, fused) if choice.reason],
    }  # fmt: skip


def weights_dtype(config: Config) -> str:
    """Weights that are trained are kept in fp32 and computed with in `precision`; frozen ones are held as narrow as the
    arithmetic."""
    if config.method.tuning is Tuning.FULL or config.training.precision is Precision.FP32:
        return "float32"
    return "bfloat16" if config.training.precision is Precision.BF16 else "float16"


def compute_dtype(config: Config) -> str:
    narrow = {Precision.BF16: "bfloat16", Precision.FP16: "float16", Precision.FP32: "float32"}
    return narrow[config.training.precision]


def quantization(config: Config) -> dict[str, Any] | None:
    """Arguments of BitsAndBytesConfig."""
    match config.method.quantization:
        case Quantization.NONE:
            return None
        case Quantization.INT8:
            return {"load_in_8bit": True}
        case Quantization.NF4:
            return {
                "load_in_4bit": True, "bnb_4bit_quant_type": "nf4",
                "bnb_4bit_use_double_quant": config.method.double_quantization,
                "bnb_4bit_compute_dtype": compute_dtype(config), "bnb_4bit_quant_storage": "uint8",
            }  # fmt: skip


def adapter(config: Config) -> dict[str, Any] | None:
    """Arguments of peft's LoraConfig."""
    lora = config.method.lora if config.method.tuning is Tuning.LORA else None
    if lora is None:
        return None
    names = target_modules(lora)
    return {
        "task_type": "CAUSAL_LM", "r": lora.rank, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout,
        "target_modules": names[0] if names == ["all-linear"] else names,
        "use_dora": lora.use_dora, "use_rslora": lora.use_rslora,
    }  # fmt: skip


def trainer_arguments(config: Config, device: Device) -> dict[str, Any]:
    """Arguments of SFTConfig or DPOConfig but for where they write and what a resumed run changes."""
    return {
        **_length_and_batches(config),
        **_optimization(config),
        **_arithmetic(config, device),
        **_left_to_the_keeper(config),
        **_processes(config, device),
        **objectives.recipe(config).own_arguments(config),
    }


def _length_and_batches(config: Config) -> dict[str, Any]:
    training = config.training
    return {
        "num_train_epochs": training.epochs, "max_steps": training.max_steps or -1,
        "per_device_train_batch_size": training.micro_batch_size,
        "per_device_eval_batch_size": training.micro_batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
        "max_length": training.max_sequence_length, "train_sampling_strategy": _sampling(config),
        "seed": training.seed, "data_seed": training.seed,
    }  # fmt: skip


def _sampling(config: Config) -> str:
    if config.mixing is Mixing.INTERLEAVE:
        return "sequential"
    return "group_by_length" if config.training.group_by_length else "random"


def _optimization(config: Config) -> dict[str, Any]:
    training = config.training
    return {
        "learning_rate": training.learning_rate, "lr_scheduler_type": _SCHEDULES[training.schedule.type],
        "warmup_steps": float(training.schedule.warmup), "optim": OPTIMIZERS[training.optimizer],
        "weight_decay": training.weight_decay, "max_grad_norm": training.max_gradient_norm,
        "neftune_noise_alpha": training.neftune_alpha,
    }  # fmt: skip


def _arithmetic(config: Config, device: Device) -> dict[str, Any]:
    """fp32 means fp32: TF32, which keeps ten bits, is allowed only beside narrower arithmetic."""
    training = config.training
    narrow = training.precision is not Precision.FP32
    return {
        "bf16": training.precision is Precision.BF16, "fp16": training.precision is Precision.FP16,
        "tf32": narrow if device.on_gpu else None, "full_determinism": training.deterministic,
        "activation_checkpointing": training.activation_checkpointing,
        "activation_checkpointing_kwargs": {"use_reentrant": False} if training.activation_checkpointing else None,
        "use_cpu": not device.on_gpu, "dataloader_pin_memory": device.on_gpu,
    }  # fmt: skip


def _left_to_the_keeper(config: Config) -> dict[str, Any]:
    return {
        "eval_strategy": "no", "save_strategy": "no",
        "logging_steps": 1, "logging_nan_inf_filter": False, "include_num_input_tokens_seen": "non_padding",
        "disable_tqdm": True, "report_to": list(config.training.trackers) or "none",
    }  # fmt: skip


def _processes(config: Config, device: Device) -> dict[str, Any]:
    grouped = config.distributed.world_size > 1
    return {
        "ddp_find_unused_parameters": False if grouped else None,
        "ddp_backend": ("nccl" if device.on_gpu else "gloo") if grouped else None,
    }


def settings(config: Config, device: Device, writing: Path, resume: Path | None, *, measure_first: bool) -> Any:
    """The config object of the objective's trainer."""
    import trl

    kind = getattr(trl, objectives.recipe(config).settings)
    if config.training.trackers:
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(writing.parent / "tensorboard"))
    return kind(
        output_dir=str(writing),
        eval_on_start=measure_first,
        **trainer_arguments(config, device),
        **deepspeed.arguments(config, resume),
    )
