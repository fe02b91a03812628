"""The nodes: what they offer, and how one is told to fail."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from devplane.context import Context

HOST_IP = "127.0.0.1"
MAX_PODS = 250
GPU = "nvidia.com/gpu"
DECLARED = "devplane/declared"
FAILED = "devplane/failed"


def node_names(count: int) -> tuple[str, ...]:
    """The only node has the program's name, several are numbered."""
    return ("devplane",) if count == 1 else tuple(f"n{at}" for at in range(1, count + 1))


def allocatable(context: Context) -> dict[str, str]:
    """Of each node. Declared, not measured: cpu, memory, the disk of the data, pods and, where there are any, GPUs."""
    disk = f"{shutil.disk_usage(context.data_dir).total // 1024}Ki"
    amounts = {"cpu": context.cpu, "memory": context.memory, "ephemeral-storage": disk, "pods": str(MAX_PODS)}
    return {**amounts, GPU: str(context.gpus)} if context.gpus else amounts


def has_failed(node: Mapping[str, Any]) -> bool:
    """Whether somebody said so (`devplane node fail`)."""
    return (node["metadata"].get("annotations") or {}).get(FAILED) == "true"
