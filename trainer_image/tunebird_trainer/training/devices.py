"""What the run computes on, and what follows from it: attention, fused kernels, peak arithmetic. Pure but for `here`;
each choice comes with the sentence that tells why."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from tunebird_trainer.config import Precision

# Dense bf16/fp16 FLOP/s without sparsity. NVIDIA's data sheets: H200 and H100 SXM 989.4 TFLOP/s, H100 PCIe 756,
# A100 312, L40S 362, L4 121, A10 125, V100 125 (fp16).
PEAK_FLOPS = (
    ("H200", 989.4e12),
    ("H100 PCIe", 756e12),
    ("H100", 989.4e12),
    ("A100", 312e12),
    ("L40S", 362e12),
    ("L4", 121e12),
    ("A10", 125e12),
    ("V100", 125e12),
)
_FLASH_CAPABILITY = (8, 0)  # Ampere; the flash kernels know no older GPU
_HUB_FLASH = "kernels-community/flash-attn2"


@dataclass(frozen=True, slots=True)
class Device:
    """One process's share of the machine, declared for a plan or looked up by `here`."""

    kind: str = "cpu"  # cpu or cuda
    name: str = ""
    capability: tuple[int, int] = (0, 0)
    memory_bytes: int = 0
    packages: frozenset[str] = frozenset()  # of those that bring kernels: flash_attn, kernels

    @property
    def on_gpu(self) -> bool:
        return self.kind == "cuda"


@dataclass(frozen=True, slots=True)
class Choice:
    value: str
    reason: str = ""  # why it is not the best there is


def here() -> Device:
    import torch

    if not torch.cuda.is_available():
        return Device()
    found = torch.cuda.get_device_properties(torch.cuda.current_device())
    packages = frozenset(each for each in ("flash_attn", "kernels") if importlib.util.find_spec(each))
    return Device("cuda", found.name, (found.major, found.minor), found.total_memory, packages)


def attention(asked: str, precision: Precision, device: Device) -> Choice:
    """What transformers gets as attn_implementation. That a CPU has no flash attention is told only who asks for it."""
    if asked == "auto" and not device.on_gpu:
        return Choice("sdpa")
    if asked in ("sdpa", "eager"):
        return Choice(asked)
    obstacle = _flash_obstacle(precision, device)
    if obstacle:
        return Choice("sdpa", f"flash attention is not used: {obstacle}")
    return Choice("flash_attention_2" if "flash_attn" in device.packages else _HUB_FLASH)


def _flash_obstacle(precision: Precision, device: Device) -> str:
    if not device.on_gpu:
        return "it needs a GPU"
    if device.capability < _FLASH_CAPABILITY:
        return f"{device.name} is older than compute capability 8.0"
    if precision is Precision.FP32:
        return "it computes in bf16 or fp16 and training.precision is fp32"
    if not device.packages:
        return "neither flash-attn nor kernels is installed in the image"
    return ""


def fused_kernels(device: Device) -> Choice:
    """`hub` where transformers can replace layers by fused kernels of the hub's, else `none`."""
    if not device.on_gpu:
        return Choice("none")
    if "kernels" not in device.packages:
        return Choice("none", "fused kernels are not used: the package kernels is not installed in the image")
    return Choice("hub")


def peak_flops(device: Device, precision: Precision) -> float | None:
    """FLOP/s that the maker states, or None where a share of it would say nothing: CPUs, fp32, unknown GPUs."""
    if not device.on_gpu or precision is Precision.FP32:
        return None
    return next((peak for name, peak in PEAK_FLOPS if name.lower() in device.name.lower()), None)
