"""Where control groups are made, on file systems that look like the kernel's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devplane.kubelet.processes import cgroups
from devplane.kubelet.processes.cgroups import NoGroupsError


def v2(directory: Path, *members: int, controllers: str = "cpu memory") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cgroup.controllers").write_text(f"{controllers}\n")
    (directory / "cgroup.subtree_control").write_text("")
    (directory / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in members))
    return directory


def membership(tmp_path: Path, path: str) -> Path:
    file = tmp_path / "membership"
    file.write_text(f"4:memory:/elsewhere\n0::{path}\n")
    return file


def test_delegated_group_is_emptied_and_hands_memory_on(tmp_path: Path) -> None:
    mount = v2(tmp_path / "mount")
    mine = v2(mount / "user" / "scope", os.getpid())
    found = cgroups.own(mount, membership(tmp_path, "/user/scope"))
    assert (found.directory, found.is_v2) == (mine, True)
    assert (mine / "devplane-supervisor" / "cgroup.procs").read_text() == str(os.getpid())
    assert (mine / "cgroup.subtree_control").read_text() == "+memory"


def test_second_start_in_the_same_process_uses_the_same_group(tmp_path: Path) -> None:
    mount = v2(tmp_path / "mount")
    mine = v2(mount / "scope")
    (mine / "devplane-supervisor").mkdir()
    assert cgroups.own(mount, membership(tmp_path, "/scope/devplane-supervisor")).directory == mine


def test_group_that_others_are_in_is_left_alone(tmp_path: Path) -> None:
    mount = v2(tmp_path / "mount")
    mine = v2(mount / "session", os.getpid(), 1)
    with pytest.raises(NoGroupsError, match=r"not alone in its control group .*systemd-run --user --scope"):
        cgroups.own(mount, membership(tmp_path, "/session"))
    assert not (mine / "devplane-supervisor").exists()
    assert (mine / "cgroup.subtree_control").read_text() == ""


def test_v1_alone_is_not_taken_without_being_told(tmp_path: Path) -> None:
    with pytest.raises(NoGroupsError, match="no unified control group hierarchy"):
        cgroups.own(tmp_path, membership(tmp_path, "/"))


def test_named_directory_must_be_a_group_with_memory(tmp_path: Path) -> None:
    with pytest.raises(NoGroupsError, match="not a control group with a memory controller"):
        cgroups.named(tmp_path)
    with pytest.raises(NoGroupsError, match="has no memory controller"):
        cgroups.named(v2(tmp_path / "bare", controllers="cpu"))
    (tmp_path / "memory.limit_in_bytes").write_text("")
    assert cgroups.named(tmp_path).is_v2 is False


@pytest.mark.parametrize(
    ("is_v2", "file", "before", "after"),
    [
        (True, "memory.events", "low 0\noom 0\noom_kill 0\n", "low 0\noom 3\noom_kill 1\n"),
        (False, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n", "under_oom 0\noom_kill 2\n"),
    ],
)
def test_kernel_says_whether_it_killed(tmp_path: Path, is_v2: bool, file: str, before: str, after: str) -> None:
    group = cgroups.Group(tmp_path, is_v2)
    assert group.has_killed() is False
    (tmp_path / file).write_text(before)
    assert group.has_killed() is False
    (tmp_path / file).write_text(after)
    assert group.has_killed() is True
