"""The process around the recipe: signals, threads, library noise, versions, memory, and what an exception means."""

from __future__ import annotations

import ctypes
import gc
import hashlib
import os
import platform
import resource
import signal
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebird_trainer import config as configs
from tunebird_trainer import quiet
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.stores import sources, storage
from tunebird_trainer.survival import faults, group, heartbeat
from tunebird_trainer.training import deepspeed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tunebird_trainer.config import Config

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "deepspeed", "bitsandbytes", "tokenizers",
             "safetensors")  # fmt: skip
# What decides which numbers come out.
_RECIPE = ("data/*", "training/*", "run")
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class StopFlag:
    """Set by SIGTERM or SIGINT and looked at between steps; `then` says what will be done."""

    def __init__(self, then: str = "saving after the current step") -> None:
        self.is_set, self._then = False, then
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def _ask(self, *_: Any) -> None:
        if not self.is_set:
            print(f"stop requested: {self._then}", flush=True)
        self.is_set = True


def prepare(config: Config, stop_requested: Callable[[], bool] = lambda: False) -> None:
    """Quiet libraries, no orphan when the wrapper dies, signs of life, and the other processes of the run."""
    wrapper = os.environ.get("TUNEBIRD_WRAPPER_PID")
    if wrapper:
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != int(wrapper):
            raise Failure(Reason.INTERNAL, "the wrapper process is gone")
    heartbeat.pulse.start()
    quiet.libraries()
    with importing():
        import datasets
        import transformers
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    group.join(config, f"config {configs.run_digest(config)[7:19]}, code {code_digest()[7:19]}", stop_requested)
    deepspeed.prepare(config)


@contextmanager
def importing() -> Iterator[None]:
    """Lets the garbage collector rest while libraries are imported. They leave nothing to collect, and it would look
    through all that is there again and again; afterwards they stay out of its sight, in training too."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in LIBRARIES}}


def code_digest() -> str:
    """Over this recipe's source and the versions of the libraries that compute."""
    here = Path(__file__).parents[1]
    paths = sorted(path for name in _RECIPE for path in here.glob(f"{name}.py"))
    lines = [f"{path.relative_to(here)} {storage.file_digest(path)}\n" for path in paths]
    lines += [f"{name} {version}\n" for name, version in versions().items()]
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def peak_bytes() -> int:
    """Most GPU memory this process held, or most resident memory on a machine without a GPU."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def classified(error: Exception, config: Config) -> Failure:
    """The typed failure that any exception stands for."""
    import torch

    if isinstance(error, Failure):
        return error
    if isinstance(error, torch.OutOfMemoryError):
        return Failure(
            Reason.CUDA_OUT_OF_MEMORY,
            f"the GPU's memory was used up at {peak_bytes() / 2**30:.1f} GiB; lower the micro-batch or "
            "maxSequenceLength, or turn activation checkpointing on",
        )
    if isinstance(error, MemoryError):
        return Failure(
            Reason.HOST_OUT_OF_MEMORY,
            f"the host's memory was used up at {peak_bytes() / 2**30:.1f} GiB; ask for more in compute.resources",
        )
    lost = storage.storage_failure(error, sources.place(config.checkpoint.uri))
    fault = faults.found_in(str(error)) if isinstance(error, RuntimeError) and lost is None else None
    if fault:
        return Failure(fault.reason, faults.sentence(fault))
    if isinstance(error, torch.distributed.DistError):
        return Failure(Reason.RENDEZVOUS_TIMEOUT, f"the processes lost each other: {error}")
    return lost or Failure(Reason.INTERNAL, f"{type(error).__name__}: {error}")
