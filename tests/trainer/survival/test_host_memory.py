"""The kernel kills a training process for want of memory: a real limit of a real control group."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.factories import placed
from tunebird_trainer.training import memory

LIMIT = 300 * 2**20  # the wrapper lives in a tenth of it, torch alone needs more


@pytest.fixture
def limited():
    """A control group with a memory limit, or the reason why there is none."""
    parent = memory.own()
    place = parent / f"tunebird-test-{os.getpid()}"
    try:
        place.mkdir()
    except OSError as error:
        pytest.skip(f"needs the right to make a control group: {error}")
    try:
        name = next((each for each in ("memory.max", "memory.limit_in_bytes") if (place / each).exists()), None)
        if name is None:
            pytest.skip(f"the memory controller is not handed down below {parent}")
        (place / name).write_text(str(LIMIT))
        yield place
    finally:
        place.rmdir()


def test_a_process_over_the_limit_ends_with_its_code_and_the_measured_peak(tmp_path, tiny_model, limited):
    path, log = tmp_path / "config.json", tmp_path / "termination"
    path.write_text(json.dumps(placed(tmp_path, tiny_model)))
    inside = f"echo $$ > {limited}/cgroup.procs && exec {sys.executable} -m tunebird_trainer {path}"
    source = str(Path(memory.__file__).parents[2])
    ended = subprocess.run(
        ["sh", "-c", inside],
        env={**os.environ, "TUNEBIRD_TERMINATION_LOG": str(log), "PYTHONPATH": source},
        timeout=120, check=False, capture_output=True, text=True,
    )  # fmt: skip
    told = json.loads(log.read_text())
    assert (ended.returncode, told["exitCode"], told["reason"]) == (86, 86, "HostOutOfMemory"), ended.stderr
    assert "the host's memory was used up with 0.29 GiB in use of 0.29 GiB" in told["message"]
    assert LIMIT // 2 < told["peakBytes"] <= LIMIT + 2**27
