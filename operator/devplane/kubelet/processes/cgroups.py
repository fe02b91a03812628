"""Memory limits that the kernel keeps: a control group for each container that has one.

https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/memory.html
"""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
SUPERVISOR = "devplane-supervisor"
NOT_DELEGATED = (
    "this process is not alone in its control group {0}; start devplane with "
    "`systemd-run --user --scope -p Delegate=yes …`, or name a group of its own with --cgroup"
)


class NoGroupsError(ValueError):
    """Why limits can't be kept by control groups here."""


@dataclass(frozen=True, slots=True)
class Group:
    """The control group of one start of a container."""

    directory: Path
    is_v2: bool

    def has_killed(self) -> bool:
        """Whether the kernel ended a process of it for want of memory."""
        file = self.directory / ("memory.events" if self.is_v2 else "memory.oom_control")
        with contextlib.suppress(OSError):
            counts = dict(line.split(" ", 1) for line in file.read_text().splitlines())
            return int(counts.get("oom_kill", 0)) > 0
        return False

    def remove(self) -> None:
        """It must be empty: what is left of it is killed."""
        with contextlib.suppress(OSError):
            for word in (self.directory / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(int(word), signal.SIGKILL)
        with contextlib.suppress(OSError):
            self.directory.rmdir()


@dataclass(frozen=True, slots=True)
class Groups:
    """Where the containers' groups are made."""

    directory: Path
    is_v2: bool

    def make(self, name: str, limit: int) -> Group:
        """A group whose processes have `limit` bytes together. Raises `OSError`."""
        group = Group(self.directory / name, self.is_v2)
        group.remove()
        group.directory.mkdir()
        try:
            self._limit(group.directory, limit)
        except OSError:
            group.remove()
            raise
        return group

    def _limit(self, directory: Path, limit: int) -> None:
        if not self.is_v2:
            (directory / "memory.limit_in_bytes").write_text(str(limit))
            _write_if_there(directory / "memory.memsw.limit_in_bytes", str(limit))
            return
        (directory / "memory.max").write_text(str(limit))
        _write_if_there(directory / "memory.swap.max", "0")
        _write_if_there(directory / "memory.oom.group", "1")


def _write_if_there(file: Path, text: str) -> None:
    if file.exists():
        file.write_text(text)


def named(directory: Path) -> Groups:
    """Groups below a directory that was given. Raises `NoGroupsError`."""
    if (directory / "memory.limit_in_bytes").exists():
        return Groups(_writable(directory), is_v2=False)
    if not (directory / "cgroup.subtree_control").exists():
        raise NoGroupsError(f"{directory} is not a control group with a memory controller")
    return Groups(_controlled(_writable(directory)), is_v2=True)


def own(mount: Path = MOUNT, membership: Path = OWN) -> Groups:
    """Groups below this process's own, where that was delegated to it (v2 alone: v1 knows no delegation).

    v2 wants processes in leaves only, so this process moves into one. Raises `NoGroupsError`.
    """
    if not (mount / "cgroup.controllers").exists():
        raise NoGroupsError("there is no unified control group hierarchy (v2); name a group with --cgroup")
    try:
        path = next(line[3:] for line in membership.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        raise NoGroupsError(f"{membership} names no control group") from None
    mine = mount / path.strip("/")
    return Groups(_controlled(mine.parent if mine.name == SUPERVISOR else _emptied(_writable(mine))), is_v2=True)


def _writable(directory: Path) -> Path:
    if not os.access(directory, os.W_OK):
        raise NoGroupsError(f"control group {directory} can't be written to")
    return directory


def _emptied(directory: Path) -> Path:
    """This process goes to a leaf of its own, if it is the only one."""
    members = (directory / "cgroup.procs").read_text().split()
    if members != [str(os.getpid())]:
        raise NoGroupsError(NOT_DELEGATED.format(directory))
    leaf = directory / SUPERVISOR
    try:
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(os.getpid()))
    except OSError as error:
        raise NoGroupsError(f"control group {leaf}: {error.strerror}") from error
    return directory


def _controlled(directory: Path) -> Path:
    """With the memory controller handed on to the groups below."""
    try:
        if "memory" not in (directory / "cgroup.controllers").read_text().split():
            raise NoGroupsError(f"control group {directory} has no memory controller")
        (directory / "cgroup.subtree_control").write_text("+memory")
    except OSError as error:
        raise NoGroupsError(f"control group {directory}: {error.strerror}") from error
    return directory
