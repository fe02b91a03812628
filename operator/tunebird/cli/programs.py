"""Programs that the command line starts: finding them, starting them aside, and ending exactly those again."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import click

FOLLOW_SECONDS = 0.2
# Below those that a system gives to outgoing connections: no other program gets one by chance before ours listens.
PORTS = range(10_000, 30_000)


def find(name: str, remedy: str) -> str:
    """The path of a program: beside this interpreter first, so that a virtual environment's own wins, then on PATH."""
    beside = Path(sys.executable).parent / name
    if beside.exists():
        return str(beside)
    found = shutil.which(name)
    if found is None:
        raise click.ClickException(f"{name} is not installed: {remedy}")
    return found


def free_port(last: int = 0) -> int:
    """A TCP port that nobody listens on now: `last`, unless that is 0 or taken."""
    for at in range(100):
        port = last if last and not at else secrets.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended take no port
            probe.bind(("", port))
            return port
    raise click.ClickException(f"a hundred ports from {PORTS.start} to {PORTS.stop} were taken: end what listens there")


@dataclass(frozen=True, slots=True)
class Program:
    """A program that was started aside. `born` tells it from another process that got its number later."""

    name: str
    pid: int
    born: str
    log: str

    def alive(self) -> bool:
        return bool(self.born) and _born(self.pid) == self.born


def _born(pid: int) -> str:
    """When process `pid` started, in the system's own words; empty when there is none or it is a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        return "" if fields[0] == "Z" else fields[19]
    listed = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    state, _, started = (
        subprocess.run(listed, capture_output=True, text=True, check=False).stdout.strip().partition(" ")
    )
    return "" if state.startswith("Z") else started.strip()


def start(name: str, argv: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> Program:
    """Start a program in its own session with its output in `<folder>/<name>.log`, and remember it there.

    It takes the place of one of the same name that was started before.
    """
    log = folder / f"{name}.log"
    with log.open("ab") as sink:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )
    program = Program(name, process.pid, _born(process.pid), str(log))
    known = {one.name: one for one in recall(folder)}
    remember(folder, tuple({**known, name: program}.values()))
    return program


def remember(folder: Path, programs: Sequence[Program]) -> None:
    aside = folder / ".programs.json.new"
    aside.write_text(json.dumps([asdict(program) for program in programs], indent=1))
    aside.replace(folder / "programs.json")


def recall(folder: Path) -> tuple[Program, ...]:
    """The programs started for `folder`, in the order of their start."""
    record = folder / "programs.json"
    if not record.exists():
        return ()
    return tuple(Program(**entry) for entry in json.loads(record.read_text()))


def stop_all(folder: Path, grace_seconds: float = 35) -> tuple[str, ...]:
    """End what was started for `folder`, last started first; returns the names of what was running."""
    ended = []
    for program in reversed(recall(folder)):
        if program.alive():
            _stop(program, grace_seconds)
            ended.append(program.name)
    if folder.exists():
        remember(folder, ())
    return tuple(ended)


def _stop(program: Program, grace_seconds: float) -> None:
    os.kill(program.pid, signal.SIGTERM)
    if not _ended(program, grace_seconds):
        os.kill(program.pid, signal.SIGKILL)
        _ended(program, 5)


def _ended(program: Program, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while program.alive() and time.monotonic() < deadline:
        _reap(program.pid)
        time.sleep(0.02)
    return not program.alive()


def _reap(pid: int) -> None:
    """Collect a child of ours that has ended; a process of an earlier command is init's to collect."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def tail(log: str, lines: int = 15) -> str:
    """The end of a log, for an error message."""
    path = Path(log)
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""


def follow(log: Path, lines: int) -> Iterator[str]:
    """The last lines of a log, then what is added; begins anew where the file is replaced or cut."""
    place, seen = 0, log.stat().st_ino
    skipped = max(len(log.read_text(errors="replace").splitlines()) - lines, 0)
    while True:
        if log.exists():
            now = log.stat()
            if now.st_ino != seen or now.st_size < place:
                place, seen, skipped = 0, now.st_ino, 0
            with log.open(errors="replace") as file:
                file.seek(place)
                added = file.readlines()
                place = file.tell()
            yield from added[skipped:]
            skipped = 0
        time.sleep(FOLLOW_SECONDS)
