import json
from pathlib import Path

import pytest

from tunebird_trainer.outcome import Failure
from tunebird_trainer.server import source
from tunebird_trainer.stores.storage import directory_digest


def artifact(path: Path, *forms: str) -> Path:
    path.mkdir()
    for form in forms:
        (path / form).mkdir()
        (path / form / "config.json").write_text("{}")
        (path / form / "model.safetensors").write_bytes(b"weights")
    record = {"forms": {form: {"path": form} for form in forms}}
    (path / "tunebird.json").write_text(json.dumps(record))
    return path


def test_of_an_artifact_the_merged_form_is_served(tmp_path: Path):
    assert source.merged_form(artifact(tmp_path / "a", "adapter", "merged")).name == "merged"


def test_an_artifact_of_an_adapter_alone_is_refused_with_the_remedy(tmp_path: Path):
    with pytest.raises(Failure, match="publish the form `merged`"):
        source.merged_form(artifact(tmp_path / "a", "adapter"))


def test_an_adapter_directory_is_refused_with_the_remedy(tmp_path: Path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(Failure, match="publish the form `merged`"):
        source.merged_form(tmp_path)


def test_an_artifacts_record_is_not_part_of_its_digest(tmp_path: Path):
    path = artifact(tmp_path / "a", "merged")
    promised = directory_digest(path, leave_out=["tunebird.json"])
    (path / "tunebird.json").write_text('{"forms": {}}')
    assert source.verified("pvc://m/a", path, promised) == promised


def test_one_changed_byte_is_noticed(tmp_path: Path):
    path = artifact(tmp_path / "a", "merged")
    promised = source.verified("pvc://m/a", path, "")
    (path / "merged" / "model.safetensors").write_bytes(b"weighty")
    with pytest.raises(Failure, match=promised):
        source.verified("pvc://m/a", path, promised)
