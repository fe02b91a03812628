"""What a run measured, and what measuring costs."""

import dataclasses
import json
import threading
import time
from types import SimpleNamespace

import pytest

from trainer import processes
from trainer.factories import placed
from trainer.training import rig
from tunebird_trainer.config import Precision
from tunebird_trainer.progress import Endpoint, Reporter
from tunebird_trainer.training import curves, devices
from tunebird_trainer.training.devices import Device
from tunebird_trainer.training.trainer import Start

H100 = Device("cuda", "NVIDIA H100 80GB HBM3", (9, 0), 80 * 2**30, frozenset())


def test_a_resumed_run_goes_on_after_its_checkpoint(tmp_path):
    path = tmp_path / curves.NAME
    path.write_text(
        "".join(json.dumps({"step": step, "loss": 1 / step}) + "\n" for step in range(1, 6)) + '{"step": 6, "lo'
    )
    written = curves.Curves(path, 3)
    written.add({"step": 4, "loss": 0.2})
    written.flush()
    assert [line["step"] for line in curves.read(path)] == [1, 2, 3, 4]


def test_a_fresh_run_begins_a_fresh_file(tmp_path):
    path = tmp_path / curves.NAME
    path.write_text('{"step": 0}\n')
    curves.Curves(path, None).flush()
    assert curves.read(path) == []


def test_logs_get_the_names_of_the_curves():
    logs = {"loss": 1.5, "rewards/margins": 0.25, "grad_norm": float("inf"), "num_tokens": 7}
    assert curves.renamed(logs) == {"loss": 1.5, "rewardMargin": 0.25}
    assert curves.renamed({"eval_loss": 1.25, "eval_runtime": 3}) == {"evalLoss": 1.25}


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        pytest.param({}, 4, id="lora"),
        pytest.param(rig.FULL, 6, id="full"),
        pytest.param(rig.DPO, 6, id="dpo-lora: the reference beside each step"),
        pytest.param({**rig.DPO, **rig.FULL}, 6, id="dpo-full: the reference beforehand"),
    ],
)
def test_the_arithmetic_of_a_token_follows_the_convention(tmp_path, tiny_model, changes, passes):
    assert curves.flops_per_token(rig.config(tmp_path, tiny_model, **changes), 1000) == passes * 1000


def test_utilization_is_a_share_of_the_makers_figure(tmp_path, tiny_model):
    config = rig.config(tmp_path, tiny_model, **rig.FULL, training__precision="bf16")
    found = curves.utilization(config, H100, 7_000_000_000, tokens_per_second=10_000)
    assert found == pytest.approx(6 * 7e9 * 1e4 / 989.4e12)
    eight = dataclasses.replace(config, distributed=dataclasses.replace(config.distributed, processes_per_node=8))
    assert curves.utilization(eight, H100, 7_000_000_000, 10_000) == pytest.approx(found / 8)


@pytest.mark.parametrize("device", [Device(), Device("cuda", "Something New")])
def test_where_no_figure_is_known_none_is_invented(device):
    assert devices.peak_flops(device, Precision.BF16) is None
    assert devices.peak_flops(H100, Precision.FP32) is None


def test_each_step_is_in_the_curves_with_all_that_is_asked(tmp_path, tiny_model):
    result = processes.run(
        placed(tmp_path, tiny_model, training__maxSteps=3, training__maxGradientNorm=0.001, training__evaluateEvery=2),
        tmp_path,
    )
    assert result.code == 0, result.log
    lines = curves.read(tmp_path / "checkpoints" / curves.NAME)
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2, 3]
    wanted = {"loss", "gradientNorm", "learningRate", "clippedShare", "tokens", "tokensPerSecond", "mfu",
              "dataWaitSeconds", "tokenAccuracy"}  # fmt: skip
    assert wanted <= set(steps[0])
    assert steps[-1]["clippedShare"] == 1.0
    assert steps[-1]["mfu"] is None
    assert [line["step"] for line in lines if "evalLoss" in line] == [0, 2, 3]
    assert result.journal["shape"]["layers"] == 2


