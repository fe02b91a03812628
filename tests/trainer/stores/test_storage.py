"""What a full, lost or wrong place is called."""

import errno
import os
from pathlib import Path

import pytest

from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.stores import outputs, storage


class SafetensorsError(Exception):
    """Carries the system's error as text alone."""


def test_a_full_volume_is_named_by_the_place_that_was_written_to(tmp_path):
    with pytest.raises(Failure) as found, storage.writing(tmp_path / "out"):
        raise SafetensorsError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert found.value.reason is Reason.DISK_FULL
    assert found.value.message.startswith(f"the volume of {tmp_path}/out is full")
    assert "free space there or enlarge it" in found.value.message


def test_an_error_that_names_its_file_is_believed(tmp_path):
    with pytest.raises(Failure) as found, storage.writing(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "elsewhere/file"))
    assert found.value.message.startswith(f"the volume of {tmp_path}/elsewhere/file is full")


def test_a_write_that_failed_is_not_told_in_pytorchs_own_terms(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_nearly_full", lambda _: True)
    with pytest.raises(Failure) as found, storage.writing(tmp_path):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 279104 vs 278996")
    said = "a file could not be written whole; free space there or enlarge it, and start the run again"
    assert found.value.message == f"the volume of {tmp_path} is full: {said}"


def test_what_is_no_error_of_a_disk_is_left_as_it_is(tmp_path):
    with pytest.raises(KeyError), storage.writing(tmp_path):
        raise KeyError("answer")
    with pytest.raises(Failure, match="gone"), storage.writing(tmp_path):
        raise Failure(Reason.MODEL_NOT_FOUND, "gone")


def test_an_output_below_a_file_is_a_mistake_of_the_config_and_named(tmp_path):
    (tmp_path / "afile").write_text("")
    uri = f"file://{tmp_path}/afile/deep/out"
    with pytest.raises(Failure) as found:
        outputs.check_writable(uri)
    assert found.value.reason is Reason.INVALID_CONFIG
    said = f"output.uri {uri}: {tmp_path}/afile is a file, not a directory; choose another place"
    assert found.value.message == said


def test_an_output_where_nobody_can_write_names_the_field_and_no_probe():
    with pytest.raises(Failure) as found:
        outputs.check_writable("file:///proc/tunebird/out")
    assert found.value.reason is Reason.INVALID_CONFIG
    assert found.value.message == (
        "output.uri file:///proc/tunebird/out: /proc/tunebird can't be written: No such file or directory; "
        "choose another place"
    )


def test_a_volume_that_is_read_only_may_be_mounted_better_next_time(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path / ".probe"))

    monkeypatch.setattr(Path, "write_bytes", refused)
    with pytest.raises(Failure) as found:
        outputs.check_writable(f"file://{tmp_path}/out")
    assert found.value.reason is Reason.STORAGE_UNAVAILABLE
    assert found.value.message.endswith(
        f"{tmp_path} can't be written: Read-only file system; check that its volume is mounted and writable"
    )


@pytest.mark.parametrize(("free", "enough"), [(1000, True), (999, False)])
def test_the_room_at_the_output_is_compared_with_what_will_be_written(tmp_path, monkeypatch, free, enough):
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((1, 1, 5000, free, free, 9, 9, 9, 0, 255)))
    uri = f"file://{tmp_path}/deep/out"
    if enough:
        outputs.check_room(uri, 1000)
        return
    with pytest.raises(Failure) as found:
        outputs.check_room(uri, 1000)
    assert found.value.reason is Reason.DISK_FULL
    assert found.value.message == (
        f"output.uri {uri}: its forms take 1000.0 B and {tmp_path} has 999.0 B free; "
        "free space there or enlarge the volume"
    )
