"""What each device, objective and tuning gets, as golden files: those of GPUs too, on a machine without one.

A changed decision shows as a difference: `TUNEBIRD_WRITE_GOLDEN=1 pytest tests/trainer/training/test_arguments.py`
writes the files anew, and the commit says why."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from trainer.factories import config
from tunebird_trainer import config_file
from tunebird_trainer.config import Precision
from tunebird_trainer.training import devices
from tunebird_trainer.training.arguments import resolved_arguments
from tunebird_trainer.training.devices import Device

GOLDEN = Path(__file__).parent / "golden"
H100 = Device("cuda", "NVIDIA H100 80GB HBM3", (9, 0), 80 * 2**30, frozenset({"kernels"}))
V100 = Device("cuda", "Tesla V100-SXM2-16GB", (7, 0), 16 * 2**30, frozenset({"flash_attn"}))
BARE = dataclasses.replace(H100, packages=frozenset())
DEVICES = {"cpu": (Device(), 1, "fp32"), "h100": (H100, 1, "bf16"), "8xh100": (H100, 8, "bf16")}
FULL = {"method__tuning": "full", "method__lora": None, "output__forms": ["merged"]}
TUNINGS = {
    "lora": {},
    "full": FULL,
    "qlora-nf4": {"method__quantization": "nf4"},
    "qlora-int8": {"method__quantization": "int8"},
}


def asked(processes=1, **changes):
    shape = {"distributed__processesPerNode": processes, "training__globalBatchSize": 4 * processes}
    return config_file.parse(config(**shape, **changes))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("objective", ["sft", "continue", "dpo"])
def test_what_is_resolved_is_what_was_agreed(device, objective):
    where, processes, precision = DEVICES[device]
    found = {
        name: resolved_arguments(
            asked(processes, method__objective=objective, training__precision=precision, **changes), where
        )
        for name, changes in TUNINGS.items()
    }
    path = GOLDEN / f"{device}-{objective}.json"
    written = json.dumps(found, indent=1, sort_keys=True) + "\n"
    if os.environ.get("TUNEBIRD_WRITE_GOLDEN"):
        path.write_text(written)
    assert path.read_text() == written


@pytest.mark.parametrize(
    ("wanted", "precision", "device", "value", "reason"),
    [
        ("auto", "bf16", H100, "kernels-community/flash-attn2", ""),
        ("flash", "bf16", dataclasses.replace(H100, packages=frozenset({"flash_attn"})), "flash_attention_2", ""),
        ("flash", "bf16", Device(), "sdpa", "it needs a GPU"),
        ("auto", "bf16", Device(), "sdpa", ""),
        ("auto", "bf16", BARE, "sdpa", "neither flash-attn nor kernels is installed"),
        ("auto", "fp16", V100, "sdpa", "Tesla V100-SXM2-16GB is older than compute capability 8.0"),
        ("auto", "fp32", H100, "sdpa", "training.precision is fp32"),
        ("eager", "bf16", H100, "eager", ""),
        ("sdpa", "bf16", H100, "sdpa", ""),
    ],
)
def test_flash_attention_is_used_where_it_can_be_and_else_the_reason_is_told(wanted, precision, device, value, reason):
    found = devices.attention(wanted, Precision(precision), device)
    assert found.value == value
    assert reason in found.reason
    assert bool(found.reason) == bool(reason)


def test_where_fused_kernels_are_missing_the_reason_is_told():
    assert devices.fused_kernels(H100).value == "hub"
    assert "the package kernels is not installed" in devices.fused_kernels(BARE).reason
    assert devices.fused_kernels(Device()) == devices.Choice("none")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"training__optimizer": "paged-adamw-8bit"}, {"optim": "paged_adamw_8bit"}),
        ({"training__weightDecay": 0.1, "training__maxGradientNorm": 0.0}, {"weight_decay": 0.1, "max_grad_norm": 0.0}),
        ({"training__schedule": {"type": "constant", "warmup": 0.0}}, {"lr_scheduler_type": "constant_with_warmup"}),
        ({"training__groupByLength": True}, {"train_sampling_strategy": "group_by_length"}),
        ({"training__neftuneAlpha": 5.0}, {"neftune_noise_alpha": 5.0}),
        ({"training__activationCheckpointing": True}, {"activation_checkpointing_kwargs": {"use_reentrant": False}}),
        (
            {"method__objective": "dpo", "method__dpo": {"beta": 0.3, "loss": "ipo"}},
            {"beta": 0.3, "loss_type": ["ipo"]},
        ),
        ({"training__trackers": ["tensorboard"]}, {"report_to": ["tensorboard"]}),
    ],
)
def test_each_setting_reaches_the_trainer(changes, expected):
    found = resolved_arguments(asked(**changes), Device())["trainer"]
    assert {name: found[name] for name in expected} == expected


def test_each_argument_is_known_to_trl(tmp_path):
    """What the pure function says is what TRL takes and keeps."""
    from tunebird_trainer.training.arguments import settings, trainer_arguments

    for objective in ("sft", "dpo"):
        plan = asked(method__objective=objective)
        kept = settings(plan, Device(), tmp_path / "w", None, measure_first=False)
        for name, value in trainer_arguments(plan, Device()).items():
            if name not in ("report_to", "lr_scheduler_type", "optim", "tf32", "train_sampling_strategy"):
                assert getattr(kept, name) == value, name