def test_what_comes_before_the_first_step_does_not_count_as_training(tmp_path, tiny_model, tokenizer, monkeypatch):
    """By a clock on which a training batch takes a second and one of an evaluation a hundred."""
    changes = {"training__worstCaseStep": True, "training__maxSteps": 4}
    config, told = rig.config(tmp_path, tiny_model, **changes), []
    trainer = rig.trainer(config, tokenizer, rig.prepared(config), tmp_path, Start(measure_first=True))
    clock, forward = SimpleNamespace(now=0.0), trainer.compute_loss
    monkeypatch.setattr("tunebird_trainer.progress.time", SimpleNamespace(monotonic=lambda: clock.now))

    def compute_loss(model, *args, **kwargs):
        clock.now += 1 if model.training else 100
        return forward(model, *args, **kwargs)

    monkeypatch.setattr(trainer, "compute_loss", compute_loss)
    trainer.keeper.watch.told = told.append
    trainer.train()
    left = [(each.phase, each.step, each.eta_seconds) for each in told]
    assert left == [
        ("train", 0, None), ("evaluate", 0, None), ("train", 1, None), ("train", 2, 4), ("train", 3, 2),
        ("evaluate", 3, 69), ("train", 4, 0), ("evaluate", 4, 0),
    ]  # fmt: skip


def test_a_lost_endpoint_costs_training_nothing(tmp_path, tiny_model, tokenizer, monkeypatch):
    """The endpoint never answers. Training must not be the thread that waits for it, nor the one that writes."""
    answered, callers = threading.Event(), []

    def never_answers(self, body):
        callers.append(threading.current_thread())
        answered.wait(30)

    monkeypatch.setattr(Endpoint, "post", never_answers)
    reporter = Reporter(0.01, Endpoint("http://127.0.0.1:9", None))
    config = rig.config(tmp_path, tiny_model, training__maxSteps=20)
    trainer = rig.trainer(config, tokenizer, rig.prepared(config, validation=0), tmp_path)
    trainer.keeper.watch.told = reporter.offer
    trainer.keeper.curves = curves.Curves(tmp_path / curves.NAME, None)
    trainer.train()
    answered.set()
    reporter.close()
    assert callers
    assert threading.main_thread() not in callers
    assert trainer.keeper.reporting_seconds > 0
    assert len(curves.read(tmp_path / curves.NAME)) == 20


def test_a_step_of_a_tenth_of_a_second_loses_less_than_a_hundredth(tmp_path, tiny_model, tokenizer):
    """The quickest of ten batches, because the machine may be busy with something else."""
    config = rig.config(tmp_path, tiny_model, training__maxSteps=1)
    trainer = rig.trainer(config, tokenizer, rig.prepared(config, validation=0), tmp_path)
    trainer.train()
    trainer.keeper.curves = curves.Curves(tmp_path / curves.NAME, None)
    logs = {"loss": 1.0, "grad_norm": 0.5, "learning_rate": 1e-3, "entropy": 3.0, "mean_token_accuracy": 0.1}

    def seconds_a_step(steps=20):
        before = trainer.keeper.reporting_seconds
        for _ in range(steps):
            trainer.keeper.on_log(trainer.args, trainer.state, trainer.control, dict(logs))
        return (trainer.keeper.reporting_seconds - before) / steps

    assert min(seconds_a_step() for _ in range(10)) < 1 / 1000


def test_a_disk_that_is_slow_is_waited_for_by_another_thread(tmp_path, monkeypatch):
    written = curves.Curves(tmp_path / curves.NAME, None)
    writers, is_quick = [], threading.Event()
    monkeypatch.setattr(
        written, "_write", lambda record: writers.append(threading.current_thread()) or is_quick.wait(100)
    )
    started = time.perf_counter()
    for step in range(10):
        written.add({"step": step})
    assert time.perf_counter() - started < 50
    is_quick.set()
    written.flush()
    assert {thread.name for thread in writers} == {"curves"}
