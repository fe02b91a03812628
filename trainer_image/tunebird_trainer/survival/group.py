"""The processes of one run: they meet, make sure that they are the same run, agree and wait for one another.

Without a group (one process, no ZeRO) every function here answers for the one process at once.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from tunebird_trainer.outcome import Failure, Reason, first_line
from tunebird_trainer.survival import heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tunebird_trainer.config import Config

T = TypeVar("T")
_LOOK_SECONDS = 0.1
_TRY_SECONDS = 5
_LATE_SECONDS = 300  # a hung process is found by its heartbeat; collectives give up only after that


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def check_size(config: Config) -> None:
    """Every process compares how many there are with how many were asked for.

    Raises:
        Failure: InvalidConfig.
    """
    if world_size() != config.distributed.world_size:
        raise Failure(
            Reason.INVALID_CONFIG,
            f"distributed asks for {config.distributed.world_size} processes and {world_size()} were started; "
            "start the run with tunebird-trainer",
        )


def join(config: Config, identity: str, stop_requested: Callable[[], bool]) -> None:
    """Meet the others of this run and open torch's process group. `identity` is what all must share.

    Raises:
        Failure: RendezvousTimeout when somebody doesn't come, InvalidConfig when somebody belongs elsewhere.
    """
    import torch

    check_size(config)
    if "RANK" not in os.environ:
        return
    patience = Patience(int(os.environ.get("TUNEBIRD_RENDEZVOUS_SECONDS") or 1800), stop_requested)
    store = _store(patience)
    roll_call(store, f"{world_size()} processes, {identity}", patience)
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "nccl"
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    limits = asdict(config.distributed.phase_limits)
    torch.distributed.init_process_group(
        backend, store=torch.distributed.PrefixStore("run", store), rank=rank(), world_size=world_size(),
        timeout=timedelta(seconds=max(limits.values()) + _LATE_SECONDS),
    )  # fmt: skip


class Patience:
    """How long to wait for the others; SIGTERM ends it, for there is nothing to save yet."""

    def __init__(self, seconds: float, stop_requested: Callable[[], bool]) -> None:
        self.seconds, self.stop_requested = seconds, stop_requested
        self.deadline = time.monotonic() + seconds

    def over(self) -> bool:
        if self.stop_requested():
            raise Failure(Reason.PREEMPTED, "stopped by SIGTERM before all processes had come; nothing was lost")
        heartbeat.pulse.beat()
        return time.monotonic() > self.deadline


def _store(patience: Patience) -> Any:
    """The store that process 0 keeps. The first pod's name may resolve only after a while."""
    import torch

    host, port, first = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), rank() == 0
    while True:
        try:
            if not first:  # torch tells of each try with a stack trace, and may wait for ever: knock before
                socket.create_connection((host, port), timeout=_TRY_SECONDS).close()
            return torch.distributed.TCPStore(
                host, port, is_master=first, wait_for_workers=False, timeout=timedelta(seconds=_LATE_SECONDS)
            )
        except (OSError, RuntimeError) as error:  # torch's DistNetworkError and DistStoreError are RuntimeErrors
            if first or patience.over():
                raise _unreached(host, port, patience, error) from error
            time.sleep(_LOOK_SECONDS)


def _unreached(host: str, port: int, patience: Patience, error: Exception) -> Failure:
    said = first_line(error)
    if rank() == 0:
        remedy = "free it, or set MASTER_PORT to another one"
        return Failure(Reason.RENDEZVOUS_TIMEOUT, f"process 0 can't listen on port {port} ({said}); {remedy}")
    return Failure(
        Reason.RENDEZVOUS_TIMEOUT,
        f"process {rank()} did not reach process 0 at {host}:{port} within {patience.seconds:g} s ({said}); "
        "look at the first pod's log and at the network between the pods",
    )


