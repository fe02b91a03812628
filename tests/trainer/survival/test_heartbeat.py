"""A process that gives no sign of life is found, named, made to show its stack, and killed."""

import json
import os
import sys
import time

import pytest

from trainer.factories import config, placed
from tunebird_trainer import __main__ as wrapper
from tunebird_trainer import config_file
from tunebird_trainer.config import PhaseLimits
from tunebird_trainer.survival import heartbeat, launch
from tunebird_trainer.survival.heartbeat import Beat, Phase, Pulse

# Stands for a training process: one rank is stuck in its third step, the other waits for it.
STUCK = """
import os, time
from pathlib import Path
from tunebird_trainer.survival.heartbeat import Phase, pulse

is_stuck = Path(__file__).with_name("is-stuck")

def wait_for_the_others():
    while True:
        time.sleep(0.05)

def read_the_next_batch():
    time.sleep(600)

pulse.start()
pulse.beat(Phase.STEP, 3)
if os.environ["RANK"] == "1":
    is_stuck.touch()
    read_the_next_batch()
while not is_stuck.exists():
    time.sleep(0.05)
    pulse.beat(Phase.STEP, 3)
time.sleep(0.1)
pulse.beat(Phase.STEP, 3)
wait_for_the_others()
"""
LIMITS = PhaseLimits(load=60, compile=50, step=10, evaluate=40, save=30, convert=20)


def test_a_beat_is_read_back_and_half_a_file_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEBIRD_HEARTBEAT", str(tmp_path / "beat"))
    pulse = Pulse()
    pulse.start()
    pulse.beat(Phase.EVALUATE, 12)
    found = heartbeat.read(tmp_path / "beat")
    assert (found.phase, found.step) == (Phase.EVALUATE, 12)
    assert 0 <= time.monotonic() - found.at < 60
    (tmp_path / "beat").write_text("step")
    assert heartbeat.read(tmp_path / "beat") is None
    assert heartbeat.read(tmp_path / "absent") is None


@pytest.mark.parametrize("phase", list(Phase))
def test_each_phase_has_its_own_limit(phase):
    allowed = getattr(LIMITS, phase)
    beat = Beat(phase, 4, at=1000.0)
    assert heartbeat.hung([(0, beat)], LIMITS, 1000.0 + allowed) is None
    found = heartbeat.hung([(0, beat)], LIMITS, 1001.0 + allowed)
    assert (found.rank, found.limit_seconds) == (0, allowed)


def test_of_several_the_one_that_fell_silent_first_is_the_culprit():
    beats = [(0, Beat(Phase.STEP, 4, 5.0)), (1, Beat(Phase.STEP, 4, 3.0)), (2, Beat(Phase.SAVE, 4, 0.0))]
    assert heartbeat.hung(beats, LIMITS, 20.0).rank == 1


def test_the_callback_beats_with_the_phase_that_follows(monkeypatch):
    from transformers import TrainerControl, TrainerState

    beats = []
    monkeypatch.setattr(heartbeat.pulse, "beat", lambda phase=None, step=None: beats.append((phase, step)))
    callback, state = heartbeat.callback(), TrainerState(global_step=7)
    for control in (
        TrainerControl(),
        TrainerControl(should_evaluate=True, should_save=True),
        TrainerControl(should_save=True),
    ):
        callback.on_step_end(None, state, control)
    callback.on_prediction_step(None, state, TrainerControl())
    callback.on_evaluate(None, state, TrainerControl(should_save=True))
    callback.on_save(None, state, TrainerControl())
    assert beats == [
        (Phase.STEP, 7), (Phase.EVALUATE, 7), (Phase.SAVE, 7), (Phase.EVALUATE, None), (Phase.SAVE, None),
        (Phase.STEP, None),
    ]  # fmt: skip


def test_a_hung_process_is_killed_and_the_run_ends_with_its_reason(tmp_path, tiny_model, monkeypatch, capfd):
    script, path = tmp_path / "stuck.py", tmp_path / "config.json"
    script.write_text(STUCK)
    path.write_text(json.dumps(placed(
        tmp_path, tiny_model, distributed__processesPerNode=2, training__globalBatchSize=8,
        distributed__phaseLimits={"step": 2},
    )))  # fmt: skip
    monkeypatch.setattr(launch, "_COMMAND", (sys.executable, str(script)))
    monkeypatch.setattr(launch, "_PEERS_GRACE_SECONDS", 0.2)
    monkeypatch.setenv("TUNEBIRD_TERMINATION_LOG", str(tmp_path / "termination"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    code = wrapper.run([str(path)])
    told = json.loads((tmp_path / "termination").read_text())
    assert (code, told["exitCode"], told["reason"]) == (201, 201, "Hung")
    assert told["message"].startswith("process 1 gave no sign of life for ")
    assert "in phase step after step 3 (limit 2 s)" in told["message"]
    stacks = capfd.readouterr().err
    assert "in read_the_next_batch" in stacks
    assert "in wait_for_the_others" in stacks


def test_limits_come_from_the_config():
    parsed = config_file.parse(config(distributed__phaseLimits={"evaluate": 7}))
    assert (parsed.distributed.phase_limits.evaluate, parsed.distributed.phase_limits.step) == (7, 1800)
