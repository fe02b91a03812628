"""`kubectl cp` runs tar in the container and looks for the container's path in what it says."""

from __future__ import annotations

import subprocess
from pathlib import Path

from devplane.kubelet.inputs.paths import archive_names


def test_tar_names_local_files_by_their_mount(tmp_path: Path) -> None:
    volume = tmp_path / "vol[1].x"
    (volume / "deep").mkdir(parents=True)
    (volume / "deep" / "file").write_text("x")
    argv = ("tar", "cf", "-", str(volume / "deep"))
    more = archive_names(argv, {"/data": str(volume), "/other": "/elsewhere"})
    packed = subprocess.run([*argv, *more], capture_output=True, check=True).stdout
    listed = subprocess.run(["tar", "tf", "-"], input=packed, capture_output=True, check=True).stdout
    assert listed.decode().split() == ["data/deep/", "data/deep/file"]


def test_other_commands_are_left_as_they_are() -> None:
    local = {"/data": "/local"}
    assert archive_names(("tar", "-xmf", "-", "-C", "/local"), local) == ()
    assert archive_names(("ls", "c", "/local"), local) == ()
