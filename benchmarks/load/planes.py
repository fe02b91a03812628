"""Control planes as processes of their own, of this tree or of an earlier revision, and what they use."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
END_SECONDS = 40


@dataclass(frozen=True, slots=True)
class Plane:
    """A `devplane serve` that said that it is ready, `started_in` seconds after its process began."""

    url: str
    authority: str
    admin: str
    pid: int
    started_in: float

    def resident_mb(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rest(self, most: float = 120.0) -> float:
        """Seconds until it hardly computes any more: controllers are done with what was created."""
        began = time.monotonic()
        while time.monotonic() < began + most:
            before = self.cpu_seconds()
            time.sleep(1)
            if self.cpu_seconds() - before < 0.1:
                break
        return time.monotonic() - began


class Neighbours:
    """What the machine does beside this program and its children."""

    def __init__(self) -> None:
        self._began, self._busy, self._own = time.monotonic(), _busy_seconds(), sum(os.times()[:4])

    def cores(self) -> float:
        """How many CPUs they took on average. Children count as own once they have ended."""
        taken = _busy_seconds() - self._busy - (sum(os.times()[:4]) - self._own)
        return max(taken, 0) / (time.monotonic() - self._began)


def _busy_seconds() -> float:
    """User, nice, system, interrupts and stolen time of all CPUs."""
    fields = [int(one) for one in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS


@contextmanager
def plane(data: Path, tree: Path = ROOT) -> Iterator[Plane]:
    """`python -m devplane serve` of the code in `tree`, with everything that it has: controllers and kubelet too."""
    command = [sys.executable, "-P", "-m", "devplane", "serve", "--data-dir", str(data)]
    environment = {**os.environ, "PYTHONPATH": str(tree / "operator")}
    began = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment)
    try:
        yield _ready(process, began)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=END_SECONDS)


def _ready(process: subprocess.Popen[bytes], began: float) -> Plane:
    assert process.stdout is not None
    line = process.stdout.readline()
    taken = time.monotonic() - began
    if not line:
        raise SystemExit(f"devplane ended with code {process.wait()} before it was ready")
    config = yaml.safe_load(Path(json.loads(line)["kubeconfig"]).read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    return Plane(cluster["server"], authority, user["token"], process.pid, taken)


def tree_of(revision: str, folder: Path) -> Path:
    """The code of a git revision, unpacked."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", revision, "operator"], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder
