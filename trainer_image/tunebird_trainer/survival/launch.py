"""The processes of a run on this node: started, watched, reaped, and the first failure named. PID 1 uses it.

torchrun isn't used: it turns every exit code into 1 and gives workers thirty seconds after SIGTERM, whatever a
checkpoint takes.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tunebird_trainer.outcome import ExitCode, Failure, Reason
from tunebird_trainer.survival import heartbeat
from tunebird_trainer.survival.heartbeat import Beat, Hung, Phase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tunebird_trainer.config import Config

DEFAULT_PORT = 29400  # where process 0 of several nodes listens
_STALE_LOCK_SECONDS = 900
_PEERS_GRACE_SECONDS = 20
_STACK_SECONDS = 2
_TAIL_LINES = 200
_COMMAND = (sys.executable, "-m", "tunebird_trainer.run")
_ENDED_WELL = (ExitCode.DONE, ExitCode.CHECKPOINTED)
QUIET = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONUNBUFFERED": "1",
          "DISABLE_KUBEFLOW_INTEGRATION": "TRUE"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ended:
    """How the first process that failed ended, or the node's first process of a run where none did."""

    rank: int
    code: int  # as a shell has it: 128 + n for signal n
    tail: str = ""  # the last of what it wrote to standard error
    peak_bytes: int | None = None  # most resident memory
    hung: Hung | None = None
    stop_asked: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """This node among the nodes of the run, and where process 0 listens."""

    node: int
    address: str
    port: int


def place(config: Config, environment: Mapping[str, str]) -> Place:
    """From the environment that the operator, an indexed Job or a person with two machines sets.

    Raises:
        Failure: InvalidConfig that names the variable.
    """
    asked = config.distributed
    if asked.num_nodes == 1:
        return Place(0, "127.0.0.1", int(environment.get("MASTER_PORT") or _free_port()))
    node = environment.get("NODE_RANK") or environment.get("JOB_COMPLETION_INDEX") or ""
    address = environment.get("TUNEBIRD_MASTER_ADDR") or environment.get("MASTER_ADDR") or ""
    port = environment.get("TUNEBIRD_MASTER_PORT") or environment.get("MASTER_PORT") or str(DEFAULT_PORT)
    if not node.isdecimal() or int(node) >= asked.num_nodes:
        said = f"NODE_RANK is {node!r}" if node else "neither NODE_RANK nor JOB_COMPLETION_INDEX is set"
        raise Failure(
            Reason.INVALID_CONFIG,
            f"distributed.numNodes: {asked.num_nodes} nodes are asked for and {said}; "
            f"give each node its own from 0 to {asked.num_nodes - 1}",
        )
    if not address:
        raise Failure(
            Reason.INVALID_CONFIG,
            f"distributed.numNodes: {asked.num_nodes} nodes are asked for and MASTER_ADDR is not set; "
            "give all nodes the name or address of node 0",
        )
    return Place(int(node), address, int(port))


def group(config: Config, here: Place, local_rank: int) -> dict[str, str]:
    """What torch.distributed and the libraries above it read; nothing for one process without ZeRO."""
    asked = config.distributed
    if asked.world_size == 1 and not asked.zero_stage:
        return {}
    alone = {"GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo")} if asked.num_nodes == 1 else {}
    return {
        "RANK": str(here.node * asked.processes_per_node + local_rank), "LOCAL_RANK": str(local_rank),
        "WORLD_SIZE": str(asked.world_size), "LOCAL_WORLD_SIZE": str(asked.processes_per_node),
        "NODE_RANK": str(here.node), "MASTER_ADDR": here.address, "MASTER_PORT": str(here.port),
        "TUNEBIRD_GROUP": f"attempt-{config.job.attempt}", **alone,
    }  # fmt: skip


