"""Preference training: what is learned, and with what it is compared."""

import pytest
import torch

from trainer.training import rig


def trained(home, tiny_model, tokenizer, steps=20, **changes):
    config = rig.config(
        home, tiny_model, **rig.DPO, training__maxSteps=steps, training__learningRate=0.01,
        training__evaluateEvery=steps, **changes,
    )  # fmt: skip
    trainer = rig.trainer(config, tokenizer, rig.prepared(config), home)
    trainer.train()
    return trainer


@pytest.mark.parametrize("tuning", [pytest.param({}, id="lora"), pytest.param(rig.FULL, id="full")])
def test_it_learns_to_prefer_the_chosen_answers(tmp_path, tiny_model, tokenizer, tuning):
    trainer = trained(tmp_path, tiny_model, tokenizer, **tuning)
    held_out = trainer.evaluate()
    steps = [line for line in trainer.state.log_history if "rewards/accuracies" in line]
    assert steps[-1]["rewards/accuracies"] == 1.0
    assert held_out["eval_rewards/accuracies"] > 0.5
    assert held_out["eval_rewards/margins"] > 0.05
    assert steps[-1]["loss"] < 0.6


@pytest.mark.parametrize("tuning", [pytest.param({}, id="lora"), pytest.param(rig.FULL, id="full")])
def test_the_reference_is_the_model_before_training(tmp_path, tiny_model, tokenizer, tuning):
    """Before the first step policy and reference agree: the loss is log 2 and the margin nothing."""
    trainer = trained(tmp_path, tiny_model, tokenizer, steps=2, **tuning)
    first = trainer.state.log_history[0]
    assert first["loss"] == pytest.approx(0.6931472, abs=1e-5)
    assert first["rewards/margins"] == pytest.approx(0, abs=1e-5)
    assert trainer.ref_model is None, "a second copy of the weights would stay in memory"


def test_another_reference_can_be_named(tmp_path, tiny_model, tokenizer):
    from transformers import AutoModelForCausalLM

    from tunebird_trainer.training.trainer import Start

    other = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    config = rig.config(
        tmp_path, tiny_model, **rig.DPO, method__dpo={"reference": "file:///other"}, training__maxSteps=1
    )
    trainer = rig.trainer(config, tokenizer, rig.prepared(config, validation=0), tmp_path, Start(reference=other))
    assert {"ref_chosen_logps", "ref_rejected_logps"} <= set(trainer.train_dataset.column_names)
    trainer.train()
    assert abs(trainer.state.log_history[0]["rewards/margins"]) > 1e-3


@pytest.mark.parametrize("loss", ["sigmoid", "ipo", "hinge", "robust", "apo_zero"])
def test_each_loss_widens_the_margin(tmp_path, tiny_model, tokenizer, loss):
    smoothing = 0.1 if loss == "robust" else 0.0
    trainer = trained(tmp_path, tiny_model, tokenizer, steps=8, method__dpo={"loss": loss, "labelSmoothing": smoothing})
    assert trainer.state.log_history[-3]["rewards/margins"] > 0.01


def test_the_adapter_is_the_only_one(tmp_path, tiny_model, tokenizer):
    trainer = trained(tmp_path, tiny_model, tokenizer, steps=1)
    assert list(trainer.model.peft_config) == ["default"]


@pytest.mark.parametrize("kind", ["nf4", "int8"])
@pytest.mark.parametrize("objective", [{}, rig.DPO], ids=["sft", "dpo"])
def test_the_adapter_on_a_quantized_base_is_trained_in_fp32(tmp_path, tiny_model, tokenizer, kind, objective):
    config = rig.config(tmp_path, tiny_model, **objective, method__quantization=kind, training__maxSteps=2)
    trainer = rig.trainer(config, tokenizer, rig.prepared(config, validation=0), tmp_path)
    before = rig.weights(trainer)
    trainer.train()
    learning = [each for each in trainer.model.parameters() if each.requires_grad]
    assert {each.dtype for each in learning} == {torch.float32}
    assert any("bitsandbytes" in type(each).__module__ for each in trainer.model.modules())
    assert rig.weights(trainer) != before
