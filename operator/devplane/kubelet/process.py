"""One running container: its shim process, and what the shim reports."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LAST_WAIT = 5.0
SHIM = Path(__file__).with_name("shim.py")


class StartError(Exception):
    """The command could not be started; the message is the runtime's."""


@dataclass(frozen=True, slots=True)
class Command:
    """Everything a container's first process is started with; `memory` is its limit in bytes.

    `hosts` is the file to see as /etc/hosts, together with the host name; None leaves both as the machine has them.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    memory: int | None = None
    hosts: Path | None = None
    hostname: str = ""

    def line(self) -> bytes:
        spec = {
            "argv": self.argv,
            "env": dict(self.env),
            "cwd": str(self.cwd),
            "log": str(self.log),
            "memory": self.memory,
            "hosts": str(self.hosts) if self.hosts else "",
            "hostname": self.hostname,
        }
        return json.dumps(spec).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Exit:
    code: int
    out_of_memory: bool = False


class ContainerProcess:
    """A started container. Closing its control pipe, as the end of this process does, kills it."""

    def __init__(self, shim: asyncio.subprocess.Process, pid: int) -> None:
        self._shim = shim
        self.pid = pid

    @classmethod
    async def start(cls, command: Command) -> ContainerProcess:
        shim = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(SHIM)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        assert shim.stdin is not None
        shim.stdin.write(command.line())
        try:
            report = await _report(shim)
        except asyncio.CancelledError:
            shim.stdin.close()
            await asyncio.wait({asyncio.create_task(shim.wait())}, timeout=LAST_WAIT)
            raise
        if report is None or "error" in report:
            await shim.wait()
            raise StartError(str(report["error"]) if report else "the container's parent process ended")
        return cls(shim, int(str(report["started"])))

    async def wait(self) -> Exit:
        """Its exit: codes as a shell counts them, 128 and more for signals."""
        report = await _report(self._shim)
        await self._shim.wait()
        if report is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            return Exit(128 + signal.SIGKILL)
        return Exit(int(str(report["exited"])), bool(report["oom"]))

    def terminate(self) -> None:
        """SIGTERM to the first process, if it handles it (a container's first process gets no other)."""
        self._order(b"term\n")

    def leave(self) -> None:
        """SIGTERM if it handles it, else SIGKILL: nothing is gained by waiting for a process that can't hear."""
        self._order(b"leave\n")

    def kill(self) -> None:
        self._order(b"kill\n")

    def _order(self, order: bytes) -> None:
        assert self._shim.stdin is not None
        with contextlib.suppress(ConnectionError, RuntimeError):
            self._shim.stdin.write(order)


async def _report(shim: asyncio.subprocess.Process) -> dict[str, object] | None:
    assert shim.stdout is not None
    line = await shim.stdout.readline()
    return json.loads(line) if line else None
