"""The longest step is tried first, leaves no trace, and says in time that the GPU is too small."""

import pytest
import torch

from trainer.training import rig
from tunebird_trainer.outcome import ExitCode, Failure
from tunebird_trainer.training import devices, worst_case
from tunebird_trainer.training.devices import Device


def trained(home, tiny_model, tokenizer, *, rehearse, **changes):
    config = rig.config(home, tiny_model, training__worstCaseStep=rehearse, training__maxSteps=3, **changes)
    trainer = rig.trainer(config, tokenizer, rig.prepared(config, validation=0), home / str(rehearse))
    trainer.train()
    return rig.weights(trainer)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"method__lora__dropout": 0.2}, id="dropout"),
        pytest.param({**rig.FULL, "training__optimizer": "adafactor"}, id="adafactor", marks=pytest.mark.slow),
        pytest.param({**rig.FULL, "training__optimizer": "adamw-8bit"}, id="8-bit"),
        pytest.param({"training__packing": True}, id="packing"),
        pytest.param(rig.DPO, id="dpo", marks=pytest.mark.slow),
        pytest.param({**rig.FULL, **rig.DPO}, id="dpo-full"),
        pytest.param({"training__neftuneAlpha": 5.0}, id="neftune", marks=pytest.mark.slow),
    ],
)
def test_a_run_with_the_rehearsal_ends_with_the_same_bytes(tmp_path, tiny_model, tokenizer, changes, capsys):
    with_it = trained(tmp_path, tiny_model, tokenizer, rehearse=True, **changes)
    assert "tokens took" in capsys.readouterr().out
    without = trained(tmp_path, tiny_model, tokenizer, rehearse=False, **changes)
    assert with_it == without


def lengths_met(trainer):
    """Trains; the lengths of the rows of each batch, the rehearsal's first."""
    shapes, collate = [], trainer.data_collator
    trainer.data_collator = lambda rows: shapes.append([len(row["input_ids"]) for row in rows]) or collate(rows)
    trainer.train()
    return shapes


def test_it_has_the_length_of_the_longest_row(tmp_path, tiny_model, tokenizer, capsys):
    config = rig.config(tmp_path, tiny_model, training__worstCaseStep=True, training__maxSteps=1)
    data = rig.prepared(config, validation=0)
    longest = max(map(len, data.train["input_ids"]))
    assert longest < config.training.max_sequence_length
    met = lengths_met(rig.trainer(config, tokenizer, data, tmp_path))
    assert met[0] == [longest, longest]
    before, after = capsys.readouterr().out.split(f"worst case: 2 x {longest} tokens took")
    assert f"worst case: trying the longest step, 2 x {longest} tokens\n" in before
    assert "undone" in after


def test_it_is_no_longer_than_the_config_allows(tmp_path, tiny_model, tokenizer):
    config = rig.config(tmp_path, tiny_model, training__worstCaseStep=True, training__maxSequenceLength=16)
    trainer = rig.trainer(config, tokenizer, rig.prepared(config, validation=0), tmp_path)
    assert worst_case.length(trainer, config) == 16


def test_packed_rows_are_as_long_as_the_longest_of_them(tmp_path, tiny_model, tokenizer):
    config = rig.config(tmp_path, tiny_model, training__worstCaseStep=True, training__packing=True)
    trainer = rig.trainer(config, tokenizer, rig.prepared(config, validation=0), tmp_path)
    assert worst_case.length(trainer, config) == max(map(len, trainer.train_dataset["input_ids"])) > 40


def test_a_pair_is_as_long_as_its_longer_answer(tmp_path, tiny_model, tokenizer):
    config = rig.config(tmp_path, tiny_model, training__worstCaseStep=True, **rig.DPO)
    data = rig.prepared(config, validation=0)
    trainer = rig.trainer(config, tokenizer, data, tmp_path)
    wanted = max(len(r["prompt_ids"]) + max(len(r["chosen_ids"]), len(r["rejected_ids"])) for r in data.train)
    assert worst_case.length(trainer, config) == wanted


def test_a_gpu_that_is_too_small_says_so_before_the_first_step(tmp_path, tiny_model, tokenizer, monkeypatch):
    config = rig.config(tmp_path, tiny_model, training__worstCaseStep=True)
    trainer = rig.trainer(config, tokenizer, rig.prepared(config, validation=0), tmp_path)

    def used_up(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(trainer, "compute_loss", used_up)
    with pytest.raises(Failure) as caught:
        trainer.train()
    assert caught.value.exit_code is ExitCode.GPU_MEMORY
    assert trainer.state.global_step == 0
    tokens = worst_case.length(trainer, config)
    assert f"2 x {tokens} tokens, does not fit: it held" in caught.value.message
    assert "lower training.microBatchSize" in caught.value.message
    assert "use method.quantization nf4" in caught.value.message


def test_the_remedies_are_those_that_are_left(tmp_path, tiny_model):
    changes = {"training__microBatchSize": 1, "training__gradientAccumulationSteps": 4,
               "training__activationCheckpointing": True}  # fmt: skip
    said = worst_case.too_big(rig.config(tmp_path, tiny_model, **rig.FULL, **changes), tokens=64).message
    assert said.endswith("lower training.maxSequenceLength or use method.tuning lora")


def test_the_planner_learns_the_shape_of_the_model(tmp_path, tiny_model, tokenizer):
    config = rig.config(tmp_path, tiny_model, training__worstCaseStep=True, training__maxSteps=1)
    trainer = rig.trainer(config, tokenizer, rig.prepared(config, validation=0), tmp_path)
    found = []
    trainer.keeper.watch.shaped = found.append
    trainer.train()
    (told,) = found
    assert (told["layers"], told["hidden"]) == (2, 32)
    assert told["vocab"] == len(tokenizer)
    assert told["parameters"] > told["trainable"] > 0
    assert told["peakBytes"] > 0
    assert told["longest"] == worst_case.length(trainer, config)


@pytest.mark.parametrize(
    ("device", "said"),
    [(Device(), "worst case: not tried, it is slow on a CPU"), (Device("cuda"), "worst case: trying the longest step")],
)
def test_a_config_that_does_not_speak_of_it_gets_it_on_a_gpu(
    tmp_path, tiny_model, tokenizer, monkeypatch, capsys, device, said
):
    config = rig.config(tmp_path, tiny_model, training__worstCaseStep=None, training__maxSteps=1)
    trainer = rig.trainer(config, tokenizer, rig.prepared(config, validation=0), tmp_path)
    monkeypatch.setattr(devices, "here", lambda: device)
    trainer.train()
    assert said in capsys.readouterr().out
