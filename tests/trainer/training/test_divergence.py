"""A run that is lost stops; one that is only noisy goes on."""

import math

import pytest

from trainer.training import rig
from tunebird_trainer.outcome import ExitCode, Failure
from tunebird_trainer.training.divergence import PATIENCE, WINDOW, Losses


def losses(*values):
    seen = Losses()
    for value in values:
        seen.add(value)
        seen.check(1, 0.01)
    return seen


def test_a_loss_that_climbs_and_stays_up_ends_the_run():
    with pytest.raises(Failure) as caught:
        losses(*[2.0] * WINDOW, *[9.0] * PATIENCE)
    assert caught.value.exit_code is ExitCode.DIVERGED
    assert "above 4 for 10 steps, after a median of 2" in caught.value.message
    assert "lower training.learningRate (now 0.01)" in caught.value.message


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([2.0] * WINDOW + ([9.0] * (PATIENCE - 1) + [2.0]) * 3, id="spikes"),
        pytest.param([0.01] * WINDOW + [1.5] * 30, id="small losses that are forgotten"),
        pytest.param([9.0] * (WINDOW - 1) + [30.0] * 5, id="the first steps"),
        pytest.param([10 / (1 + step / 10) for step in range(200)], id="learning"),
    ],
)
def test_what_is_only_noise_goes_on(values):
    losses(*values)


def test_what_is_too_high_does_not_become_normal():
    seen = losses(*[2.0] * WINDOW, *[9.0] * 5)
    assert seen.above == 5
    assert max(seen.recent) == 2.0


def test_while_the_loss_is_too_high_no_checkpoint_replaces_the_last_good_one(tmp_path, tiny_model, tokenizer):
    """The rate is raised a thousandfold in the middle, as a spoilt schedule would."""
    from transformers import TrainerCallback

    class Spoil(TrainerCallback):
        def on_step_begin(self, args, state, control, optimizer, **_):
            if state.global_step > 24:
                for group in optimizer.param_groups:
                    group["lr"] = 5.0

    config = rig.config(
        tmp_path, tiny_model, **rig.FULL, training__maxSteps=60, training__learningRate=1e-4, checkpoint__everySteps=1,
        validation__percent=0,
    )  # fmt: skip
    trainer = rig.trainer(config, tokenizer, rig.prepared(config, validation=0), tmp_path)
    trainer.add_callback(Spoil())
    with pytest.raises(Failure, match="the run diverges at step"):
        trainer.train()
    last = trainer.keeper.checkpoints.newest()
    assert last.step < trainer.state.global_step - 5
    assert math.isfinite(last.facts["trainLoss"])
    assert last.facts["losses"]["above"] == 0
