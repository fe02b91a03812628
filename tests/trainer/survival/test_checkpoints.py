import json

import pytest

from tunebird_trainer.outcome import Failure
from tunebird_trainer.survival.checkpoints import Checkpoints, Fingerprint

MINE = Fingerprint(model="m", data="d", config="c", code="k")


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path, keep=2, fingerprint=MINE)


def save(checkpoints, step, content=b"weights"):
    written = checkpoints.writing / f"checkpoint-{step}"
    (written / "inner").mkdir(parents=True)
    (written / "model.bin").write_bytes(content)
    (written / "inner" / "state").write_text(str(step))
    return checkpoints.publish(written, {"of": 9, "tokens": 10 * step})


def names(checkpoints):
    return sorted(path.name for path in checkpoints.root.glob("checkpoint-*"))


def test_a_checkpoint_without_the_part_of_a_process_is_not_published(checkpoints, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    written = checkpoints.writing / "checkpoint-3"
    written.mkdir(parents=True)
    (written / "rng_state_0.pth").touch()
    with pytest.raises(Failure, match="lacks the part of process 1: the nodes don't share the volume"):
        checkpoints.publish(written, {"of": 9})
    assert names(checkpoints) == []


def test_the_newest_is_found_with_what_it_counted(checkpoints):
    save(checkpoints, 3)
    saved = save(checkpoints, 6)
    found = checkpoints.newest()
    assert found == saved
    assert (found.step, found.facts["tokens"]) == (6, 60)
    assert found.digest.startswith("sha256:")


def test_only_the_last_few_are_kept(checkpoints):
    for step in (2, 4, 10, 12):
        save(checkpoints, step)
    assert names(checkpoints) == ["checkpoint-10", "checkpoint-12"]


def test_a_damaged_one_is_skipped_and_said_so(checkpoints, capsys):
    save(checkpoints, 3)
    newest = save(checkpoints, 6)
    (newest.path / "model.bin").write_bytes(b"weighty")
    assert checkpoints.newest().step == 3
    assert "skipping checkpoint-6: its files differ from its manifest" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["{", "{}", json.dumps({"files": {}, "fingerprint": {}})])
def test_a_damaged_manifest_is_skipped(checkpoints, damage):
    save(checkpoints, 3)
    (save(checkpoints, 6).path / "tunebird-checkpoint.json").write_text(damage)
    assert checkpoints.newest().step == 3


def test_a_missing_or_added_file_makes_it_not_whole(checkpoints):
    save(checkpoints, 3)
    (save(checkpoints, 6).path / "inner" / "state").unlink()
    assert checkpoints.newest().step == 3
    (checkpoints.root / "checkpoint-3" / "extra").write_text("x")
    assert checkpoints.newest() is None


def test_one_of_other_data_is_not_continued_and_the_log_says_why(checkpoints, tmp_path, capsys):
    save(checkpoints, 6)
    other = Checkpoints(tmp_path, 2, Fingerprint(model="m", data="D", config="c", code="K"))
    assert other.newest() is None
    assert "belongs to another data and code" in capsys.readouterr().out


def test_one_of_another_run_gives_way_to_the_first_of_this(checkpoints, tmp_path):
    save(checkpoints, 9)
    other = Checkpoints(tmp_path, 2, Fingerprint(model="m", data="D", config="c", code="k"))
    save(other, 3)
    assert names(other) == ["checkpoint-3"]


def test_a_damaged_one_of_the_same_step_is_replaced(checkpoints):
    damaged = save(checkpoints, 6)
    (damaged.path / "model.bin").write_bytes(b"")
    assert save(checkpoints, 6).digest == checkpoints.newest().digest


def test_what_a_killed_save_left_is_removed(checkpoints, capsys):
    (checkpoints.root / ".writing-7" / "checkpoint-4").mkdir(parents=True)
    (checkpoints.root / ".discarded-checkpoint-2-7").mkdir()
    checkpoints.clear_unfinished()
    assert list(checkpoints.root.iterdir()) == []
    assert "removing unfinished .writing-7" in capsys.readouterr().out
