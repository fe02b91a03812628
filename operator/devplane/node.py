"""The one node: what it offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devplane.context import Context

HOST_IP = "127.0.0.1"
MAX_PODS = 250
GPU = "nvidia.com/gpu"


def allocatable(context: Context) -> dict[str, str]:
    """Declared, not measured: cpu, memory, pods and, where there are any, GPUs."""
    amounts = {"cpu": context.cpu, "memory": context.memory, "pods": str(MAX_PODS)}
    return {**amounts, GPU: str(context.gpus)} if context.gpus else amounts
