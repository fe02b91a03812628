"""DeepSpeed's settings for a config: ZeRO stages 1 to 3 with the optimizer and the weights on GPU or CPU.

Nothing here is compiled at run time. The optimizer is torch's own fused AdamW, also for what is offloaded, and the one
operator that DeepSpeed would build on a CPU serves inference only.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from tunebird_trainer.config import Offload, Precision

if TYPE_CHECKING:
    from pathlib import Path

    from tunebird_trainer.config import Config

_BUCKET = 50_000_000  # elements reduced or fetched together: 100 MB in bf16 instead of DeepSpeed's gigabyte
UNIVERSAL = "latest_universal"  # the file that points to a universal checkpoint
_NEVER = 2**31 - 1
_alive: list[Any] = []  # transformers knows the settings by a weak reference


def wanted(config: Config) -> bool:
    return config.distributed.zero_stage > 0


def arguments(config: Config, resume: Path | None = None) -> dict[str, Any]:
    """What TrainingArguments get for this config; nothing without ZeRO."""
    return {"deepspeed": settings(config, universal=is_universal(resume))} if wanted(config) else {}


def settings(config: Config, *, universal: bool = False) -> dict[str, Any]:
    """DeepSpeed's JSON; each number is decided here, none is left at auto."""
    training = config.training
    resolved: dict[str, Any] = {
        "train_batch_size": training.global_batch_size,
        "train_micro_batch_size_per_gpu": training.micro_batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
        "gradient_clipping": training.max_gradient_norm,
        "bf16": {"enabled": training.precision is Precision.BF16},
        "fp16": {"enabled": training.precision is Precision.FP16},
        "zero_optimization": _zero(config),
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": _NEVER,
    }
    return {**resolved, "checkpoint": {"load_universal": True}} if universal else resolved


def _zero(config: Config) -> dict[str, Any]:
    asked = config.distributed
    zero: dict[str, Any] = {"stage": asked.zero_stage, "reduce_bucket_size": _BUCKET, "allgather_bucket_size": _BUCKET}
    if asked.zero_stage == 3:
        zero |= {
            "stage3_prefetch_bucket_size": _BUCKET,
            "stage3_param_persistence_threshold": 100_000,
            "stage3_gather_16bit_weights_on_model_save": True,  # or model.safetensors would be empty
        }
    if asked.offload_optimizer is Offload.CPU:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    if asked.offload_parameters is Offload.CPU:
        zero["offload_param"] = {"device": "cpu", "pin_memory": True}
    return zero


def is_universal(checkpoint: Path | None) -> bool:
    return checkpoint is not None and (checkpoint / UNIVERSAL).exists()


def prepare(config: Config) -> None:
    """Before a model is loaded, in the open process group: build no operators, let stage 3 load weights in shards."""
    if not wanted(config):
        return
    import deepspeed.comm
    import deepspeed.ops
    import torch
    from transformers.integrations import HfDeepSpeedConfig

    # The shared-memory operator (inference_all_reduce) needs a compiler and minutes at the first start of a machine.
    # TorchBackend looks here whether to build it: deepspeed/comm/torch.py, 0.19.8.
    deepspeed.ops.__compatible_ops__ = {}
    deepspeed.comm.init_distributed(torch.distributed.get_backend(), auto_mpi_discovery=False, verbose=False)
    _alive.append(HfDeepSpeedConfig(settings(config)))


def release(config: Config) -> None:
    """After training: models are loaded whole again, by the one process that publishes."""
    if not wanted(config):
        return
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    _alive.clear()
    unset_hf_deepspeed_config()


def mender() -> Any:
    """A callback that sets right what the load of a universal checkpoint leaves wrong (DeepSpeed 0.19.8, stage3.py,
    load_hp_checkpoint_state_from_checkpoint_dir_stage3): all shards get one and the same step counter, which then
    counts once for each of them and spoils Adam's bias correction, and all groups the weight decay of the first."""
    from transformers import TrainerCallback

    class Mender(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **_: Any) -> None:
            if args.deepspeed and "checkpoint" in args.deepspeed:
                mend(optimizer.optimizer.optimizer, args.weight_decay)

    return Mender()


def mend(optimizer: Any, weight_decay: float) -> None:
    """Give each shard a step counter of its own, and weight decay to the first group alone, as transformers makes
    them."""
    for state in optimizer.state.values():
        if "step" in state:
            state["step"] = copy.deepcopy(state["step"])
    for number, group in enumerate(optimizer.param_groups):
        group["weight_decay"] = 0.0 if number else weight_decay
