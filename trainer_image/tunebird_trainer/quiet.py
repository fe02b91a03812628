"""Keeps out of the log what libraries say about themselves: it is neither the user's fault nor the user's to mend."""

from __future__ import annotations

import logging
import os
import sys
import warnings

# By the logger's name, how a message begins that is dropped.
_DROPPED = {
    # An optional kernel for 4-bit weights, looked for in every process: bitsandbytes/backends/cpu/ops.py, 0.50.2.
    "bitsandbytes.backends.cpu.ops": "Failed to load CPU gemm_4bit_forward",
    # Accelerate imports DeepSpeed whether it is used or not: accelerator/real_accelerator.py, 0.19.8.
    "DeepSpeed": "Setting accelerator to CPU",
}


def libraries() -> None:
    """Call it before they are imported."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not sys.stderr.isatty():
        for library in ("HF_HUB", "HF_DATASETS"):  # transformers asks the hub's library
            os.environ.setdefault(f"{library}_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", category=FutureWarning)
    for name, beginning in _DROPPED.items():
        logging.getLogger(name).addFilter(_Without(beginning))


class _Without(logging.Filter):
    def __init__(self, beginning: str) -> None:
        super().__init__()
        self.beginning = beginning

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(self.beginning)
