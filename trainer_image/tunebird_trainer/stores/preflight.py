"""What addresses on volumes tell before any library is loaded: an absent file is said in a second instead of ten. What
lies elsewhere is asked for by the run itself."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tunebird_trainer import config as configs
from tunebird_trainer.config import Objective, Precision
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.stores import objects, outputs, sources

if TYPE_CHECKING:
    from tunebird_trainer.config import Config

_LOCAL = ("pvc", "file")
_DEVICES = Path("/dev")
_GPUS = ("nvidia*", "nvhost*", "nvgpu*", "kfd", "dxg")


def check(config: Config) -> None:
    """Everything that a run reads and writes. One that has published already needs none of it.

    Raises:
        Failure: what the run would end with, later.
    """
    with suppress(OSError):  # of a volume that answers badly: judged where the run meets it
        if is_local(config.output.uri):
            if outputs.own(config, configs.run_digest(config)):  # whether it is whole, the run finds out
                return
            outputs.check_writable(config.output.uri)
    check_precision(config)
    check_inputs(config)


def check_precision(config: Config) -> None:
    """What only a GPU can do, on a machine that has none. A plan may be for another machine and isn't asked."""
    if config.training.precision is Precision.FP16 and not any(list(_DEVICES.glob(name)) for name in _GPUS):
        raise Failure(Reason.INVALID_CONFIG, "training.precision: fp16 needs a GPU; use fp32 or bf16")


def check_inputs(config: Config) -> None:
    """The models, data files and suites that are to be read."""
    reference = config.method.dpo.reference if config.method.objective is Objective.DPO else ""
    models = [config.model, *([replace(config.model, uri=reference)] if reference else [])]
    with suppress(OSError):
        for model in models:
            if is_local(model.uri):
                sources.check_model(model)
        for dataset in config.datasets:
            if is_local(dataset.uri):
                sources.fetch_dataset(dataset)
        for suite in config.evaluation.suites:
            if is_local(suite.uri):
                sources.fetch_suite(suite)


def is_local(uri: str) -> bool:
    return objects.scheme(uri) in _LOCAL
