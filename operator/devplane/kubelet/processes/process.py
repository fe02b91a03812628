"""One running container: its shim process, and what the shim reports."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from devplane.kubelet.processes.cgroups import Group

LAST_WAIT = 5.0
SHIM = Path(__file__).with_name("shim") / "__main__.py"
KILLED = 128 + signal.SIGKILL


class StartError(Exception):
    """The command could not be started; the message is the runtime's."""


@dataclass(frozen=True, slots=True)
class Command:
    """Everything a container's first process is started with; `memory` is its limit in bytes, kept by `group` or, by
    and by, by the shim.

    `hosts` is the file to see as /etc/hosts, together with the host name; None leaves both as the machine has them.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    memory: int | None = None
    hosts: Path | None = None
    hostname: str = ""
    stdin: bool = False
    tty: bool = False
    group: Group | None = None

    def line(self) -> bytes:
        spec = {
            "argv": self.argv,
            "env": dict(self.env),
            "cwd": str(self.cwd),
            "log": str(self.log),
            "memory": None if self.group else self.memory,
            "cgroup": str(self.group.directory) if self.group else "",
            "hosts": str(self.hosts) if self.hosts else "",
            "hostname": self.hostname,
            "stdin": self.stdin,
            "tty": self.tty,
        }
        return json.dumps(spec).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Exit:
    code: int
    out_of_memory: bool = False


@dataclass(slots=True)
class _Further:
    """A further process: `started` fails with `StartError`, `exited` gives its code."""

    started: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    exited: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class ContainerProcess:
    """A started container. Closing its control socket, as the end of this process does, kills it.

    `stdin` is where to write what the first process reads, `terminal` the other side of its terminal; -1 without.
    """

    def __init__(self, shim: asyncio.subprocess.Process, control: socket.socket, group: Group | None) -> None:
        self._shim = shim
        self._control = control
        self._group = group
        self._identities = itertools.count(1)
        self._further: dict[int, _Further] = {}
        self._exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.pid = 0
        self.stdin = -1
        self.terminal = -1

    @property
    def root(self) -> int:
        """The process that all others of the container descend from."""
        return self._shim.pid

    @classmethod
    async def start(cls, command: Command) -> ContainerProcess:
        ours, theirs = socket.socketpair()
        shim = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(SHIM)),
            stdin=theirs.fileno(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        ours.setblocking(False)
        process = cls(shim, ours, command.group)
        process._give_input(command)
        await asyncio.get_running_loop().sock_sendall(ours, command.line())
        await process._begin()
        return process

    def _give_input(self, command: Command) -> None:
        if command.tty:
            self.terminal, inner = os.openpty()
            self.stdin = os.dup(self.terminal) if command.stdin else -1
            self._send(b"", (os.dup(self.terminal), inner))
        elif command.stdin:
            inner, self.stdin = os.pipe()
            self._send(b"", (inner,))

    async def _begin(self) -> None:
        try:
            report = await _report(self._shim)
        except asyncio.CancelledError:
            self.close()
            await asyncio.wait({asyncio.create_task(self._shim.wait())}, timeout=LAST_WAIT)
            raise
        if report is None or "error" in report:
            self.close()
            await self._shim.wait()
            raise StartError(str(report["error"]) if report else "the container's parent process ended")
        self.pid = int(str(report["started"]))
        self._listening = asyncio.create_task(self._listen(), name=f"container {self.pid}")

    async def _listen(self) -> None:
        while (report := await _report(self._shim)) is not None:
            if "exec" in report:
                self._hear(self._further.get(int(str(report["exec"]))), report)
            else:
                self._exit.set_result(Exit(int(str(report["exited"])), bool(report["oom"])))
        if not self._exit.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self._exit.set_result(Exit(KILLED))
        for further in self._further.values():
            self._hear(further, {"exited": KILLED})

    def _hear(self, further: _Further | None, report: Mapping[str, object]) -> None:
        if further is None:
            return
        if not further.started.done():
            if "started" in report:
                further.started.set_result(None)
            else:
                further.started.set_exception(StartError(str(report.get("error", "the container has ended"))))
        elif not further.exited.done() and "exited" in report:
            further.exited.set_result(int(str(report["exited"])))

    async def wait(self) -> Exit:
        """Its exit: codes as a shell counts them, 128 and more for signals."""
        ended = await asyncio.shield(self._exit)
        await self._shim.wait()
        if self._group is not None and self._group.has_killed():
            return Exit(ended.code, out_of_memory=True)
        return ended

    async def execute(self, argv: Sequence[str], files: tuple[int, ...]) -> int:
        """Start a further process in the container's place; it gets `files`, a terminal or stdin, stdout and stderr,
        which are closed here. Raises `StartError`; its number is for `exit_of` and `end`."""
        identity = next(self._identities)
        asked = {"id": identity, "argv": list(argv), "tty": len(files) == 1}
        await self._begin_further(identity, b"exec " + json.dumps(asked).encode() + b"\n", files)
        return identity

    async def _begin_further(self, identity: int, order: bytes, files: tuple[int, ...]) -> None:
        further = self._further[identity] = _Further()
        self._send(order, files)
        if self._exit.done():
            self._hear(further, {})
        try:
            await further.started
        except BaseException:
            del self._further[identity]
            raise

    async def exit_of(self, identity: int) -> int:
        try:
            return await asyncio.shield(self._further[identity].exited)
        finally:
            if self._further[identity].exited.done():
                del self._further[identity]

    def end(self, identity: int) -> None:
        """SIGKILL to a further process and its group."""
        self._send(b"end %d\n" % identity)

    async def attach(self, stdout: int, stderr: int) -> None:
        """What the first process writes once this has returned goes to these pipes too, which are closed here. Raises
        `StartError` when it has ended."""
        identity = next(self._identities)
        await self._begin_further(identity, b"attach %d\n" % identity, (stdout, stderr))
        del self._further[identity]

    def terminate(self) -> None:
        """SIGTERM to the first process, if it handles it (a container's first process gets no other)."""
        self._send(b"term\n")

    def leave(self) -> None:
        """SIGTERM if it handles it, else SIGKILL: nothing is gained by waiting for a process that can't hear."""
        self._send(b"leave\n")

    def kill(self) -> None:
        self._send(b"kill\n")

    def close_stdin(self) -> None:
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def close(self) -> None:
        """After its end: let go of what is held for it."""
        self.close_stdin()
        self._control.close()
        if self.terminal >= 0:
            os.close(self.terminal)
            self.terminal = -1
        if self._group is not None:
            self._group.remove()

    def _send(self, order: bytes, files: tuple[int, ...] = ()) -> None:
        """Files travel with an empty line ahead of the order that takes them."""
        with contextlib.suppress(OSError):
            if files:
                socket.send_fds(self._control, [b"\n"], files)
            self._control.sendall(order)
        for file in files:
            os.close(file)


async def _report(shim: asyncio.subprocess.Process) -> dict[str, object] | None:
    assert shim.stdout is not None
    line = await shim.stdout.readline()
    return json.loads(line) if line else None
