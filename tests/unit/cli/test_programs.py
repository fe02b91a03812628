"""What was started aside is found again, ended, and nothing else is."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tunebird.cli import programs

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


def test_a_started_program_is_remembered_and_stopped(tmp_path: Path) -> None:
    started = programs.start("sleeper", SLEEPER, tmp_path)
    assert programs.recall(tmp_path) == (started,)
    assert started.alive()
    assert programs.stop_all(tmp_path) == ("sleeper",)
    assert not started.alive()
    assert programs.recall(tmp_path) == ()


def test_another_process_with_a_remembered_number_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(SLEEPER, stdout=subprocess.DEVNULL) as stranger:
        impostor = programs.Program("old", stranger.pid, "born at another time", str(tmp_path / "old.log"))
        programs.remember(tmp_path, [impostor])
        assert programs.stop_all(tmp_path) == ()
        assert stranger.poll() is None
        stranger.kill()


def test_a_program_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    started = programs.start("stubborn", [sys.executable, "-c", stubborn], tmp_path)
    while "up" not in programs.tail(started.log):
        assert started.alive()
    programs.stop_all(tmp_path, grace_seconds=0.2)
    assert not started.alive()


def test_the_record_is_replaced_whole(tmp_path: Path) -> None:
    one = programs.Program("a", 1, "x", "a.log")
    programs.remember(tmp_path, [one, replace(one, name="b")])
    assert [entry["name"] for entry in json.loads((tmp_path / "programs.json").read_text())] == ["a", "b"]


def test_a_log_is_followed_over_its_replacement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "FOLLOW_SECONDS", 0)
    log = tmp_path / "x.log"
    log.write_text("one\ntwo\nthree\n")
    told = programs.follow(log, 2)
    assert [next(told), next(told)] == ["two\n", "three\n"]
    with log.open("a") as more:
        more.write("four\n")
    assert next(told) == "four\n"
    log.write_text("new\n")
    assert next(told) == "new\n"
