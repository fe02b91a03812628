"""A control plane as a process of its own, for whoever starts one: waits until it is ready, and ends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

READY_SECONDS = 30.0
END_SECONDS = 40.0


class NotReadyError(RuntimeError):
    """It ended, or took too long; the message carries the end of its log."""


@dataclass(frozen=True, slots=True)
class Spawned:
    """A process that is ready."""

    url: str
    kubeconfig: Path
    log: Path


@contextmanager
def spawned(folder: Path, options: Sequence[str] = ()) -> Iterator[Spawned]:
    """`python -m devplane serve` with its state in `folder`/data and its log beside; asked to end, then killed."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "devplane.log"
    command = [sys.executable, "-P", "-m", "devplane", "serve", "--data-dir", str(folder / "data"), *options]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=_environment()
        )
    try:
        yield _ready(process, log)
    finally:
        _end(process)


def _environment() -> dict[str, str]:
    """In which the process finds this very package, installed or not."""
    found = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, found))}


def _ready(process: subprocess.Popen[bytes], log: Path) -> Spawned:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        has_ended = process.poll() is not None
        for line in log.read_text().splitlines(keepends=True):
            if line.startswith('{"ready"') and line.endswith("\n"):
                said = json.loads(line)
                return Spawned(said["server"], Path(said["kubeconfig"]), log)
        if has_ended:
            raise NotReadyError(f"devplane ended with code {process.returncode}: {_tail(log)}")
        time.sleep(0.02)
    raise NotReadyError(f"devplane was not ready after {READY_SECONDS:g} s: {_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-10:])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
