"""Real processes for tests: a devplane, and operators that speak to it. Each ends with its context."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from devplane.outside.spawned import spawned

ROOT = Path(__file__).parents[2]
PYTHONPATH = f"{ROOT / 'operator'}{os.pathsep}{ROOT / 'tests'}"


def until(found: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Look again and again until it is so; fail when it never is."""
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


@contextmanager
def process(module: str, *args: str, log: Path, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m module`; it is asked to end, and killed if it doesn't."""
    environ = {**os.environ, "PYTHONPATH": PYTHONPATH, **env}
    with log.open("ab") as out:
        started = subprocess.Popen([sys.executable, "-m", module, *args], stdout=out, stderr=out, env=environ, cwd=ROOT)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(60)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@contextmanager
def devplane(folder: Path, port: int = 0, *args: str) -> Iterator[Path]:
    """A control plane of its own; gives the kubeconfig. With the same folder and port it goes on where it was."""
    with spawned(folder, ["--port", str(port), *args]) as started:
        yield started.kubeconfig
