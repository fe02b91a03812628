"""The parent of one container's processes, run as its own small program: ``python -I -S shim.py``.

stdin brings one line of JSON (argv, env, cwd, log, memory, hosts, hostname), then ``term``, ``leave`` or ``kill``; its
end means that devplane is gone, and everything is killed. stdout answers with JSON lines: ``started``, or ``error``;
then ``exited``. It writes the log in the format of container runtimes (time, stream, F or P, text) and, like a PID
namespace, lets nothing outlive the first process. Standard library only, and no import that costs more than a few
milliseconds.
"""

# ruff: noqa: PTH123, PTH208 - pathlib costs more to import than all of this

from __future__ import annotations

import contextlib
import errno
import json
import os
import selectors
import signal
import sys
import time

LINE_LIMIT = 16 * 1024
MEMORY_PERIOD = 0.1
LAST_WORDS = 1.0


class Log:
    """Lines of one stream with their times; a line without its end is marked P when it is cut or the stream ends."""

    def __init__(self, file: int, stream: str) -> None:
        self._file = file
        self._stream = stream
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._write(line, "F")
        while len(self._rest) >= LINE_LIMIT:
            self._write(self._rest[:LINE_LIMIT], "P")
            self._rest = self._rest[LINE_LIMIT:]

    def end(self) -> None:
        if self._rest:
            self._write(self._rest, "P")
            self._rest = b""

    def _write(self, line: bytes, tag: str) -> None:
        whole, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
        os.write(self._file, f"{when}.{nanoseconds:09d}Z {self._stream} {tag} ".encode() + line + b"\n")


def adopt_orphans() -> None:
    """Descendants whose parent ends become ours, so that they can be found and ended (Linux only)."""
    with contextlib.suppress(Exception):
        import ctypes

        pr_set_child_subreaper = 36
        ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def descendants() -> list[int]:
    """Every living process below this one."""
    children: dict[int, list[int]] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                    children.setdefault(int(file.read().rpartition(b")")[2].split()[1]), []).append(int(name))
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def memory_of(pids: list[int]) -> int:
    """Bytes of memory that could not be reclaimed; pages shared after a fork are counted once where that matters."""
    return sum(_status_bytes(pid, (b"RssAnon:", b"RssShmem:"), "status") for pid in pids)


def shared_memory_of(pids: list[int]) -> int:
    return sum(_status_bytes(pid, (b"Pss_Anon:", b"Pss_Shmem:"), "smaps_rollup") for pid in pids)


def _status_bytes(pid: int, fields: tuple[bytes, ...], file_name: str) -> int:
    try:
        with open(f"/proc/{pid}/{file_name}", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(fields))


def handles_sigterm(pid: int) -> bool:
    """The first process of a container gets only the signals it has a handler for; the kernel ignores the others."""
    try:
        with open(f"/proc/{pid}/status") as file:
            caught = next(line for line in file if line.startswith("SigCgt:"))
    except (OSError, StopIteration):
        return True
    return bool(int(caught.split()[1], 16) & 1 << (signal.SIGTERM - 1))


def refusal(argv: list[str], error: OSError) -> str:
    """Why a command could not start, in the container runtime's words."""
    command = argv[0]
    if error.errno == errno.ENOENT and "/" not in command:
        return f'exec: "{command}": executable file not found in $PATH'
    if error.errno == errno.ENOENT:
        return f'exec: "{command}": stat {command}: no such file or directory'
    return f'exec: "{command}": {os.strerror(error.errno or 0).lower()}'


