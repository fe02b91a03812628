"""Curves for people who have a tracker already."""

from trainer import processes
from trainer.factories import placed


def test_tensorboard_finds_its_files_beside_the_checkpoints(tmp_path, tiny_model):
    result = processes.run(placed(tmp_path, tiny_model, training__trackers=["tensorboard"]), tmp_path)
    assert result.code == 0, result.log
    assert list((tmp_path / "checkpoints" / "tensorboard").rglob("events.out.tfevents.*"))
