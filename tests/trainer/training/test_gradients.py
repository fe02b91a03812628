"""The same global batch gives the same gradient, however it is split into micro-batches."""

import pytest
import torch
from transformers import TrainerCallback

from trainer.training import rig

SPLITS = ((4, 1), (2, 2), (1, 4))


class Gradients(TrainerCallback):
    def __init__(self):
        self.steps = []

    def on_pre_optimizer_step(self, args, state, control, model, **_):
        parts = [each.grad.detach().flatten().clone() for each in model.parameters() if each.grad is not None]
        self.steps.append(torch.cat(parts))


def gradients(home, tiny_model, tokenizer, split, rows, **changes):
    micro, accumulation = split
    config = rig.config(
        home, tiny_model, training__microBatchSize=micro, training__gradientAccumulationSteps=accumulation,
        training__maxSteps=None, training__epochs=1.0, training__maxGradientNorm=0.0, training__learningRate=1e-5,
        **changes,
    )  # fmt: skip
    seen = Gradients()
    trainer = rig.trainer(config, tokenizer, rig.prepared(config, rows, 0), home / str(split))
    trainer.add_callback(seen)
    trainer.train()
    return seen.steps


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(rig.FULL, id="sft"),
        pytest.param({**rig.FULL, "method__objective": "continue"}, id="continue", marks=pytest.mark.slow),
        pytest.param({**rig.FULL, **rig.DPO}, id="dpo"),
        pytest.param({**rig.FULL, **rig.DPO, "method__dpo": {"loss": "ipo"}}, id="dpo-ipo", marks=pytest.mark.slow),
        pytest.param({}, id="sft-lora", marks=pytest.mark.slow),
        pytest.param(rig.DPO, id="dpo-lora"),
        pytest.param({"training__groupByLength": True}, id="grouped-by-length"),
    ],
)
def test_how_a_batch_is_split_does_not_change_the_gradient(tmp_path, tiny_model, tokenizer, changes):
    """Seven rows: the second batch of the epoch is a short one, and its last micro-batch is shorter still."""
    whole, *others = [gradients(tmp_path, tiny_model, tokenizer, split, 7, **changes) for split in SPLITS]
    assert len(whole) == 2
    assert all(float(step.norm()) > 1e-4 for step in whole)
    for other in others:
        for one, same in zip(whole, other, strict=True):
            assert torch.allclose(one, same, atol=2e-5 * float(one.norm())), float((one - same).norm() / one.norm())
