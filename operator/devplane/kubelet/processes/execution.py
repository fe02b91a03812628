"""Further processes in a running container, and what goes in and out of them: exec, attach, exec probes and hooks."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from devplane.kubelet.processes.process import ContainerProcess

PIPE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which streams a client wants. A terminal has no stderr of its own."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


@dataclass(slots=True)
class Conversation:
    """A process that somebody talks to. `wait` gives its exit code; None where its output was only listened to."""

    wait: Callable[[], Awaitable[int | None]]
    stdin: asyncio.WriteTransport | None = None
    stdout: asyncio.StreamReader | None = None
    stderr: asyncio.StreamReader | None = None
    terminal: int = -1
    on_end_of_input: Callable[[], None] = lambda: None
    _open: list[asyncio.BaseTransport] = field(default_factory=list)
    _room: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, data: bytes) -> None:
        """Returns when the process has read most of it."""
        if self.stdin is not None and not self.stdin.is_closing():
            self.stdin.write(data)
            await self._room.wait()

    def end_input(self) -> None:
        if self.stdin is not None and not self.stdin.is_closing():
            self.stdin.close()
            self.on_end_of_input()

    def resize(self, width: int, height: int) -> None:
        if self.terminal >= 0:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def close(self) -> None:
        """A process whose client is gone reads the end of its input, or its terminal hangs up."""
        self.end_input()
        for transport in self._open:
            transport.close()
        if self.terminal >= 0:
            os.close(self.terminal)
            self.terminal = -1

    async def reads(self, file: int) -> asyncio.StreamReader:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(file, "rb", 0)
        transport, _ = await loop.connect_read_pipe(lambda: _ToTheEnd(reader), pipe)
        self._open.append(transport)
        return reader

    async def writes(self, file: int) -> None:
        pipe = os.fdopen(file, "wb", 0)
        self._room.set()
        self.stdin, _ = await asyncio.get_running_loop().connect_write_pipe(lambda: _Room(self._room), pipe)
        self._open.append(self.stdin)


class _Room(asyncio.BaseProtocol):
    """Set while the pipe takes more, and when it takes no more at all."""

    def __init__(self, room: asyncio.Event) -> None:
        self._room = room

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def connection_lost(self, _: Exception | None) -> None:
        self._room.set()


class _ToTheEnd(asyncio.StreamReaderProtocol):
    """A terminal ends with EIO, which must not hide what was read before."""

    def connection_lost(self, _: Exception | None) -> None:
        super().connection_lost(None)


async def execute(process: ContainerProcess, argv: Sequence[str], wanted: Wanted) -> Conversation:
    """A command in the container's place. Raises `StartError`."""
    if wanted.tty:
        return await _execute_on_terminal(process, argv, wanted)
    inner_in, outer_in = os.pipe()
    outer_out, inner_out = os.pipe()
    outer_err, inner_err = os.pipe()
    try:
        number = await process.execute(argv, (inner_in, inner_out, inner_err))
    except BaseException:
        _close(outer_in, outer_out, outer_err)
        raise
    talk = Conversation(lambda: process.exit_of(number))
    talk.stdout, talk.stderr = await talk.reads(outer_out), await talk.reads(outer_err)
    if wanted.stdin:
        await talk.writes(outer_in)
    else:
        os.close(outer_in)
    return talk


async def _execute_on_terminal(process: ContainerProcess, argv: Sequence[str], wanted: Wanted) -> Conversation:
    terminal, inner = os.openpty()
    try:
        number = await process.execute(argv, (inner,))
    except BaseException:
        os.close(terminal)
        raise
    return await _on_terminal(Conversation(lambda: process.exit_of(number)), terminal, wanted)


async def _on_terminal(talk: Conversation, terminal: int, wanted: Wanted) -> Conversation:
    talk.terminal = terminal
    talk.stdout = await talk.reads(os.dup(terminal))
    if wanted.stdin:
        await talk.writes(os.dup(terminal))
    return talk


async def attach(process: ContainerProcess, wanted: Wanted, *, stdin_once: bool) -> Conversation:
    """The first process's output from now on, and its input where it has one. Raises `StartError` at its end."""
    outer_out, inner_out = os.pipe()
    outer_err, inner_err = os.pipe()
    for end in (inner_out, inner_err):
        _enlarge(end)
    try:
        await process.attach(inner_out, inner_err)
    except BaseException:
        _close(outer_out, outer_err)
        raise

    async def ended() -> None:
        await process.wait()

    talk = Conversation(ended, terminal=-1 if process.terminal < 0 else os.dup(process.terminal))
    talk.stdout, talk.stderr = await talk.reads(outer_out), await talk.reads(outer_err)
    if wanted.stdin and process.stdin >= 0:
        await talk.writes(os.dup(process.stdin))
    if stdin_once and process.terminal < 0:
        talk.on_end_of_input = process.close_stdin
    return talk


def _enlarge(pipe: int) -> None:
    """Who listens slowly is let go when the pipe is full: make it large, where the system lets us."""
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _close(*files: int) -> None:
    for file in files:
        os.close(file)


async def run(process: ContainerProcess, argv: Sequence[str], seconds: float, limit: int) -> tuple[int, str]:
    """A command to its end: exit code and the beginning of what it wrote. Raises `StartError`, and `TimeoutError`
    when its time is over and it was killed with all of its group."""
    outer, inner = os.pipe()
    files = (os.open(os.devnull, os.O_RDONLY), inner, os.dup(inner))
    try:
        number = await process.execute(argv, files)
    except BaseException:
        os.close(outer)
        raise
    talk = Conversation(lambda: process.exit_of(number))
    reader = await talk.reads(outer)
    collecting = asyncio.create_task(_beginning(reader, limit))
    try:
        async with asyncio.timeout(seconds):
            code = await process.exit_of(number)
            return code, (await collecting).decode(errors="replace")
    except TimeoutError:
        process.end(number)
        raise
    finally:
        collecting.cancel()
        talk.close()


async def _beginning(reader: asyncio.StreamReader, limit: int) -> bytes:
    kept = b""
    while data := await reader.read(1 << 16):
        kept = (kept + data)[:limit]
    return kept
