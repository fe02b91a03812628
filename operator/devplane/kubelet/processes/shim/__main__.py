"""The parent of one container's processes, run as its own small program: ``python -I -S shim/__main__.py``.

stdin is a socket. It brings one line of JSON (argv, env, cwd, log, memory, cgroup, hosts, hostname, stdin, tty), then
orders: ``term``, ``leave``, ``kill``; ``exec {"id", "argv", "tty"}`` for a further process of the container, ``end ID``
to kill that; ``attach ID`` to hear the first one's output. Open files come along: for stdin and exec those of the new
process, for attach two pipes. The end of stdin means that devplane is gone, and everything is killed. stdout answers
with JSON lines: ``started``, or ``error``; then ``exited``; those of a further process name it in ``exec``. It writes
the log in the format of container runtimes (time, stream, F or P, text) and, like a PID namespace, lets nothing outlive
the first process. Standard library only, and no import that costs more than a few milliseconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))  # noqa: PTH120

import system  # type: ignore[import-not-found]
from lines import Log, Orders  # type: ignore[import-not-found]

MEMORY_PERIOD = 0.1
LAST_WORDS = 1.0


class Shim:
    def __init__(self, spec: dict[str, object], orders: Orders) -> None:
        self._spec = spec
        self._orders = orders
        self._further: dict[int, int] = {}
        self._heard: list[tuple[int, int]] = []
        self._selector = selectors.DefaultSelector()
        self._main = 0
        self._code: int | None = None
        self._over_memory = False
        self._streams = 0

    def run(self) -> None:
        error = self._spawn()
        if error is not None:
            say({"error": error})
            return
        say({"started": self._main})
        while self._code is None:
            self._turn(MEMORY_PERIOD if self._spec.get("memory") else None)
        self._end()
        say({"exited": self._code, "oom": self._over_memory})

    def _spawn(self) -> str | None:
        self._wake_on_child()
        reading, files = self._files()
        main, error = self._fork(self._argv(self._spec), files, self._spec.get("hosts") and self._enter)
        self._main = main
        log = os.open(str(self._spec["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        for name, file in reading.items():
            self._selector.register(file, selectors.EVENT_READ, Log(log, name))
            self._streams += 1
        self._selector.register(0, selectors.EVENT_READ, None)
        return error

    def _files(self) -> tuple[dict[str, int], list[int]]:
        """What is read for the log, and what the first process gets: a terminal, or stdin, stdout and stderr."""
        if self._spec.get("tty"):
            master, terminal = self._orders.take(2)
            return {"stdout": master}, [terminal]
        stdin = self._orders.take(1)[0] if self._spec.get("stdin") else os.open(os.devnull, os.O_RDONLY)
        ends = {name: os.pipe() for name in ("stdout", "stderr")}
        return {name: pipe[0] for name, pipe in ends.items()}, [stdin, *(pipe[1] for pipe in ends.values())]

    def _argv(self, asked: dict[str, object]) -> list[str]:
        return [str(word) for word in asked["argv"]]  # type: ignore[attr-defined]

    def _enter(self) -> None:
        system.enter_namespaces(str(self._spec["hosts"]), str(self._spec["hostname"]))

    def _join(self) -> None:
        system.join_namespaces(self._main)

    def _fork(self, argv: list[str], files: list[int], enter: object) -> tuple[int, str | None]:
        """A new process that owns `files`; why it could not start."""
        failed = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._become(argv, files, enter, failed[1])
        for file in (failed[1], *files):
            os.close(file)
        with os.fdopen(failed[0]) as answer:
            return pid, answer.read() or None

    def _wake_on_child(self) -> None:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        self._selector.register(reading, selectors.EVENT_READ, reading)

    def _become(self, argv: list[str], files: list[int], enter: object, failed: int) -> None:
        """In the child: replace the process, or say why not and end."""
        try:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            os.setsid()
            if self._spec.get("cgroup"):
                system.join_cgroup(str(self._spec["cgroup"]))
            system.take_terminal(files)
            for target in range(3):
                os.dup2(files[target % len(files)], target)
            if callable(enter):
                enter()
            os.chdir(str(self._spec["cwd"]))
            env: dict[str, str] = dict(self._spec["env"])  # type: ignore[call-overload]
            if len(files) == 1:
                env.setdefault("TERM", "xterm")
            os.execvpe(argv[0], argv, env)  # noqa: S606
        except OSError as error:
            os.write(failed, system.refusal(argv, error).encode())
        finally:
            os._exit(128)

    def _turn(self, timeout: float | None) -> None:
        for key, _ in self._selector.select(timeout):
            if isinstance(key.data, Log):
                self._read(key.fd, key.data)
            elif key.data is None:
                self._obey()
            else:
                with contextlib.suppress(BlockingIOError):
                    os.read(key.fd, 4096)
                self._reap()
        if timeout is not None and self._spec.get("memory"):
            self._watch_memory(int(str(self._spec["memory"])))

    def _read(self, file: int, log: Log) -> None:
        try:
            data = os.read(file, 65536)
        except OSError:  # a terminal whose last process is gone
            data = b""
        if data:
            log.feed(data)
            self._tell(log.stream, data)
            return
        log.end()
        self._selector.unregister(file)
        os.close(file)
        self._streams -= 1

    def _tell(self, stream: str, data: bytes) -> None:
        """Who is attached hears it; who doesn't listen any more, or can't keep up, is let go."""
        for ends in self._heard[:]:
            try:
                if os.write(ends[stream == "stderr"], data) == len(data):
                    continue
            except OSError:
                pass
            self._heard.remove(ends)
            for end in ends:
                os.close(end)

    def _obey(self) -> None:
        lines = self._orders.receive()
        if lines is None:
            self._selector.unregister(0)
            self._kill_all()
            return
        for line in lines:
            order, _, rest = line.partition(b" ")
            match order:
                case b"kill":
                    self._kill_all()
                case b"exec":
                    self._execute(json.loads(rest))
                case b"end":
                    self._end_further(int(rest))
                case b"attach":
                    stdout, stderr = self._orders.take(2)
                    self._heard.append((stdout, stderr))
                    os.set_blocking(stdout, False)
                    os.set_blocking(stderr, False)
                    say({"exec": int(rest), "started": self._main})
                case b"term" | b"leave":
                    self._ask_to_end(must_hear=order == b"leave")

    def _ask_to_end(self, *, must_hear: bool) -> None:
        if system.handles_sigterm(self._main):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._main, signal.SIGTERM)
        elif must_hear:
            self._kill_all()

    def _execute(self, asked: dict[str, object]) -> None:
        files = self._orders.take(1 if asked.get("tty") else 3)
        pid, error = self._fork(self._argv(asked), files, self._spec.get("hosts") and self._join)
        if error is not None:
            say({"exec": asked["id"], "error": error})
            return
        self._further[pid] = int(str(asked["id"]))
        say({"exec": asked["id"], "started": pid})

    def _end_further(self, identity: int) -> None:
        for pid in [pid for pid, known in self._further.items() if known == identity]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            code = code if code >= 0 else 128 - code
            if pid == self._main:
                self._code = code
            elif pid in self._further:
                say({"exec": self._further.pop(pid), "exited": code})

    def _kill_all(self) -> None:
        for pid in system.descendants() or [self._main]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._main, signal.SIGKILL)

    def _watch_memory(self, limit: int) -> None:
        pids = system.descendants()
        if system.memory_of(pids) > limit and system.shared_memory_of(pids) > limit:
            self._over_memory = True
            self._kill_all()

    def _end(self) -> None:
        """Nothing outlives the first process; what was written before is still logged."""
        deadline = time.monotonic() + LAST_WORDS
        while time.monotonic() < deadline and (system.descendants() or self._streams):
            self._kill_all()
            self._reap()
            self._turn(0.01)


def say(message: dict[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(message).encode() + b"\n")


def probe() -> None:
    """Whether `enter_namespaces` works here; says why not and exits 1."""
    try:
        system.enter_namespaces("/etc/hosts", "probe")
    except OSError as error:
        os.write(1, f"{error.strerror or error}\n".encode())
        os._exit(1)


def main() -> None:
    orders = Orders()
    if line := orders.first():
        system.adopt_orphans()
        Shim(json.loads(line), orders).run()


if __name__ == "__main__":
    probe() if "--probe" in sys.argv else main()
