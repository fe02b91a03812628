"""What appears at an output, and for whom."""

import os

import pytest

from tunebird_trainer.stores import outputs


@pytest.fixture
def umask(request):
    before = os.umask(request.param)
    yield
    os.umask(before)


def staged(uri):
    """As safetensors leaves it: the weights for their owner alone, the rest as the umask has it."""
    directory = outputs.staging(uri)
    (directory / "merged").mkdir()
    (directory / "merged/config.json").write_text("{}")
    (directory / "merged/model.safetensors").write_bytes(b"weights")
    (directory / "merged/model.safetensors").chmod(0o600)
    (directory / "tunebird.json").write_text("{}")
    return directory


def modes(directory):
    return {path.name: path.stat().st_mode & 0o777 for path in directory.rglob("*")}


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o027, 0o640, 0o750)], indirect=["umask"]
)
def test_who_may_read_a_published_file_may_read_the_weights(tmp_path, umask, file, folder):
    uri = f"file://{tmp_path}/out"
    outputs.publish(staged(uri), uri, "job")
    named = {"config.json": file, "model.safetensors": file, "tunebird.json": file}
    assert modes(tmp_path / "out") == {"merged": folder, **named}


def test_a_tiny_model_is_readable_by_all_who_may_read_its_config(tiny_model):
    assert len({path.stat().st_mode & 0o777 for path in tiny_model.glob("*.*")}) == 1
