"""What a user reads is ours: no line of a library's in a run where nothing is wrong."""

import json
import os
import re
import subprocess
import sys

import pytest

from trainer.factories import placed
from trainer.wrapper import SOURCE

OURS = re.compile(r"\{|(phase|data|support|train|packing|worst case|save|evaluate|plan|done|loading|evaluation): ")


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


@pytest.mark.parametrize("errand", [(), ("--plan",), ("--check-data",)], ids=["train", "plan", "check-data"])
def test_only_our_lines_are_in_the_log(tmp_path, tiny_model, errand):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(placed(tmp_path, tiny_model)))
    done = ran(tmp_path, "tunebird_trainer", *errand, config)
    assert done.stderr == ""
    if not errand:
        assert [line for line in done.stdout.splitlines() if not OURS.match(line)] == []


def test_building_the_tiny_model_prints_its_place_alone(tmp_path):
    done = ran(tmp_path, "tunebird_trainer.models", "tiny", "--out", tmp_path / "tiny")
    assert (done.stdout, done.stderr) == (f"{tmp_path / 'tiny'}\n", "")
