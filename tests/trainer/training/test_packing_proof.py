"""Packing is used only where the loaded model keeps packed examples apart."""

import dataclasses

import pytest
import torch
from transformers import AutoModelForCausalLM

from trainer.training import rig
from tunebird_trainer import run
from tunebird_trainer.training import packing


def load(tiny_model, attention="sdpa"):
    return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32, attn_implementation=attention)


class Leaky(torch.nn.Module):
    """Attention that doesn't know where an example ends: it is given a mask of ones, and positions that run on."""

    def __init__(self, model):
        super().__init__()
        self.inner = model

    def forward(self, input_ids, position_ids, use_cache):
        return self.inner(input_ids=input_ids, attention_mask=torch.ones_like(input_ids), position_ids=position_ids)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_that_respects_positions_is_accepted(tiny_model, attention, dtype):
    proof = packing.prove(load(tiny_model, attention), rig.labelled(4), dtype)
    assert proof.holds, proof


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_examples_that_see_each_other_are_noticed(tiny_model, dtype):
    proof = packing.prove(Leaky(load(tiny_model)), rig.labelled(4), dtype)
    assert not proof.holds, proof


def test_packing_is_switched_off_with_a_reason_and_the_resolved_config_says_so(tmp_path, tiny_model, capsys):
    config = rig.config(tmp_path, tiny_model, training__packing=True)
    settled = run.settled(config, Leaky(load(tiny_model)), rig.prepared(config))
    said = capsys.readouterr().out
    assert not settled.training.packing
    assert "train: packing is switched off: packed examples differ" in said
    assert '"packing": false' in said


def test_packing_stays_on_where_it_is_proved(tmp_path, tiny_model, capsys):
    config = rig.config(tmp_path, tiny_model, training__packing=True)
    settled = run.settled(config, load(tiny_model), rig.prepared(config))
    assert settled == config
    assert "packing: proved" in capsys.readouterr().out


def test_sharded_weights_can_not_prove_it(tmp_path, tiny_model):
    config = rig.config(tmp_path, tiny_model, training__packing=True)
    sharded = dataclasses.replace(config, distributed=dataclasses.replace(config.distributed, zero_stage=3))
    assert "ZeRO-3" in packing.problem(load(tiny_model), rig.labelled(3), sharded)
