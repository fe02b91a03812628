"""What the texts of CUDA, NCCL, Gloo and the kernel's GPU driver mean: read from an exception or from the last lines
that a process wrote before it was gone."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tunebird_trainer.outcome import Reason


@dataclass(frozen=True, slots=True)
class Fault:
    reason: Reason
    line: str  # the words that say so


# Faults of the hardware or of its driver; others (13, 31, 43, 45 …) are an application's own.
# https://docs.nvidia.com/deploy/xid-errors/
_BROKEN_XIDS = {48, 62, 63, 64, 74, 79, 92, 94, 95, 119, 120, 121, 140, 143}
_XID = re.compile(r"NVRM: Xid \(PCI:[^)]*\): (\d+)")
_WORDS = {
    Reason.GPU_FAULT: (
        r"uncorrectable (ECC|NVLink) error", r"GPU has fallen off the bus", r"GPU is lost",
        r"no CUDA-capable device is detected", r"CUDA error: (hardware stack error|unknown error)",
        r"device\(s\) is/are busy or unavailable",
    ),
    Reason.CUDA_OUT_OF_MEMORY: (
        r"CUDA out of memory", r"CUDA error: out of memory", r"CUBLAS_STATUS_ALLOC_FAILED", r"Failed to CUDA calloc",
        r"Cuda failure.*out of memory",
    ),
    Reason.HOST_OUT_OF_MEMORY: (
        r"DefaultCPUAllocator: (can't|not enough memory).*allocate", r"std::bad_alloc", r"Cannot allocate memory",
    ),
    Reason.RENDEZVOUS_TIMEOUT: (
        r"Watchdog caught collective operation timeout", r"nccl(System|Remote|Internal)Error", r"NCCL error in:",
        r"NCCL communicator was aborted", r"Connection closed by peer", r"Gloo connectFullMesh failed",
        r"gloo.*(Timed out waiting|Connection reset by peer|timed out)",
    ),
}  # fmt: skip
_PATTERNS = {reason: re.compile("|".join(words), re.IGNORECASE) for reason, words in _WORDS.items()}


def found_in(text: str) -> Fault | None:
    """The fault that the text tells of; a broken GPU goes first, because it explains the libraries' errors."""
    lines = text.splitlines()
    for line in lines:
        known = _XID.search(line)
        if known and int(known[1]) in _BROKEN_XIDS:
            return Fault(Reason.GPU_FAULT, line.strip()[:300])
    for reason, pattern in _PATTERNS.items():
        line = next((line for line in lines if pattern.search(line)), None)
        if line is not None:
            return Fault(reason, line.strip()[:300])
    return None


def sentence(fault: Fault) -> str:
    match fault.reason:
        case Reason.GPU_FAULT:
            return f"a GPU of this node is broken: {fault.line}; drain the node and look at its GPUs"
        case Reason.CUDA_OUT_OF_MEMORY:
            return (
                f"the GPU's memory was used up: {fault.line}; lower the micro-batch or maxSequenceLength, or turn "
                "activation checkpointing on"
            )
        case Reason.HOST_OUT_OF_MEMORY:
            return f"the host's memory was used up: {fault.line}; ask for more in compute.resources"
        case _:
            return (
                f"the processes lost each other: {fault.line}; look for the process that ended first and at the "
                "network between the pods"
            )