def enter_namespaces(hosts: str, hostname: str) -> None:
    """Give this process an /etc/hosts and a host name of its own; without root, in a user namespace."""
    import ctypes

    clone_newns, clone_newuts, clone_newuser = 0x20000, 0x4000000, 0x10000000
    ms_bind, ms_recursive, ms_slave = 0x1000, 0x4000, 0x80000
    libc = ctypes.CDLL(None, use_errno=True)

    def check(answer: int, what: str) -> None:
        if answer:
            number = ctypes.get_errno()
            raise OSError(number, f"{what}: {os.strerror(number)}")

    user, group = os.getuid(), os.getgid()
    check(libc.unshare(clone_newns | clone_newuts | (clone_newuser if user else 0)), "unshare")
    if user:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    check(libc.mount(None, b"/", None, ms_recursive | ms_slave, None), "make mounts private")
    check(libc.mount(hosts.encode(), b"/etc/hosts", None, ms_bind, None), "mount /etc/hosts")
    check(libc.sethostname(hostname.encode(), len(hostname.encode())), "set the host name")


class Shim:
    def __init__(self, spec: dict[str, object]) -> None:
        self._spec = spec
        self._selector = selectors.DefaultSelector()
        self._main = 0
        self._code: int | None = None
        self._over_memory = False
        self._streams = 2
        self._control = b""

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
        log = os.open(str(self._spec["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._wake_on_child()
        ends = {name: os.pipe() for name in ("stdout", "stderr")}
        failed = os.pipe()
        self._main = os.fork()
        if self._main == 0:
            self._become(ends["stdout"][1], ends["stderr"][1], failed[1])
        os.close(failed[1])
        for name, (reading, writing) in ends.items():
            os.close(writing)
            self._selector.register(reading, selectors.EVENT_READ, Log(log, name))
        self._selector.register(0, selectors.EVENT_READ, None)
        with os.fdopen(failed[0]) as file:
            return file.read() or None

    def _wake_on_child(self) -> None:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        self._selector.register(reading, selectors.EVENT_READ, reading)

    def _become(self, stdout: int, stderr: int, failed: int) -> None:
        """In the child: replace the process, or say why not and end."""
        argv = [str(word) for word in self._spec["argv"]]  # type: ignore[attr-defined]
        try:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            if self._spec.get("hosts"):
                enter_namespaces(str(self._spec["hosts"]), str(self._spec["hostname"]))
            os.chdir(str(self._spec["cwd"]))
            os.execvpe(argv[0], argv, dict(self._spec["env"]))  # type: ignore[call-overload]  # noqa: S606
        except OSError as error:
            os.write(failed, refusal(argv, error).encode())
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
        data = os.read(file, 65536)
        if data:
            log.feed(data)
            return
        log.end()
        self._selector.unregister(file)
        os.close(file)
        self._streams -= 1

    def _obey(self) -> None:
        data = os.read(0, 4096)
        if not data:
            self._selector.unregister(0)
            self._kill_all()
            return
        *orders, self._control = (self._control + data).split(b"\n")
        for order in orders:
            if order == b"kill":
                self._kill_all()
            elif handles_sigterm(self._main):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._main, signal.SIGTERM)
            elif order == b"leave":
                self._kill_all()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._main:
                code = os.waitstatus_to_exitcode(status)
                self._code = code if code >= 0 else 128 - code

    def _kill_all(self) -> None:
        for pid in descendants() or [self._main]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._main, signal.SIGKILL)

    def _watch_memory(self, limit: int) -> None:
        pids = descendants()
        if memory_of(pids) > limit and shared_memory_of(pids) > limit:
            self._over_memory = True
            self._kill_all()

    def _end(self) -> None:
        """Nothing outlives the first process; what was written before is still logged."""
        deadline = time.monotonic() + LAST_WORDS
        while time.monotonic() < deadline and (descendants() or self._streams):
            self._kill_all()
            self._reap()
            self._turn(0.01)


def say(message: dict[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(message).encode() + b"\n")


def probe() -> None:
    """Whether `enter_namespaces` works here; says why not and exits 1."""
    try:
        enter_namespaces("/etc/hosts", "probe")
    except OSError as error:
        os.write(1, f"{error.strerror or error}\n".encode())
        os._exit(1)


def main() -> None:
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(0, 1)
        if not data:
            return
        line += data
    adopt_orphans()
    Shim(json.loads(line)).run()


if __name__ == "__main__":
    probe() if "--probe" in sys.argv else main()
