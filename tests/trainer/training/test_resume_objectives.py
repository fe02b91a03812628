"""Killed on the way, a run of any objective, tuning, optimizer and order of rows ends with the same bytes."""

import json
import signal

import pytest

from trainer import processes
from trainer.factories import placed, write_rows
from trainer.processes import Death
from tunebird_trainer.training import curves

RUN = {
    "training__maxSteps": 6,
    "training__evaluateEvery": 2,
    "training__schedule": {"type": "linear", "warmup": 0.3},
    "checkpoint__everySteps": 2,
    "checkpoint__keep": 1,
    "report__everySeconds": 60,
}
FULL = {"method__tuning": "full", "method__lora": None, "output__forms": ["merged"]}
DPO = {"method__objective": "dpo", "datasets__0__format": "preference"}


def preferences(path):
    rows = [
        {"prompt": f"What is {n} and 1?", "chosen": f"It is {n + 1}.", "rejected": f"No idea, {n} {n}."}
        for n in range(24)
    ]
    return write_rows(path, rows)


def weights(home):
    forms = json.loads((home / "out" / "tunebird.json").read_text())["forms"]
    return {name: form["digest"] for name, form in forms.items()}


def losses(home):
    return [(line["step"], line["loss"]) for line in curves.read(home / "checkpoints" / curves.NAME) if "loss" in line]


def run(home, tiny_model, changes, death=None, attempt=1):
    home.mkdir(exist_ok=True)
    if changes.get("method__objective") == "dpo":
        preferences(home / "data.jsonl")
    return processes.run(placed(home, tiny_model, **RUN, **changes, job__attempt=attempt), home, death)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(DPO, id="dpo-lora"),
        pytest.param({"method__quantization": "nf4", "method__lora__dropout": 0.1}, id="qlora-nf4-dropout"),
        pytest.param({"training__groupByLength": True, "training__worstCaseStep": True}, id="grouped-rehearsed"),
        pytest.param({**DPO, **FULL}, id="dpo-full", marks=pytest.mark.slow),
        pytest.param({"method__quantization": "int8"}, id="qlora-int8", marks=pytest.mark.slow),
        pytest.param({**DPO, "method__quantization": "nf4"}, id="dpo-qlora", marks=pytest.mark.slow),
        pytest.param({**FULL, "training__optimizer": "adamw-8bit"}, id="adamw-8bit", marks=pytest.mark.slow),
        pytest.param({**FULL, "training__optimizer": "paged-adamw-8bit"}, id="paged-8bit", marks=pytest.mark.slow),
        pytest.param({**FULL, "training__optimizer": "adafactor"}, id="adafactor", marks=pytest.mark.slow),
        pytest.param({**FULL, "training__optimizer": "sgd"}, id="sgd", marks=pytest.mark.slow),
        pytest.param({"training__neftuneAlpha": 5.0}, id="neftune", marks=pytest.mark.slow),
        pytest.param({"training__packing": True}, id="packing", marks=pytest.mark.slow),
        pytest.param(
            {"method__lora__useDora": True, "method__quantization": "nf4"}, id="qdora", marks=pytest.mark.slow
        ),
        pytest.param({"training__lossOn": "all", "method__lora__useRslora": True}, id="rslora", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_ends_with_the_same_bytes(tmp_path, tiny_model, changes):
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    whole = run(alone, tiny_model, changes)
    assert whole.code == 0, whole.log
    replaced = Death(killed / "checkpoints/checkpoint-2", 1)  # when the one of step 4 is there
    first = run(killed, tiny_model, changes, replaced)
    assert first.code == -signal.SIGKILL, first.log
    second = run(killed, tiny_model, changes, attempt=2)
    assert second.code == 0, second.log
    assert "resuming after checkpoint-4" in second.log
    assert weights(killed) == weights(alone)
    assert losses(killed) == losses(alone), "each step is in the curves once"
