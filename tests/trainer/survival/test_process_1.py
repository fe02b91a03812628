"""The wrapper as process 1 of a namespace, as a container has it: there a signal without a handler is not heard."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainer.factories import placed
from tunebird_trainer import __main__ as wrapper

APART = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--pid", "--fork", "--mount-proc"]
SOURCE = str(Path(wrapper.__file__).parents[1])

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or subprocess.run([*APART, "true"], capture_output=True, check=False).returncode != 0,
        reason="no process namespaces for this user",
    ),
]


def own_number(process):
    """Of the process in the namespace: its number here, and the one it has there."""
    child = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
    lines = Path(f"/proc/{child}/status").read_text().splitlines()
    return child, next(int(line.split()[-1]) for line in lines if line.startswith("NSpid:"))


def test_sigterm_to_process_1_ends_the_run_with_a_checkpoint(tmp_path, tiny_model):
    raw = placed(tmp_path, tiny_model, training__maxSteps=1000, checkpoint__everySteps=5)
    (tmp_path / "config.json").write_text(json.dumps(raw))
    log, told = tmp_path / "log", tmp_path / "termination"
    environment = {**os.environ, "PYTHONPATH": SOURCE, "TUNEBIRD_TERMINATION_LOG": str(told)}
    command = [*APART, sys.executable, "-m", "tunebird_trainer", str(tmp_path / "config.json")]
    with log.open("w") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    while "train: step" not in log.read_text():
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    outside, inside = own_number(process)
    assert inside == 1
    os.kill(outside, signal.SIGTERM)
    assert process.wait(500) == 85, log.read_text()
    message = json.loads(told.read_text())
    assert (message["reason"], message["exitCode"]) == ("Preempted", 85)
    assert (tmp_path / "checkpoints" / message["checkpoint"]).is_dir()
