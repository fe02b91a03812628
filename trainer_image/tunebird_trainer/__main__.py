"""PID 1 of a trainer pod: checks the config, starts the recipe as a child, forwards signals, reaps, and turns the first
failure into the exit code and termination message of the contract, even when the child was killed and said nothing."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebird_trainer import config_file
from tunebird_trainer.outcome import (
    ExitCode,
    Failure,
    Reason,
    read_journal,
    termination_message,
    write_termination_message,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tunebird_trainer.config import Config

USAGE = "usage: tunebird-trainer [CONFIG.json]   (default: the file named by TUNEBIRD_CONFIG)"
_STALE_LOCK_SECONDS = 900
_PEERS_GRACE_SECONDS = 20
_OOM_COUNTERS = ("memory.events", "memory/memory.oom_control")  # cgroup v2, v1


@dataclass(frozen=True, slots=True)
class Ended:
    """How the first process that failed ended, or process 0 of a run where none did."""

    rank: int
    code: int  # as a shell has it: 128 + n for signal n


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    path = arguments[0] if arguments else os.environ.get("TUNEBIRD_CONFIG", "")
    if not path or path.startswith("-"):
        print(USAGE, file=sys.stderr)
        return ExitCode.CONFIG
    attempt = int(os.environ.get("TUNEBIRD_ATTEMPT") or 1)
    try:
        config = config_file.load(Path(path))
    except Failure as failure:
        facts = {"phase": "config", "reason": failure.reason, "exitCode": failure.exit_code, "message": failure.message}
        return _say({"attempt": attempt, **facts})
    _clear_stale_locks()
    with _scratch() as scratch:
        before = _oom_kills()
        ended = _Children(path, config, scratch).run()
        facts = {"attempt": config.job.attempt, **read_journal(_journal(scratch, ended.rank))}
        return _say(_completed(facts, ended, oom=_oom_kills() > before))


class _Children:
    """The processes of the run on this node. torchrun isn't used: it turns every exit code into 1 and gives workers
    thirty seconds after SIGTERM, whatever a checkpoint takes."""

    def __init__(self, path: str, config: Config, scratch: Path) -> None:
        self.path, self.config, self.scratch = path, config, scratch
        self.processes: dict[int, int] = {}  # pid → rank

    def run(self) -> Ended:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._forward)
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
        count = self.config.distributed.processes_per_node
        for rank in range(count):
            group = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), **address}
            self._start(rank, group if count > 1 else {})
        return self._wait()

    def _start(self, rank: int, group: dict[str, str]) -> None:
        quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONUNBUFFERED": "1",
                 "DISABLE_KUBEFLOW_INTEGRATION": "TRUE"}  # fmt: skip
        ours = {"TUNEBIRD_JOURNAL": str(_journal(self.scratch, rank)), "TUNEBIRD_WRAPPER_PID": str(os.getpid())}
        command = [sys.executable, "-m", "tunebird_trainer.run", self.path]
        process = subprocess.Popen(command, env={**quiet, **os.environ, **group, **ours})
        self.processes[process.pid] = rank

    def _wait(self) -> Ended:
        """Reap everything, as PID 1 must; the first failure decides and takes the others down; else process 0 does."""
        leading, failed = Ended(0, ExitCode.INTERNAL), None
        while self.processes:
            pid, status = os.wait()
            rank = self.processes.pop(pid, None)
            if rank is None:
                continue
            code = os.waitstatus_to_exitcode(status)
            ended = Ended(rank, 128 - code if code < 0 else code)
            leading = ended if rank == 0 else leading
            if ended.code not in (ExitCode.DONE, ExitCode.CHECKPOINTED) and failed is None:
                failed = ended
                self._take_down()
        return failed or leading

    def _forward(self, number: int, _: Any) -> None:
        for pid in list(self.processes):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _take_down(self) -> None:
        self._forward(signal.SIGTERM, None)
        timer = threading.Timer(_PEERS_GRACE_SECONDS, self._forward, (signal.SIGKILL, None))
        timer.daemon = True
        timer.start()


def _completed(facts: dict[str, Any], ended: Ended, *, oom: bool) -> dict[str, Any]:
    """The journal's verdict when the child gave one, else what its death tells."""
    if facts.get("exitCode") == ended.code:
        return facts
    where = f"step {facts['step']} of {facts['of']}" if facts.get("of") else f"phase {facts.get('phase', 'start')}"
    resumed = f"; {facts['checkpoint']} is kept" if facts.get("checkpoint") else ""
    if ended.code == 128 + signal.SIGKILL and oom:
        said = f"the host's memory was used up at {where}{resumed}; ask for more memory in compute.resources"
        return {**facts, "reason": Reason.HOST_OUT_OF_MEMORY, "exitCode": ExitCode.HOST_MEMORY, "message": said}
    if ended.code > 128 and ended.code - 128 in set(signal.Signals):
        name = signal.Signals(ended.code - 128).name
        said = f"the training process was ended by {name} at {where}{resumed}"
        return {**facts, "reason": Reason.INTERNAL, "exitCode": ended.code, "message": said}
    said = f"the training process left with code {ended.code} at {where}{resumed}; its log says why"
    return {**facts, "reason": Reason.INTERNAL, "exitCode": ExitCode.INTERNAL, "message": said}


def _say(facts: dict[str, Any]) -> int:
    code = int(facts["exitCode"])
    if code:
        print(f"tunebird-trainer: {facts['reason']}: {facts['message']}", file=sys.stderr, flush=True)
    log = os.environ.get("TUNEBIRD_TERMINATION_LOG")
    if log:
        write_termination_message(Path(log), termination_message(facts))
    return code


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder of this attempt's own, for the journals; gone afterwards."""
    parent = os.environ.get("TUNEBIRD_SCRATCH")
    if parent:
        Path(parent).mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _journal(scratch: Path, rank: int) -> Path:
    return scratch / f"journal-{rank}.json"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _clear_stale_locks() -> None:
    """A process killed while compiling a torch extension leaves a lock that every later one waits on for ever. In a
    fresh container every lock is stale; elsewhere only an old one is."""
    root = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or Path.home() / ".cache/torch_extensions")
    patience = 0 if os.getpid() == 1 else _STALE_LOCK_SECONDS
    for lock in root.glob("**/lock"):
        with suppress(OSError):
            if time.time() - lock.stat().st_mtime >= patience:
                print(f"removing the stale lock {lock}", flush=True)
                lock.unlink()


def _oom_kills(root: Path = Path("/sys/fs/cgroup")) -> int:
    for counter in _OOM_COUNTERS:
        with suppress(OSError, ValueError):
            lines = dict(line.split(maxsplit=1) for line in (root / counter).read_text().splitlines())
            return int(lines.get("oom_kill", "0"))
    return 0


if __name__ == "__main__":
    main()
