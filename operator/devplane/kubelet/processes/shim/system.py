"""Processes, their memory, namespaces and terminals, as the system knows them (Linux; elsewhere little is known)."""

# ruff: noqa: PTH123, PTH208 - pathlib costs more to import than all of this

from __future__ import annotations

import contextlib
import errno
import os
import signal


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


def join_namespaces(pid: int) -> None:
    """See what `pid` sees, which has called `enter_namespaces`."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    for kind in ("user", "mnt", "uts") if os.getuid() else ("mnt", "uts"):
        handle = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
        if libc.setns(handle, 0):
            number = ctypes.get_errno()
            raise OSError(number, f"setns: {os.strerror(number)}")


def take_terminal(files: list[int]) -> None:
    """The new session's own terminal; one file is a terminal, three are none."""
    if len(files) == 1:
        import fcntl
        import termios

        fcntl.ioctl(files[0], termios.TIOCSCTTY, 0)


def join_cgroup(directory: str) -> None:
    with open(f"{directory}/cgroup.procs", "w") as file:
        file.write("0")