def roll_call(store: Any, identity: str, patience: Patience) -> None:
    """Each process says who it is and waits for all others; whoever differs from process 0 stops the run at once."""
    try:
        _call(store, identity, patience)
    except Failure:
        _linger(store)
        raise
    except RuntimeError as error:
        raise Failure(
            Reason.RENDEZVOUS_TIMEOUT,
            f"process {rank()} lost process 0 before all had come ({first_line(error)}); look at the first pod's log",
        ) from error


def _call(store: Any, identity: str, patience: Patience) -> None:
    me, absent, is_compared = rank(), list(range(world_size())), False
    if store.add(f"came/{me}", 1) > 1:
        _refuse(store, f"two processes came as number {me}; give each node its own NODE_RANK")
    store.set(f"identity/{me}", identity)
    while absent:
        if store.check(["refused"]):
            raise Failure(Reason.INVALID_CONFIG, store.get("refused").decode())
        absent = [each for each in absent if not store.check([f"identity/{each}"])]
        if 0 not in absent and not is_compared:
            _compare(store, [me])
            is_compared = True
        if absent and patience.over():
            names = ", ".join(map(str, absent))
            raise Failure(
                Reason.RENDEZVOUS_TIMEOUT,
                f"process {names} of {world_size()} did not come within {patience.seconds:g} s; "
                "look at the other pods and at the network between them",
            )
        time.sleep(_LOOK_SECONDS if absent else 0)
    _compare(store, range(world_size()))  # each compares all: none goes on where another has seen a difference


def _compare(store: Any, ranks: Iterable[int]) -> None:
    first = store.get("identity/0").decode()
    for each in ranks:
        if (identity := store.get(f"identity/{each}").decode()) != first:
            _refuse(store, f"process {each} is of another run than process 0: {identity} is not {first}; "
                    "give every node the same config, code and number of processes")  # fmt: skip


def _refuse(store: Any, message: str) -> None:
    store.set("refused", message)
    raise Failure(Reason.INVALID_CONFIG, message)


def _linger(store: Any) -> None:
    """The store ends with process 0: it stays until those who came have heard why the run stops."""
    with suppress(RuntimeError):
        store.set(f"heard/{rank()}", "")
        deadline = time.monotonic() + _TRY_SECONDS
        while rank() == 0 and time.monotonic() < deadline and not all(
            store.check([f"heard/{each}"]) for each in range(world_size()) if store.check([f"came/{each}"])
        ):  # fmt: skip
            time.sleep(_LOOK_SECONDS)


def agreed(*flags: bool) -> tuple[bool, ...]:
    """True where any process says so: all must stop and save at the same step, or they wait for each other for ever."""
    if not _open():
        return flags
    import torch

    tensor = torch.tensor(flags, dtype=torch.int32, device="cuda" if torch.cuda.is_available() else "cpu")
    torch.distributed.all_reduce(tensor, torch.distributed.ReduceOp.MAX)
    return tuple(bool(flag) for flag in tensor.tolist())


def barrier() -> None:
    if _open():
        import torch

        torch.distributed.barrier()


def from_first(ask: Callable[[], T]) -> T:
    """What process 0 finds, given to all: files that it looks at need not be read by each, and none can see otherwise.
    What it raises is raised by all."""
    if not _open():
        return ask()
    import torch

    answer: list[Any] = [None, None]
    if rank() == 0:
        try:
            answer[0] = ask()
        except Exception as error:  # noqa: BLE001  the others must not wait for an answer that never comes
            answer[1] = error
    torch.distributed.broadcast_object_list(answer, src=0)
    if answer[1] is not None:
        raise answer[1]
    found: T = answer[0]
    return found


@contextmanager
def first_then_others() -> Iterator[None]:
    """Process 0 does the block (and fills a cache), then the others do it (and find it filled)."""
    if rank() != 0:
        barrier()
    try:
        yield
    finally:
        if rank() == 0:
            barrier()


def _open() -> bool:
    if world_size() < 2:
        return False
    import torch

    return torch.distributed.is_available() and torch.distributed.is_initialized()
