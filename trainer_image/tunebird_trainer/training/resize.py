"""A checkpoint of another number of processes made ready for this one.

Without ZeRO every process holds everything, so nothing is converted. With ZeRO the shards are joined into DeepSpeed's
universal form beside the checkpoint, which stays as it is. Rows go on where they were, because a global batch is the
same rows however it is split; moments and weights are the same numbers; sums are taken in another order, so the weights
are no longer the same to the byte, and processes that are new draw other random numbers (dropout).
"""

from __future__ import annotations

import os
import shutil
from argparse import Namespace
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.survival import group, heartbeat
from tunebird_trainer.training import deepspeed

if TYPE_CHECKING:
    from tunebird_trainer.config import Config
    from tunebird_trainer.survival.checkpoints import Checkpoints, Saved


def ready(config: Config, checkpoints: Checkpoints, saved: Saved) -> Path:
    """The directory that this many processes resume from.

    Raises:
        Failure: InvalidConfig when the optimizer's state can't be converted.
    """
    if saved.processes == group.world_size():
        return saved.path
    print(f"checkpoints: {saved.name} is of {saved.processes} processes, this run has {group.world_size()}", flush=True)
    if not deepspeed.wanted(config):
        return saved.path
    if config.training.optimizer != "adamw":
        raise Failure(
            Reason.INVALID_CONFIG,
            f"training.optimizer: ZeRO's checkpoint of {config.training.optimizer} can't be converted for another "
            f"number of processes; go on with {saved.processes}, or use adamw",
        )
    heartbeat.pulse.beat(heartbeat.Phase.CONVERT)
    return group.from_first(lambda: _converted(saved, checkpoints.writing / f"universal-{saved.step}"))


def _converted(saved: Saved, place: Path) -> Path:
    from deepspeed.checkpoint import ds_to_universal

    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for path in saved.path.iterdir():
        if path.is_file():
            shutil.copy2(path, place / path.name)
    name = f"{_tag(saved.path)}_universal"
    (place / name).mkdir()
    with Path(os.devnull).open("w") as quiet, redirect_stdout(quiet), redirect_stderr(quiet):
        ds_to_universal.main(
            Namespace(
                input_folder=str(saved.path / _tag(saved.path)), output_folder=str(place / name),
                num_extract_workers=1, num_merge_workers=1, keep_temp_folder=False, strict=True,
                inject_missing_state=True,
            )
        )  # fmt: skip
    for pointer in ("latest", deepspeed.UNIVERSAL):
        (place / pointer).write_text(name)
    print(f"checkpoints: {saved.name} was converted to the universal form", flush=True)
    return place


def _tag(checkpoint: Path) -> str:
    return (checkpoint / "latest").read_text().strip()
