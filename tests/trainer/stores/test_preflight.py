"""What is said before any library is loaded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.factories import placed
from tunebird_trainer import __main__ as command
from tunebird_trainer import config as configs
from tunebird_trainer import config_file
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.stores import preflight
from tunebird_trainer.survival import launch

SOURCE = Path(__file__).parents[3] / "trainer_image"


@pytest.fixture
def base(tmp_path):
    """Looks like a model; whoever loads it would find out."""
    place = tmp_path / "base"
    place.mkdir()
    (place / "config.json").write_text("{}")
    (place / "model.safetensors").write_bytes(b"")
    return place


def checked(home, base, **changes):
    preflight.check(config_file.parse(placed(home, base, **changes)))


def refused(home, base, **changes):
    with pytest.raises(Failure) as found:
        checked(home, base, **changes)
    return found.value


def test_a_config_whose_places_are_there_passes(tmp_path, base):
    checked(tmp_path, base)


def test_an_absent_data_file(tmp_path, base):
    failure = refused(tmp_path, base, datasets__0__uri="file:///nowhere/support.jsonl")
    assert failure.reason is Reason.DATASET_NOT_FOUND
    assert "dataset support: file:///nowhere/support.jsonl is absent" in failure.message


def test_an_absent_suite_is_called_one(tmp_path, base):
    suite = {"name": "support", "uri": f"file://{tmp_path}/nope.jsonl"}
    failure = refused(tmp_path, base, evaluation={"suites": [suite], "gates": []})
    assert failure.reason is Reason.DATASET_NOT_FOUND
    assert failure.message.startswith(f"evaluation.suites: suite support: {suite['uri']} is absent")


def test_half_precision_is_refused_at_once_where_there_is_no_gpu(tmp_path, base, monkeypatch):
    devices = tmp_path / "dev"
    devices.mkdir()
    monkeypatch.setattr(preflight, "_DEVICES", devices)
    failure = refused(tmp_path, base, training__precision="fp16")
    assert failure.message == "training.precision: fp16 needs a GPU; use fp32 or bf16"
    (devices / "nvidiactl").touch()
    checked(tmp_path, base, training__precision="fp16")


def test_an_absent_artifact_is_said_to_be_made_first(tmp_path):
    failure = refused(tmp_path, tmp_path / "support-bot" / "merged")
    assert failure.reason is Reason.MODEL_NOT_FOUND
    assert "start the run that publishes it first" in failure.message


@pytest.mark.parametrize(("present", "said"), [((), "is no directory"), (("config.json",), "no *.safetensors")])
def test_an_absent_or_empty_model(tmp_path, present, said):
    for name in present:
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / name).write_text("{}")
    failure = refused(tmp_path, tmp_path / "model")
    assert failure.reason is Reason.MODEL_NOT_FOUND
    assert said in failure.message


def test_an_absent_reference_model(tmp_path, base):
    failure = refused(tmp_path, base, method__objective="dpo", method__dpo={"reference": "file:///nowhere"})
    assert failure.reason is Reason.MODEL_NOT_FOUND


def test_a_manifest_that_is_cut_off_is_the_models_fault(tmp_path, base):
    (base / "tunebird.json").write_text('{"forms": ')
    failure = refused(tmp_path, base)
    assert failure.reason is Reason.MODEL_NOT_FOUND
    assert f"{base}/tunebird.json is not JSON" in failure.message


def test_an_output_that_belongs_to_another_run(tmp_path, base):
    (tmp_path / "out").mkdir()
    failure = refused(tmp_path, base)
    assert failure.reason is Reason.INVALID_CONFIG
    assert "exists and is not of this run" in failure.message


def test_a_run_that_has_published_needs_its_inputs_no_more(tmp_path, base, monkeypatch):
    from tunebird_trainer.stores import storage

    config = config_file.parse(placed(tmp_path, base))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/README.md").write_text("# done")
    digest = storage.directory_digest(tmp_path / "out")
    told = {"job": {"uid": config.job.uid}, "configDigest": configs.run_digest(config), "digest": digest}
    (tmp_path / "out/tunebird.json").write_text(json.dumps(told))
    (tmp_path / "data.jsonl").unlink()
    monkeypatch.setattr(storage, "directory_digest", None)  # the files are read once, by the run
    preflight.check(config)


def test_what_lies_elsewhere_is_left_to_the_run(tmp_path, base):
    checked(tmp_path, base, model__uri="hf://nobody/nothing", datasets__0__uri="s3://nobody/nothing.jsonl")


@pytest.mark.parametrize("errand", [[], ["--plan"], ["--check-data"]])
def test_the_command_tells_it_without_starting_a_process(tmp_path, base, errand, monkeypatch, capsys):
    def started(*_):
        raise AssertionError("a process was started")

    monkeypatch.setattr(launch.Children, "run", started)
    config = placed(tmp_path, base, datasets__0__uri="file:///nowhere/support.jsonl")
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert command.run([str(tmp_path / "config.json"), *errand]) == 3
    assert "tunebird-trainer: DatasetNotFound: dataset support" in capsys.readouterr().err


@pytest.mark.parametrize(
    "called", ["tunebird_trainer.stores.preflight", "tunebird_trainer.__main__", "tunebird_trainer.server.source"]
)
def test_nothing_heavy_is_imported_for_it(called):
    heavy = "{'torch', 'transformers', 'datasets', 'numpy', 'pydantic'} & set(sys.modules)"
    code = f"import sys, {called}; print({heavy} or '')"
    ran = subprocess.run([sys.executable, "-c", code], cwd=SOURCE, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


def test_the_server_says_that_it_loads_libraries_before_it_does(base):
    code = "import sys; sys.modules['torch'] = None; from tunebird_trainer.server.__main__ import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", code, "--model-uri", f"file://{base}"], cwd=SOURCE, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert "INFO tunebird_trainer.server Loading libraries threads=" in ran.stderr


def test_the_server_refuses_an_absent_model_before_torch_is_imported(tmp_path):
    code = (
        "import sys; sys.modules['torch'] = None; from tunebird_trainer.server.__main__ import main; sys.exit(main())"
    )
    arguments = ["--model-uri", f"file://{tmp_path}/nothing"]
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=SOURCE, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 4, ran.stderr
    assert f"ModelNotFound: model file://{tmp_path}/nothing: {tmp_path}/nothing is no directory" in ran.stderr
