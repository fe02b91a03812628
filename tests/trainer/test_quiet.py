"""What a user reads is ours: no line of a library's in a run where nothing is wrong."""

import json
import os
import re
import subprocess
import sys

import pytest

from trainer.factories import placed
from trainer.wrapper import SOURCE

STAMP = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ ")
OURS = re.compile(r"\{|(phase|data|support|train|packing|worst case|save|evaluate|plan|done|evaluation|start|phase): ")


def ran(home, module, *arguments):
    environment = {
        **os.environ,
        "PYTHONPATH": str(SOURCE),
        "HF_HUB_OFFLINE": "1",
        "TUNEBIRD_SCRATCH": str(home / "scratch"),
    }
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def stamped(tmp_path_factory, tiny_model):
    """The log of a run from the start to the artifact."""
    home = tmp_path_factory.mktemp("run")
    (home / "config.json").write_text(json.dumps(placed(home, tiny_model)))
    done = ran(home, "tunebird_trainer", home / "config.json")
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def log(stamped):
    return [STAMP.sub("", line) for line in stamped]


def test_each_line_for_people_says_when_it_was_written(stamped):
    assert [line for line in stamped if bool(STAMP.match(line)) == line.startswith("{")] == []


def test_only_our_lines_are_in_the_log_of_a_run(log):
    assert [line for line in log if not OURS.match(line)] == []


def test_what_takes_long_is_announced_from_the_first_second_on(log):
    told = [line for line in log if not line.startswith(("{", "data: ")) and ": step " not in line]
    assert log[0].startswith('{"config": ')
    assert log[1] == "start: loading libraries"
    expected = [
        "start: loading libraries", "phase: load", "phase: data", "phase: train", "train: 4,480 parameters",
        "worst case",
        "train: evaluating 2 held-out rows after step 0", "train: evaluating 2 held-out rows after step 4",
        "train: reports and curves", "phase: save", "save: writing adapter and merged", "save: loading the merged",
        "save: asking for 20 answers", "save: 10 of 20 answers", "save: 0% of 10 ended; asking the base",
        "save: 10 of 20 answers", "save: warning",
        "phase: publish", "done: ",
    ]  # fmt: skip
    assert [line for line, beginning in zip(told, expected, strict=True) if not line.startswith(beginning)] == []


def test_the_log_ends_with_the_artifact(log):
    assert log[-1].startswith("done: ")
    numbers = [line.partition(": step ")[2] for line in log if ": step " in line]
    assert len(numbers) == len(set(numbers)), "the same numbers were told twice"


@pytest.mark.parametrize("errand", ["--plan", "--check-data"])
def test_only_our_lines_are_in_the_log_of_an_errand(tmp_path, tiny_model, errand):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(placed(tmp_path, tiny_model)))
    done = ran(tmp_path, "tunebird_trainer", errand, config)
    assert done.stderr == ""
    assert done.stdout.startswith("start: loading libraries\n")


def test_building_the_tiny_model_prints_its_place_alone(tmp_path):
    done = ran(tmp_path, "tunebird_trainer.models", "tiny", "--out", tmp_path / "tiny")
    assert (done.stdout, done.stderr) == (f"{tmp_path / 'tiny'}\n", "")
