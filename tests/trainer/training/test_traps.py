"""What the libraries would do silently wrong if they were left to themselves. Each test names one such thing."""

import tomllib
from pathlib import Path

import pytest
import torch

from trainer.factories import chat
from trainer.training import rig
from tunebird_trainer.outcome import Failure
from tunebird_trainer.survival import launch
from tunebird_trainer.training import arguments, loading
from tunebird_trainer.training.devices import Device

PROJECT = Path(__file__).parents[3] / "trainer_image/pyproject.toml"


@pytest.fixture(scope="module")
def narrow_model(tiny_model, tmp_path_factory):
    """The tiny model saved in bfloat16, as nearly every model on the hub is."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = tmp_path_factory.mktemp("narrow")
    AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16).save_pretrained(place)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(place)
    return place


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_base_saved_in_bf16_is_not_trained_in_bf16(tmp_path, narrow_model, precision):
    """transformers loads weights in the type that they were saved in; small updates would be rounded away."""
    config = rig.config(tmp_path, narrow_model, **rig.FULL, training__precision=precision)
    model = loading.load_model(narrow_model, config)
    assert {each.dtype for each in model.parameters()} == {torch.float32}


def test_an_adapter_on_a_base_saved_in_bf16_is_fp32(tmp_path, narrow_model, tokenizer):
    config = rig.config(tmp_path, narrow_model, training__precision="bf16", training__maxSteps=1)
    trainer = rig.trainer(config, tokenizer, rig.prepared(config), tmp_path)
    trainer.train()
    assert {each.dtype for each in trainer.model.parameters() if each.requires_grad} == {torch.float32}
    assert any(each.dtype is torch.bfloat16 for each in trainer.model.parameters())


def test_every_linear_layer_means_no_adapter_on_the_output_layer(tmp_path, tiny_model, tokenizer):
    """TRL's loss reads the weights of lm_head past any adapter on it."""
    config = rig.config(tmp_path, tiny_model)
    trainer = rig.trainer(config, tokenizer, rig.prepared(config), tmp_path)
    adapted = [name for name, each in trainer.model.named_parameters() if each.requires_grad]
    assert any("down_proj" in name for name in adapted)
    assert not any("lm_head" in name or "embed" in name for name in adapted)


@pytest.mark.parametrize(("share", "steps"), [(0.0, 0), (0.05, 1), (0.5, 10), (0.999, 20)])
def test_the_warm_up_is_a_share_of_the_steps(tmp_path, tiny_model, share, steps):
    """transformers takes 1 and above for a number of steps; the config refuses that."""
    schedule = {"type": "constant", "warmup": share}
    config = rig.config(tmp_path, tiny_model, training__maxSteps=20, training__schedule=schedule)
    settings = arguments.settings(config, Device(), tmp_path / "w", None, measure_first=False)
    assert settings.get_warmup_steps(20) == steps
    with pytest.raises(Failure, match=r"1\.0 is a share of the steps; use one below 1"):
        rig.config(tmp_path, tiny_model, training__schedule={"type": "constant", "warmup": 1.0})


def test_four_bit_weights_are_not_repacked_by_an_evaluation(tmp_path, tiny_model):
    """bitsandbytes does it on CPUs with avx512_bf16 and rounds scales for good."""
    model = loading.load_model(tiny_model, rig.config(tmp_path, tiny_model, method__quantization="nf4"))
    four_bit = [each for each in model.modules() if hasattr(each, "support_avx512bf16_for_cpu")]
    assert four_bit
    assert not any(each.support_avx512bf16_for_cpu for each in four_bit)


def test_nobody_else_is_told_of_the_progress(tmp_path, tiny_model, tokenizer, monkeypatch):
    """In a pod of Kubeflow's, transformers reports to Kubeflow by itself."""
    monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_URL", "https://127.0.0.1:9")
    config = rig.config(tmp_path, tiny_model)

    def reporters():
        trainer = rig.trainer(config, tokenizer, rig.prepared(config), tmp_path)
        return [each for each in trainer.callback_handler.callbacks if "Kubeflow" in type(each).__name__]

    monkeypatch.delenv("DISABLE_KUBEFLOW_INTEGRATION", raising=False)
    assert reporters(), "what is switched off would be there"
    for name, value in launch.QUIET.items():
        monkeypatch.setenv(name, value)
    assert not reporters()


def test_a_row_of_which_nothing_is_learned_is_counted_and_left_out(prepare):
    """TRL drops rows whose labels are all masked behind a progress bar."""
    silent = [chat(f"Question {n}?", f"Answer {n}.") for n in range(3)]
    for row in silent:
        row["messages"][1]["weight"] = 0
    taught = [chat(f"What is {n}?", f"It is {n}.") for n in range(4)]
    prepared = prepare(silent + taught, preparation__onInvalid="Drop")
    assert all(any(label != -100 for label in row["labels"]) for row in prepared.train)
    (counts,) = prepared.counts
    assert (counts.rows, counts.trained) == (7, 4)
    assert counts.invalid == 3


def test_no_operator_is_compiled_when_a_run_starts(tmp_path, tiny_model, monkeypatch):
    """DeepSpeed builds its shared-memory operator at the first start: minutes, a compiler, and a lock that stays
    behind when the pod is killed meanwhile."""
    import deepspeed.comm
    import deepspeed.ops

    from tunebird_trainer.training import deepspeed as ours

    monkeypatch.setattr(deepspeed.comm, "init_distributed", lambda *_, **__: None)
    monkeypatch.setattr(torch.distributed, "get_backend", lambda: "gloo")
    monkeypatch.setattr(deepspeed.ops, "__compatible_ops__", {"deepspeed_shm_comm": True})
    config = rig.config(tmp_path, tiny_model, **rig.FULL, distributed__zeroStage=2)
    ours.prepare(config)
    ours.release(config)
    assert not deepspeed.ops.__compatible_ops__.get("deepspeed_shm_comm", False)


def test_processes_of_a_node_share_its_cores(tmp_path, tiny_model, monkeypatch):
    """torch takes every core for each process; with two that is many times slower, not faster."""
    monkeypatch.setattr(launch.os, "sched_getaffinity", lambda _: set(range(12)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    four = {"distributed__processesPerNode": 4, "training__globalBatchSize": 16}
    assert launch.threads(rig.config(tmp_path, tiny_model, **four)) == {"OMP_NUM_THREADS": "3"}
    assert launch.threads(rig.config(tmp_path, tiny_model)) == {}


def test_libraries_that_compute_are_pinned_to_one_version():
    """A range takes the newest torch with CUDA; another version of a library continues no checkpoint."""
    asked = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    assert [each for each in asked if "==" not in each or "*" in each] == []
    assert {"torch", "transformers", "trl", "peft", "accelerate", "deepspeed", "bitsandbytes"} <= {
        each.partition("==")[0] for each in asked
    }
