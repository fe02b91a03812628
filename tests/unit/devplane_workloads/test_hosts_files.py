"""A pod's hosts file on disk: what stands in it, and the room that it keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from devplane.kubelet.network.hosts import BLOCK, NOTE, overwrite


@pytest.mark.parametrize("size", [100, BLOCK - 5, BLOCK])
def test_file_is_a_block_long_and_hardly_blank(tmp_path: Path, size: int) -> None:
    path, content = tmp_path / "hosts", b"x" * (size - 1) + b"\n"
    overwrite(path, content)
    written = path.read_bytes()
    assert (len(written), written[:size], written[-1:]) == (BLOCK, content, b"\n")
    rest = [line for line in written[size:].decode().splitlines() if line and not line.startswith("#")]
    assert [line.strip() for line in rest] == [""] * len(rest)
    assert len(rest) <= BLOCK // 200


def test_note_tells_what_the_room_is_for(tmp_path: Path) -> None:
    overwrite(tmp_path / "hosts", b"127.0.0.1\tlocalhost\n")
    assert (tmp_path / "hosts").read_text().splitlines()[1] == NOTE


def test_shorter_content_leaves_the_file_as_long_as_before(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    overwrite(path, b"1\tone\n" * BLOCK)
    overwrite(path, b"2\ttwo\n")
    assert path.stat().st_size == 6 * BLOCK
    assert "one" not in path.read_text()
