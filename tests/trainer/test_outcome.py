import json
import os
import subprocess

import pytest

from tunebird_trainer import __main__ as wrapper
from tunebird_trainer.outcome import (
    EXIT_CODES,
    MESSAGE_LIMIT_BYTES,
    Reason,
    read_journal,
    termination_message,
    write_termination_message,
)
from tunebird_trainer.survival import launch
from tunebird_trainer.survival.heartbeat import Beat, Hung, Phase
from tunebird_trainer.survival.launch import Ended
from tunebird_trainer.training import memory


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


def test_a_kill_with_an_oom_counted_is_host_memory_with_what_was_used():
    told = wrapper._completed(TRAINING, Ended(0, 137, peak_bytes=2**30), " with 3.90 GiB in use of 4.00 GiB")
    assert (told["exitCode"], told["reason"], told["peakBytes"]) == (86, "HostOutOfMemory", 2**30)
    assert told["message"].startswith(
        "the host's memory was used up with 3.90 GiB in use of 4.00 GiB at step 7 of 20; checkpoint-5 is kept"
    )


def test_a_kill_without_one_is_a_kill():
    told = wrapper._completed(TRAINING, Ended(0, 137))
    assert (told["exitCode"], told["reason"]) == (137, "Internal")


def test_a_verdict_that_disagrees_with_the_exit_code_is_not_believed():
    """A child that was killed while it was shutting down has not completed."""
    told = wrapper._completed({**TRAINING, "exitCode": 0, "reason": "Completed"}, Ended(0, 139))
    assert (told["exitCode"], told["reason"]) == (139, "Internal")
    assert "ended by SIGSEGV" in told["message"]


def test_a_child_that_leaves_without_a_verdict_is_a_bug():
    assert wrapper._completed({}, Ended(0, 1))["exitCode"] == 203


def test_a_node_without_process_0_is_done_when_its_processes_are():
    told = wrapper._completed({"phase": "train"}, Ended(4, 0))
    assert (told["exitCode"], told["reason"]) == (0, "Completed")


def test_a_process_that_hung_is_named_with_its_phase_and_step():
    hung = Hung(3, Beat(Phase.EVALUATE, 7, 0.0), 61.2, 60)
    told = wrapper._completed(TRAINING, Ended(3, 137, hung=hung))
    assert (told["exitCode"], told["reason"]) == (201, "Hung")
    assert told["message"].startswith("process 3 gave no sign of life for 61 s in phase evaluate after step 7")
    assert "raise distributed.phaseLimits.evaluate" in told["message"]


def test_an_abort_is_explained_by_the_last_lines_of_the_process():
    tail = (
        "[rank1]:[E ProcessGroupNCCL.cpp:607] [Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=5)"
    )
    told = wrapper._completed(TRAINING, Ended(1, 134, tail))
    assert (told["exitCode"], told["reason"]) == (200, "RendezvousTimeout")


def test_sigterm_that_came_before_the_process_could_listen_costs_nothing():
    told = wrapper._completed({"phase": "start"}, Ended(0, 143, stop_asked=True))
    assert (told["exitCode"], told["reason"]) == (85, "Preempted")
    assert wrapper._completed({"phase": "start"}, Ended(0, 143))["exitCode"] == 143


def test_oom_kills_peaks_and_limits_are_read_from_either_cgroup(tmp_path):
    absent = tmp_path / "absent"
    assert (memory.kills(tmp_path), memory.peak_bytes(tmp_path), memory.limit_bytes(tmp_path)) == (0, None, None)
    first = tmp_path / "memory/jobs/one"
    first.mkdir(parents=True)
    (first / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    (first / "memory.max_usage_in_bytes").write_text("4096\n")
    (first / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (tmp_path / "membership").write_text("9:cpu:/\n4:memory:/jobs/one\n0::/\n")
    assert memory.own(tmp_path, tmp_path / "membership") == first
    assert (memory.kills(first), memory.peak_bytes(first), memory.limit_bytes(first)) == (2, 4096, None)
    (tmp_path / "memory.events").write_text("low 0\nhigh 4\nmax 9\noom 1\noom_kill 3\n")
    (tmp_path / "memory.max").write_text("8192\n")
    assert memory.own(tmp_path, absent) == tmp_path
    assert (memory.kills(tmp_path), memory.limit_bytes(tmp_path)) == (3, 8192)


def test_only_old_compiler_locks_where_nobody_works_are_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    for name, age in (("old", 3600), ("new", 1), ("busy", 3600)):
        (tmp_path / name).mkdir()
        lock = tmp_path / name / "lock"
        lock.touch()
        os.utime(lock, (lock.stat().st_mtime - age,) * 2)
    compiler = subprocess.Popen(["sleep", "60"], cwd=tmp_path / "busy")
    try:
        launch.clear_stale_locks()
    finally:
        compiler.kill()
        compiler.wait()
    assert not (tmp_path / "old/lock").exists()
    assert (tmp_path / "new/lock").exists()
    assert (tmp_path / "busy/lock").exists()


@pytest.mark.parametrize("operated", [False, True])
def test_a_person_who_stopped_a_run_is_told_how_it_goes_on(tmp_path, monkeypatch, capsys, operated):
    monkeypatch.delenv("TUNEBIRD_TERMINATION_LOG", raising=False)
    if operated:
        monkeypatch.setenv("TUNEBIRD_TERMINATION_LOG", str(tmp_path / "log"))
    facts = {"attempt": 1, "reason": Reason.PREEMPTED, "exitCode": 85, "message": "checkpointed at step 2 of 20"}
    assert wrapper._say(facts) == 85
    assert ("start the same command again to go on" in capsys.readouterr().err) is not operated