def threads(config: Config) -> dict[str, str]:
    """For each of several processes its share of the cores; torch would take all for each. What is set already, is."""
    count = config.distributed.processes_per_node
    return {"OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // count))} if count > 1 else {}


class Children:
    """Starts the node's processes, passes signals on, and takes all down with the first that fails or hangs."""

    def __init__(self, path: str, config: Config, scratch: Path) -> None:
        self.path, self.config, self.scratch = path, config, scratch
        self.first_rank = 0
        self.processes: dict[int, int] = {}  # pid → rank
        self.tails: dict[int, deque[bytes]] = {}
        self.hung: Hung | None = None
        self.stop_asked = False

    def run(self) -> Ended:
        here = place(self.config, os.environ)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        count = self.config.distributed.processes_per_node
        self.first_rank = here.node * count
        for local_rank in range(count):
            self._start(self.first_rank + local_rank, group(self.config, here, local_rank))
        threading.Thread(target=self._watch, name="heartbeats", daemon=True).start()
        return self._wait()

    def _start(self, rank: int, group: dict[str, str]) -> None:
        ours = {"TUNEBIRD_JOURNAL": str(journal(self.scratch, rank)), "TUNEBIRD_WRAPPER_PID": str(os.getpid()),
                "TUNEBIRD_HEARTBEAT": str(_heartbeat(self.scratch, rank))}  # fmt: skip
        command = [*_COMMAND, self.path]
        # A hang while Python still imports is found too.
        _heartbeat(self.scratch, rank).write_text(heartbeat.record(Beat(Phase.LOAD, 0, time.monotonic())))
        environment = {**QUIET, **threads(self.config), **os.environ, **group, **ours}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        self.processes[process.pid] = rank
        self.tails[rank] = deque(maxlen=_TAIL_LINES)
        threading.Thread(target=_pass_on, args=(process.stderr, self.tails[rank]), daemon=True).start()

    def _wait(self) -> Ended:
        """Reap everything, as PID 1 must; the first failure decides and takes the others down; else process 0 does."""
        leading, failed = Ended(self.first_rank, ExitCode.INTERNAL), None
        while self.processes:
            pid, status, used = os.wait4(-1, 0)
            rank = self.processes.pop(pid, None)
            if rank is None:
                continue
            ended = self._ended(rank, os.waitstatus_to_exitcode(status), used.ru_maxrss * 1024)
            leading = ended if rank == self.first_rank else leading
            if ended.code not in _ENDED_WELL and failed is None:
                failed = ended
                self._take_down()
        return failed or leading

    def _ended(self, rank: int, code: int, peak_bytes: int) -> Ended:
        tail = b"".join(self.tails[rank]).decode(errors="replace")
        code = 128 - code if code < 0 else code
        hung = self.hung if self.hung and self.hung.rank == rank else None
        return Ended(rank, code, tail, peak_bytes, hung, self.stop_asked)

    def _stop(self, number: int, _: Any) -> None:
        self.stop_asked = True
        self._forward(number)

    def _forward(self, number: int) -> None:
        for pid in list(self.processes):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _take_down(self) -> None:
        self._forward(signal.SIGTERM)
        timer = threading.Timer(_PEERS_GRACE_SECONDS, self._forward, (signal.SIGKILL,))
        timer.daemon = True
        timer.start()

    def _watch(self) -> None:
        limits = self.config.distributed.phase_limits
        every = min(5.0, heartbeat.shortest(limits) / 4)
        while self.hung is None:
            time.sleep(every)
            ranks = list(self.processes.values())
            beats = [(rank, beat) for rank in ranks if (beat := heartbeat.read(_heartbeat(self.scratch, rank)))]
            self.hung = heartbeat.hung(beats, limits, time.monotonic())
        print(f"tunebird-trainer: {self.hung.sentence}", file=sys.stderr, flush=True)
        self._forward(signal.SIGUSR1)  # all print their stacks
        time.sleep(_STACK_SECONDS)
        for pid, rank in list(self.processes.items()):
            if rank == self.hung.rank:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def journal(scratch: Path, rank: int) -> Path:
    return scratch / f"journal-{rank}.json"


def _heartbeat(scratch: Path, rank: int) -> Path:
    return scratch / f"heartbeat-{rank}"


def _pass_on(stream: IO[bytes], tail: deque[bytes]) -> None:
    """What a process writes to standard error goes on; its last lines are kept, for an abort tells nothing else."""
    for line in stream:
        tail.append(line)
        with suppress(OSError, ValueError):
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clear_stale_locks() -> None:
    """A process killed while compiling a torch extension leaves a lock that every later one waits on for ever. In a
    fresh container every lock is stale; on a volume that others share, or outside a container, only where nothing has
    moved for a while and nobody works."""
    root = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or Path.home() / ".cache/torch_extensions")
    with suppress(OSError):
        alone = os.getpid() == 1 and root.stat().st_dev == Path("/").stat().st_dev
        busy = _working_directories()
        for lock in root.glob("**/lock"):
            newest = max(path.stat().st_mtime for path in lock.parent.iterdir())
            quiet = time.time() - newest >= _STALE_LOCK_SECONDS and lock.parent.resolve() not in busy
            if alone or quiet:
                print(f"removing the stale lock {lock}", flush=True)
                lock.unlink(missing_ok=True)


def _working_directories() -> set[Path]:
    """Where this machine's processes are at work; a compiler works in the folder of what it builds."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            found.add(link.readlink())
    return found
