"""Each objective from files to a published artifact."""

import json

import pytest

from trainer import processes
from trainer.factories import placed, write_rows

TEXTS = [{"text": f"Order {n} left our warehouse on Monday and should be with you on day {n % 7}."} for n in range(24)]
PAIRS = [
    {"prompt": f"What is {n} and 1?", "chosen": f"It is {n + 1}.", "rejected": f"No idea, {n} {n}."} for n in range(24)
]


@pytest.mark.parametrize(
    ("rows", "changes"),
    [
        pytest.param(
            TEXTS,
            {"method__objective": "continue", "datasets__0__format": "text", "training__packing": True},
            id="continue",
        ),
        pytest.param(
            PAIRS,
            {"method__objective": "dpo", "datasets__0__format": "preference", "method__quantization": "nf4",
             "training__precision": "bf16", "training__activationCheckpointing": True, "training__worstCaseStep": True},
            id="dpo-qlora-bf16",
        ),
    ],
)  # fmt: skip
def test_an_objective_is_published(tmp_path, tiny_model, rows, changes):
    write_rows(tmp_path / "data.jsonl", rows)
    result = processes.run(placed(tmp_path, tiny_model, **changes), tmp_path)
    assert result.code == 0, result.log
    manifest = json.loads((tmp_path / "out/tunebird.json").read_text())
    assert set(manifest["forms"]) == {"adapter", "merged"}
    assert manifest["config"]["method"]["objective"] == changes["method__objective"]
