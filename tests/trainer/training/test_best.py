"""The best checkpoint is kept beside the newest and is what is published; a stop without improvement is an end."""

import json
import random
import signal
import string

import pytest

from trainer import processes
from trainer.factories import chat, placed, write_rows
from trainer.processes import Death
from tunebird_trainer.training import curves

# Learns rows by heart that say nothing of the held-out ones: the held-out loss falls, then rises.
RUN = {
    "method__tuning": "full", "method__lora": None, "output__forms": ["merged"], "validation__percent": 20,
    "training__learningRate": 0.01, "training__maxSteps": 30, "training__evaluateEvery": 2,
    "training__schedule": {"type": "constant", "warmup": 0.0}, "checkpoint__keep": 1,
}  # fmt: skip


def home_of(path):
    path.mkdir(exist_ok=True)
    draw = random.Random(0)
    words = ["".join(draw.choices(string.ascii_letters, k=12)) for _ in range(48)]
    write_rows(path / "data.jsonl", [chat(asked, said) for asked, said in zip(words[::2], words[1::2], strict=True)])
    return path


def evaluations(home):
    lines = curves.read(home / "checkpoints" / curves.NAME)
    return {line["step"]: line["evalLoss"] for line in lines if "evalLoss" in line and line["step"]}


def published(home):
    return json.loads((home / "out/tunebird.json").read_text())


def weights(home):
    return published(home)["forms"]["merged"]["digest"]


@pytest.fixture(scope="module")
def stopped_early(tmp_path_factory, tiny_model):
    home = home_of(tmp_path_factory.mktemp("early") / "home")
    result = processes.run(placed(home, tiny_model, **RUN, training__earlyStopping={"patience": 3}), home)
    assert result.code == 0, result.log
    return home, result


def test_it_stops_after_the_evaluations_without_improvement(stopped_early):
    home, _ = stopped_early
    losses = evaluations(home)
    best = min(losses, key=losses.get)
    assert max(losses) == best + 3 * 2 < 30


def test_what_is_published_is_the_best(stopped_early):
    home, result = stopped_early
    losses = evaluations(home)
    best = min(losses, key=losses.get)
    assert published(home)["steps"] == best
    assert published(home)["metrics"]["evalLoss"] == losses[best]
    assert f"checkpoint-{best} is the best" in result.log
    kept = sorted(path.name for path in (home / "checkpoints").glob("checkpoint-*"))
    assert kept == sorted([f"checkpoint-{best}", f"checkpoint-{max(losses)}"])


@pytest.mark.parametrize("step", [4, pytest.param(10, marks=pytest.mark.slow)])
def test_a_run_killed_on_the_way_ends_with_the_same_bytes(stopped_early, tmp_path, tiny_model, step):
    home, _ = stopped_early
    config = placed(home_of(tmp_path / "home"), tiny_model, **RUN, training__earlyStopping={"patience": 3})
    config["checkpoint"]["everySteps"] = 2
    here = tmp_path / "home"
    killed = processes.run(config, here, Death(here / f"checkpoints/checkpoint-{step}", 1))
    if killed.code == 0:
        pytest.skip(f"the run was over before step {step}")
    assert killed.code == -signal.SIGKILL
    again = processes.run({**config, "job": {**config["job"], "attempt": 2}}, here)
    assert again.code == 0, again.log
    assert weights(here) == weights(home)
    assert evaluations(here) == evaluations(home)


@pytest.mark.slow
def test_sigterm_before_an_evaluation_that_is_due_does_not_lose_it(stopped_early, tmp_path, tiny_model):
    """Stopped after step 2, whose evaluation is left out; the next attempt makes up for it before step 3."""
    home, _ = stopped_early
    here = home_of(tmp_path / "home")
    config = placed(here, tiny_model, **RUN, training__earlyStopping={"patience": 3})
    held_out = 2  # micro-batches: it looks before each of them, and after each step
    stopped = processes.run(config, here, sigterm_at=held_out + 2)
    assert stopped.code == 85, stopped.log
    again = processes.run({**config, "job": {**config["job"], "attempt": 2}}, here)
    assert again.code == 0, again.log
    assert evaluations(here) == evaluations(home)
    assert weights(here) == weights(home)


def test_keep_best_trains_on_and_publishes_the_best(stopped_early, tmp_path, tiny_model):
    """As many steps as the other run took: the same course, whose best step is not its last."""
    known = evaluations(stopped_early[0])
    home = home_of(tmp_path / "home")
    run = {**RUN, "training__maxSteps": max(known)}
    result = processes.run(placed(home, tiny_model, **run, training__keepBest=True), home)
    assert result.code == 0, result.log
    assert evaluations(home) == known
    assert published(home)["steps"] == min(known, key=known.get) < max(known)
