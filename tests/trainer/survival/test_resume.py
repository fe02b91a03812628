"""Killed at any moment, a run ends with the same bytes as one that was left alone."""

import random
import shutil
import signal

import pytest

from trainer import processes
from trainer.factories import artifact_digest, placed
from trainer.processes import Death

LORA_DROPOUT = {"method__lora__dropout": 0.2}
FULL = {"method__tuning": "full", "method__lora": None, "output__forms": ["merged"]}
# Seven steps over more than one epoch, evaluations within and at its end, three checkpoints.
RUN = {
    "training__maxSteps": 7,
    "training__evaluateEvery": 2,
    "training__schedule": {"type": "cosine", "warmup": 0.3},
    "checkpoint__everySteps": 2,
    "report__everySeconds": 60,
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny_model):
    """The artifact of a run that was left alone, and how often it touched the files, by method."""
    known = {}

    def of(name, method):
        if name not in known:
            home = tmp_path_factory.mktemp(name)
            changes = processes.count_changes(placed(home, tiny_model, **RUN, **method), home, home)
            known[name] = artifact_digest(home), changes
        return known[name]

    return of


@pytest.mark.parametrize(("name", "method"), [("lora", {}), ("dropout", LORA_DROPOUT), ("full", FULL)])
def test_a_run_killed_twice_gives_the_same_bytes(undisturbed, tmp_path, tiny_model, name, method):
    expected, changes = undisturbed(name, method)
    draw = random.Random(name)
    for trial in range(2):
        home = tmp_path / str(trial)
        home.mkdir()
        first, second = draw.randint(1, changes), draw.randint(1, changes)
        codes = [
            processes.run(placed(home, tiny_model, **RUN, **method, job__attempt=1), home, Death(home, first)).code,
            processes.run(placed(home, tiny_model, **RUN, **method, job__attempt=2), home, Death(home, second)).code,
        ]
        assert codes[0] == -signal.SIGKILL
        assert codes[1] in (0, -signal.SIGKILL)
        last = processes.run(placed(home, tiny_model, **RUN, **method, job__attempt=3), home)
        assert last.code == 0, last.log
        assert artifact_digest(home) == expected, f"killed at changes {first} and {second} of {changes}"
        assert not list(home.glob(".partial-*"))
        shutil.rmtree(home)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_moment_of_a_save_can_be_the_last(undisturbed, tmp_path, tiny_model):
    expected, changes = undisturbed("lora", {})
    for change in range(1, changes + 1, 3):
        home = tmp_path / str(change)
        home.mkdir()
        assert processes.run(placed(home, tiny_model, **RUN), home, Death(home, change)).code == -signal.SIGKILL
        assert processes.run(placed(home, tiny_model, **RUN, job__attempt=2), home).code == 0
        assert artifact_digest(home) == expected, f"killed at change {change} of {changes}"
        shutil.rmtree(home)


def test_a_resumed_run_counts_on(tmp_path, tiny_model):
    """Tokens and the loss before training are those of the whole run, not of the last attempt."""
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    alone.mkdir()
    killed.mkdir()
    whole = processes.run(placed(alone, tiny_model, **RUN), alone)
    processes.run(placed(killed, tiny_model, **RUN), killed, Death(killed / "checkpoints/checkpoint-4", 1))
    resumed = processes.run(placed(killed, tiny_model, **RUN, job__attempt=2), killed)
    assert "resuming after checkpoint-" in resumed.log
    assert resumed.journal["metrics"] == whole.journal["metrics"]
    assert set(whole.journal["metrics"]) == {"trainLoss", "evalLoss", "evalLossBefore", "tokens"}


def test_a_run_whose_data_changed_starts_afresh_and_says_why(tmp_path, tiny_model):
    processes.run(placed(tmp_path, tiny_model, **RUN), tmp_path, Death(tmp_path / ".partial-out", 1))
    lines = (tmp_path / "data.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "data.jsonl").write_text("".join(lines[:-2]))
    again = processes.run(placed(tmp_path, tiny_model, **RUN, job__attempt=2), tmp_path)
    assert again.code == 0, again.log
    assert "skipping checkpoint-7: it belongs to another data" in again.log
    assert "resuming" not in again.log


# It looks in the evaluation before training, after step 1, after step 2, in its evaluation, …, in the last evaluation.
@pytest.mark.parametrize(
    ("look", "step"),
    [
        pytest.param(2, 1, id="after-a-step"),
        pytest.param(4, 2, id="in-an-evaluation"),
        pytest.param(11, 7, id="after-the-last-step"),
        pytest.param(12, 7, id="in-the-last-evaluation"),
    ],
)
def test_sigterm_saves_the_step_in_hand_and_the_next_attempt_ends_the_same(
    undisturbed, tmp_path, tiny_model, look, step
):
    expected, _ = undisturbed("lora", {})
    stopped = processes.run(placed(tmp_path, tiny_model, **RUN), tmp_path, sigterm_at=look)
    assert stopped.code == 85, stopped.log
    assert stopped.message == f"checkpointed at step {step} of 7 after SIGTERM or Ctrl-C"
    assert (stopped.journal["reason"], stopped.journal["checkpoint"]) == ("Preempted", f"checkpoint-{step}")
    last = processes.run(placed(tmp_path, tiny_model, **RUN, job__attempt=2), tmp_path)
    assert last.code == 0, last.log
    assert artifact_digest(tmp_path) == expected


def test_sigterm_before_the_first_step_has_nothing_to_save(tmp_path, tiny_model):
    stopped = processes.run(placed(tmp_path, tiny_model, **RUN), tmp_path, sigterm_at=1)
    assert stopped.code == 85
    assert stopped.message == "stopped by SIGTERM or Ctrl-C before the first step; nothing was lost"
    assert "checkpoint" not in stopped.journal
