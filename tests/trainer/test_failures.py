"""How runs fail: each with its code, its reason, and a sentence that helps."""

import shutil
import subprocess

import pytest

from trainer import factories, processes
from trainer.factories import placed
from tunebird_trainer import config_file, run


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_model_that_is_not_in_the_cache_is_said_to_be_absent(tmp_path, tiny_model):
    config = placed(tmp_path, tiny_model, model__uri="hf://nobody/nothing")
    failed = processes.run(config, tmp_path)
    assert (failed.code, failed.journal["reason"]) == (4, "ModelNotFound")
    assert "HF_HUB_OFFLINE is set" in failed.message


def test_a_model_that_changed_is_refused(tmp_path, tiny_model):
    config = placed(tmp_path, tiny_model, model__digest="sha256:" + "0" * 64)
    failed = processes.run(config, tmp_path)
    assert (failed.code, failed.journal["reason"]) == (4, "ModelMismatch")


def test_a_loss_that_is_not_a_number_names_the_last_good_checkpoint(tmp_path, tiny_model):
    config = placed(
        tmp_path,
        tiny_model,
        method__tuning="full",
        method__lora=None,
        output__forms=["merged"],
        training__learningRate=1e37,
        training__schedule={"type": "constant", "warmup": 0.0},
        training__maxSteps=50,
        checkpoint__everySteps=1,
    )
    failed = processes.run(config, tmp_path)
    assert (failed.code, failed.journal["reason"], failed.journal["phase"]) == (6, "NaNLoss", "train")
    assert "lower training.learningRate (now 1e+37)" in failed.message
    assert failed.message.endswith(f"the last good checkpoint is {failed.journal['checkpoint']}")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_loses_nothing_and_the_run_goes_on_when_there_is_room(tmp_path, tiny_model, small_disk):
    config = placed(tmp_path, tiny_model, checkpoint__uri=f"file://{small_disk}/checkpoints", checkpoint__everySteps=1)
    config["training"]["maxSteps"] = 12
    (small_disk / "ballast").write_bytes(b"0" * 100_000)
    config["checkpoint"]["keep"] = 50
    failed = processes.run(config, tmp_path)
    assert (failed.code, failed.journal["reason"]) == (202, "DiskFull")
    assert failed.message.endswith(f"the last good checkpoint is {failed.journal['checkpoint']}")

    (small_disk / "ballast").unlink()
    config["checkpoint"]["keep"] = 1
    config["job"]["attempt"] = 2
    again = processes.run(config, tmp_path)
    assert again.code == 0, again.log
    assert f"resuming after {failed.journal['checkpoint']}" in again.log


def test_an_unwritable_output_is_found_before_training(tmp_path, tiny_model):
    (tmp_path / "blocked").write_text("a file where a folder should be")
    config = placed(tmp_path, tiny_model, output__uri=f"file://{tmp_path}/blocked/out")
    failed = processes.run(config, tmp_path)
    assert (failed.code, failed.journal["reason"]) == (2, "InvalidConfig")
    assert "train:" not in failed.log


def test_an_output_without_room_for_the_forms_is_found_before_training(tmp_path, tiny_model, small_disk):
    (small_disk / "ballast").write_bytes(b"0" * 500_000)
    config = placed(tmp_path, tiny_model, output__uri=f"file://{small_disk}/out")
    failed = processes.run(config, tmp_path)
    assert (failed.code, failed.journal["reason"]) == (202, "DiskFull")
    assert failed.message.startswith(f"output.uri file://{small_disk}/out: its forms take ")
    assert "train: step" not in failed.log


def test_an_output_that_fills_up_while_it_is_written_is_the_one_that_is_named(tmp_path, tiny_model, small_disk):
    forms = (tiny_model / "model.safetensors").stat().st_size + 60_000
    (small_disk / "ballast").write_bytes(b"0" * (600 * 1024 - forms))
    config = placed(tmp_path, tiny_model, output__uri=f"file://{small_disk}/out")
    failed = processes.run(config, tmp_path)
    assert (failed.code, failed.journal["reason"], failed.journal["phase"]) == (202, "DiskFull", "save")
    assert failed.message.startswith(f"the volume of {small_disk} is full: ")
    assert failed.message.endswith("start the run again; the last good checkpoint is checkpoint-4")
    assert not list(small_disk.glob("*out*"))

    (small_disk / "ballast").unlink()
    config["job"]["attempt"] = 2
    assert processes.run(config, tmp_path).code == 0


def test_a_base_model_that_gives_no_numbers_is_told_before_the_first_step(tmp_path, tiny_model):
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(tiny_model, broken)
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    failed = processes.run(placed(tmp_path, broken), tmp_path)
    assert (failed.code, failed.journal["reason"]) == (6, "NaNLoss")
    assert "held-out loss is nan at step 0" in failed.message


@pytest.mark.parametrize(("optimizer", "needed"), [("adamw", 12_000), ("sgd", 4_000)])
def test_a_checkpoint_needs_room_for_the_trained_weights_and_what_adamw_keeps_of_them(optimizer, needed):
    assert run.checkpoint_bytes(config_file.parse(factories.config(training__optimizer=optimizer)), 1000) == needed


def test_a_volume_without_room_for_a_checkpoint_is_found_before_training(tmp_path, tiny_model, small_disk):
    (small_disk / "ballast").write_bytes(b"0" * 560_000)
    config = placed(tmp_path, tiny_model, checkpoint__uri=f"file://{small_disk}/checkpoints", method__lora__rank=64)
    failed = processes.run(config, tmp_path)
    assert (failed.code, failed.journal["reason"]) == (202, "DiskFull")
    assert f"checkpoint.uri file://{small_disk}/checkpoints: a checkpoint takes at least " in failed.message
    assert "train: step" not in failed.log
