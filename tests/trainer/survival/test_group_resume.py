"""Runs of two processes, sharded or not: the same losses, and after a kill the same bytes."""

import json
import os
import random
import shutil

import pytest

from trainer import groups
from trainer.factories import artifact_digest, placed
from trainer.groups import Fate
from trainer.processes import Death

FULL = {"method__tuning": "full", "method__lora": None, "output__forms": ["merged"]}
RUN = {
    "distributed__processesPerNode": 2,
    "training__gradientAccumulationSteps": 1,
    "training__maxSteps": 6,
    "training__evaluateEvery": 3,
    "training__schedule": {"type": "cosine", "warmup": 0.3},
    "checkpoint__everySteps": 2,
    "report__everySeconds": 60,
}
SHARDED = {
    "ddp": FULL,
    "zero1": {**FULL, "distributed__zeroStage": 1},
    "zero2": {**FULL, "distributed__zeroStage": 2},
    "zero3": {**FULL, "distributed__zeroStage": 3},
    "zero3-cpu": {
        **FULL, "distributed__zeroStage": 3,
        "distributed__offloadOptimizer": "cpu", "distributed__offloadParameters": "cpu",
    },
    "zero2-lora": {"distributed__zeroStage": 2, "method__lora__dropout": 0.2},
    "zero3-lora": {"distributed__zeroStage": 3, "method__lora__dropout": 0.2},
}  # fmt: skip
slow = pytest.mark.slow


def losses(home):
    lines = [json.loads(line) for line in (home / "checkpoints" / "curves.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny_model):
    """Losses, artifact digest and changes to files of a run that was left alone, by name."""
    known = {}

    def of(name):
        if name not in known:
            home = tmp_path_factory.mktemp(name)
            count = {rank: Death(home, 10**9) for rank in (0, 1)}
            results = groups.run(placed(home, tiny_model, **RUN, **SHARDED[name]), home, Fate(deaths=count))
            assert [each.code for each in results] == [0, 0], groups.logs(results)
            changes = [int((home / f"changes-{rank}.txt").read_text() or 0) for rank in (0, 1)]
            known[name] = losses(home), artifact_digest(home), changes
        return known[name]

    return of


@pytest.mark.parametrize(
    "name",
    [
        "zero2",
        pytest.param("zero1", marks=slow),
        pytest.param("zero3", marks=slow),
        pytest.param("zero3-cpu", marks=slow),
    ],
)
def test_every_stage_of_zero_computes_what_plain_data_parallelism_does(undisturbed, name):
    plain, sharded = undisturbed("ddp")[0], undisturbed(name)[0]
    assert list(plain) == list(sharded) == [1, 2, 3, 4, 5, 6]
    assert sharded == pytest.approx(plain, rel=1e-5)


@slow
def test_the_stages_of_zero_agree_to_the_last_digit(undisturbed):
    first = undisturbed("zero1")[0]
    assert undisturbed("zero2")[0] == undisturbed("zero3")[0] == undisturbed("zero3-cpu")[0] == first


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "name",
    ["ddp", "zero2", *(pytest.param(name, marks=slow) for name in ("zero1", "zero3", "zero2-lora", "zero3-lora"))],
)
def test_a_run_of_two_processes_that_lost_one_ends_with_the_same_bytes(undisturbed, tmp_path, tiny_model, name):
    _, expected, changes = undisturbed(name)
    draw = random.Random(name + os.environ.get("TUNEBIRD_SEED", ""))
    for trial in range(1 if name in ("ddp", "zero2") else 2):
        home = tmp_path / str(trial)
        home.mkdir()
        rank = draw.randrange(2)
        change = draw.randint(1, max(1, changes[rank]))
        killed = groups.run(placed(home, tiny_model, **RUN, **SHARDED[name]), home, Fate({rank: Death(home, change)}))
        assert groups.KILLED in [each.code for each in killed], groups.logs(killed)
        again = groups.run(placed(home, tiny_model, **RUN, **SHARDED[name], job__attempt=2), home)
        assert [each.code for each in again] == [0, 0], groups.logs(again)
        assert artifact_digest(home) == expected, f"process {rank} was killed at change {change} of {changes[rank]}"
        assert not list((home / "checkpoints").glob(".writing-*"))
        shutil.rmtree(home)


@pytest.mark.parametrize("name", ["zero2", pytest.param("zero3", marks=slow)])
def test_a_kill_in_the_middle_of_a_save_leaves_the_checkpoint_before(undisturbed, tmp_path, tiny_model, name):
    """Process 1 dies at its second change below the directory that the fourth step is written into."""
    _, expected, _ = undisturbed(name)
    config = placed(tmp_path, tiny_model, **RUN, **SHARDED[name])
    writing = tmp_path / "checkpoints" / ".writing-attempt-1" / "checkpoint-4"
    killed = groups.run(config, tmp_path, Fate({1: Death(writing, 2)}))
    assert killed[1].code == groups.KILLED, groups.logs(killed)
    again = groups.run({**config, "job": {**config["job"], "attempt": 2}}, tmp_path)
    assert [each.code for each in again] == [0, 0], groups.logs(again)
    assert "resuming after checkpoint-2 of 6 steps" in again[0].log
    assert artifact_digest(tmp_path) == expected


@pytest.mark.parametrize(
    ("rank", "look", "step"),
    [
        pytest.param(1, 3, 2, id="after-a-step"),
        pytest.param(1, 5, 3, id="in-an-evaluation"),
        pytest.param(0, 5, 3, id="in-an-evaluation-of-process-0", marks=slow),
    ],
)
def test_sigterm_at_one_process_stops_all_at_the_same_step(undisturbed, tmp_path, tiny_model, rank, look, step):
    """Looks of each process: the evaluation before training, then after every step and in every evaluation."""
    _, expected, _ = undisturbed("ddp")
    stopped = groups.run(placed(tmp_path, tiny_model, **RUN, **FULL), tmp_path, Fate(sigterm_at={rank: look}))
    assert [each.code for each in stopped] == [85, 85], groups.logs(stopped)
    said = f"checkpointed at step {step} of 6 after SIGTERM or Ctrl-C"
    assert [each.message for each in stopped] == [said, said]
    last = groups.run(placed(tmp_path, tiny_model, **RUN, **FULL, job__attempt=2), tmp_path)
    assert [each.code for each in last] == [0, 0], groups.logs(last)
    assert artifact_digest(tmp_path) == expected
