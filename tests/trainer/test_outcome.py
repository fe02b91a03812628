import json

from tunebird_trainer import __main__ as wrapper
from tunebird_trainer.__main__ import Ended
from tunebird_trainer.outcome import (
    EXIT_CODES,
    MESSAGE_LIMIT_BYTES,
    Reason,
    read_journal,
    termination_message,
    write_termination_message,
)


def test_every_reason_has_its_exit_code():
    assert set(EXIT_CODES) == set(Reason)


def test_a_short_message_is_kept_whole():
    facts = {"attempt": 2, "reason": Reason.NAN_LOSS, "exitCode": 6, "message": "Größe", "step": None}
    assert json.loads(termination_message(facts)) == {
        "v": 1,
        "attempt": 2,
        "reason": "NaNLoss",
        "exitCode": 6,
        "message": "Größe",
    }


def test_a_long_sentence_is_cut_and_the_facts_stay():
    for text in ("x" * 9000, "ü" * 9000, '"\n' * 5000, "\x01" * 4000, "👋" * 3000):
        raw = termination_message({"exitCode": 3, "message": text, "metrics": {"trainLoss": 1.0}})
        told = json.loads(raw)
        assert len(raw) <= MESSAGE_LIMIT_BYTES
        assert told["metrics"] == {"trainLoss": 1.0}
        assert text.startswith(told["message"].removesuffix("…"))
        assert len(raw) > MESSAGE_LIMIT_BYTES // 2, "cut no more than needed"


def test_a_message_replaces_a_longer_one_in_the_same_file(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"x" * 500)
    inode = path.stat().st_ino
    write_termination_message(path, b'{"v":1}')
    assert (path.read_bytes(), path.stat().st_ino) == (b'{"v":1}', inode)


def test_a_torn_journal_counts_as_none(tmp_path):
    path = tmp_path / "journal.json"
    path.write_text('{"step": 1')
    assert read_journal(path) == read_journal(tmp_path / "absent") == {}


TRAINING = {"phase": "train", "step": 7, "of": 20, "checkpoint": "checkpoint-5"}


def test_a_kill_with_an_oom_counted_is_host_memory():
    told = wrapper._completed(TRAINING, Ended(0, 137), oom=True)
    assert (told["exitCode"], told["reason"]) == (86, "HostOutOfMemory")
    assert told["message"].startswith("the host's memory was used up at step 7 of 20; checkpoint-5 is kept")


def test_a_kill_without_one_is_a_kill():
    told = wrapper._completed(TRAINING, Ended(0, 137), oom=False)
    assert (told["exitCode"], told["reason"]) == (137, "Internal")


def test_a_verdict_that_disagrees_with_the_exit_code_is_not_believed():
    """A child that was killed while it was shutting down has not completed."""
    told = wrapper._completed({**TRAINING, "exitCode": 0, "reason": "Completed"}, Ended(0, 139), oom=False)
    assert (told["exitCode"], told["reason"]) == (139, "Internal")
    assert "ended by SIGSEGV" in told["message"]


def test_a_child_that_leaves_without_a_verdict_is_a_bug():
    assert wrapper._completed({}, Ended(0, 1), oom=False)["exitCode"] == 203


def test_oom_kills_are_read_from_either_cgroup(tmp_path):
    assert wrapper._oom_kills(tmp_path) == 0
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert wrapper._oom_kills(tmp_path) == 2
    (tmp_path / "memory.events").write_text("low 0\nhigh 4\nmax 9\noom 1\noom_kill 3\n")
    assert wrapper._oom_kills(tmp_path) == 3


def test_only_old_compiler_locks_are_removed_outside_a_container(tmp_path, monkeypatch):
    import os

    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    for name, age in (("old", 3600), ("new", 1)):
        (tmp_path / name).mkdir()
        lock = tmp_path / name / "lock"
        lock.touch()
        os.utime(lock, (lock.stat().st_mtime - age,) * 2)
    wrapper._clear_stale_locks()
    assert not (tmp_path / "old/lock").exists()
    assert (tmp_path / "new/lock").exists()
