"""Whole runs of the recipe with a tiny model: what comes out of each way to train."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from trainer import processes
from trainer.factories import chat, placed, write_rows
from trainer.processes import finished, manifest
from tunebird_trainer.stores.storage import directory_digest

FULL = {"method__tuning": "full", "method__lora": None, "output__forms": ["merged"]}


@pytest.fixture(scope="module")
def lora_run(tmp_path_factory, tiny_model):
    home = tmp_path_factory.mktemp("lora")
    card = {"intendedUse": "Answering sums.", "limitations": "Small numbers.", "license": "apache-2.0", "contact": ""}
    return home, finished(home, tiny_model, output__card=card, datasets__0__license="CC0-1.0")


def test_merged_and_adapter_say_the_same_as_loaded_by_anybody(lora_run, tiny_model):
    from peft import PeftModel

    home, _ = lora_run
    merged = AutoModelForCausalLM.from_pretrained(home / "out/merged", dtype=torch.float32)
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    ids = torch.arange(5, 60)[None]
    before = base(input_ids=ids).logits
    adapted = PeftModel.from_pretrained(base, home / "out/adapter")(input_ids=ids).logits
    assert torch.allclose(merged(input_ids=ids).logits, adapted, atol=1e-5)
    assert not torch.allclose(before, adapted, atol=1e-4), "training changed nothing"


def test_each_form_brings_its_words_and_its_stop_tokens(lora_run, tokenizer):
    home, _ = lora_run
    for form in ("adapter", "merged"):
        stored = AutoTokenizer.from_pretrained(home / "out" / form)
        assert stored.chat_template == tokenizer.chat_template
        generation = json.loads((home / "out" / form / "generation_config.json").read_text())
        assert generation["eos_token_id"] == tokenizer.convert_tokens_to_ids("<|im_end|>")
        assert generation["pad_token_id"] == tokenizer.pad_token_id


def test_weights_are_safetensors_alone(lora_run):
    home, _ = lora_run
    endings = {path.suffix for path in (home / "out").rglob("*") if path.is_file()}
    assert endings == {".json", ".jsonl", ".safetensors", ".jinja", ".md"}


def test_no_path_of_the_machine_is_in_the_adapter(lora_run, tiny_model):
    config = json.loads((lora_run[0] / "out/adapter/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == f"file://{tiny_model}"  # what the job named, not where it was found
    assert config["target_modules"] == sorted(config["target_modules"])


def test_every_published_file_is_as_readable_as_the_card(lora_run):
    files = [path for path in (lora_run[0] / "out").rglob("*") if path.is_file()]
    assert len(files) > 5
    assert len({path.stat().st_mode & 0o777 for path in files}) == 1, files


def test_the_manifest_names_every_digest_and_they_are_true(lora_run):
    home, result = lora_run
    told = manifest(home)
    assert told["digest"] == directory_digest(home / "out", leave_out=["tunebird.json"])
    for form in ("adapter", "merged"):
        assert told["forms"][form]["digest"] == directory_digest(home / "out" / form)
    assert result.journal["artifact"]["digest"] == told["digest"]
    assert told["base"]["digest"].startswith("sha256:")
    assert told["data"]["train"] + told["data"]["validation"] == 24
    assert told["checks"]["mergedDivergence"] < 1e-5


def test_the_card_tells_what_the_owner_said_and_what_happened(lora_run):
    card = (lora_run[0] / "out/README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert "## Intended use\n\nAnswering sums." in card
    row = next(line for line in card.splitlines() if line.startswith("| support |"))
    assert "| messages | 24 | 22 | 2 | 0 | 0 | 0 | 0 | CC0-1.0 |" in row
    assert "## Contact\n\nNot stated by the owner of the job." in card
    assert "before training" in card


def test_a_second_run_of_the_same_config_is_the_same_to_the_byte(lora_run, tmp_path, tiny_model):
    home, _ = lora_run
    (tmp_path / "data.jsonl").write_bytes((home / "data.jsonl").read_bytes())
    config = json.loads((home / "config.json").read_text())
    moved = json.loads(json.dumps(config).replace(str(home), str(tmp_path)))
    assert processes.run(moved, tmp_path).code == 0
    for weights in ("adapter/adapter_model.safetensors", "merged/model.safetensors"):
        assert (tmp_path / "out" / weights).read_bytes() == (home / "out" / weights).read_bytes()


def test_an_artifact_that_is_already_there_is_accepted_and_not_made_again(tmp_path, tiny_model):
    first = finished(tmp_path, tiny_model)
    again = finished(tmp_path, tiny_model, job__attempt=2)
    assert "was published by an earlier try of this run" in again.log
    assert again.journal["artifact"] == first.journal["artifact"]


@pytest.mark.parametrize("damage", ["another run", "a changed file"])
def test_what_else_lies_in_the_output_is_not_overwritten(tmp_path, tiny_model, damage):
    finished(tmp_path, tiny_model)
    if damage == "a changed file":
        (tmp_path / "out/README.md").write_text("mine")
    uid = "other" if damage == "another run" else "11111111-2222"
    refused = processes.run(placed(tmp_path, tiny_model, job__uid=uid), tmp_path)
    assert refused.code == 2
    assert "remove it or choose another output.uri" in refused.message


def test_full_tuning_changes_the_weights_and_learns_the_data(tmp_path, tiny_model):
    write_rows(tmp_path / "data.jsonl", [chat(f"What is the word for {n}?", "It is blue.") for n in range(24)])
    result = finished(
        tmp_path, tiny_model, **FULL, training__maxSteps=40, training__learningRate=0.01, training__deterministic=True
    )
    assert result.journal["metrics"]["evalLoss"] < 0.5 < result.journal["metrics"]["evalLossBefore"]
    assert manifest(tmp_path)["checks"]["answers"]["endTokenShare"] == 1, "it learnt to stop"
    assert set(manifest(tmp_path)["forms"]) == {"merged"}


def test_the_adapter_alone_can_be_asked_for(tmp_path, tiny_model):
    finished(tmp_path, tiny_model, output__forms=["adapter"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "adapter",
        "README.md",
        "curves.jsonl",
        "tunebird.json",
    }


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"training__packing": True}, id="packing"),
        pytest.param({"training__precision": "bf16"}, id="bf16"),
        pytest.param({"training__activationCheckpointing": True}, id="activation-checkpointing"),
        pytest.param({"method__lora__useDora": True}, id="dora"),
        pytest.param({"method__lora__useRslora": True, "method__lora__targetModules": "q_proj, v_proj"}, id="rslora"),
        pytest.param({"mixing": "interleave", "validation__percent": 0}, id="interleave-nothing-held-out"),
        pytest.param({"training__maxSteps": None, "training__epochs": 0.5}, id="half-an-epoch"),
        pytest.param({**FULL, "training__precision": "bf16", "training__lossOn": "all"}, id="full-bf16-loss-on-all"),
    ],
)
def test_each_way_to_train_publishes(tmp_path, tiny_model, changes):
    result = finished(tmp_path, tiny_model, **changes)
    assert result.journal["reason"] == "Completed"
    assert manifest(tmp_path)["steps"] == result.journal["of"]


def test_dora_is_said_not_to_be_servable_as_an_adapter_by_vllm(tmp_path, tiny_model):
    finished(tmp_path, tiny_model, method__lora__useDora=True)
    servable = manifest(tmp_path)["servable"]
    assert servable["merged"]["vllm"]
    assert not servable["adapter"]["vllm"]
    assert any("DoRA" in reason for reason in servable["adapter"]["reasons"])


def test_packed_and_padded_rows_give_the_same_loss_before_training(tmp_path, tiny_model):
    """Were packed rows to see each other, the first step's loss would differ."""
    losses = []
    shape = {"training__maxSteps": 1, "validation__percent": 0, "mixing": "interleave",
             "training__maxSequenceLength": 1000, "training__microBatchSize": 24,
             "training__gradientAccumulationSteps": 1, "training__globalBatchSize": 24}  # fmt: skip
    for packing in (False, True):
        home = tmp_path / str(packing)
        home.mkdir()
        losses.append(finished(home, tiny_model, **shape, training__packing=packing).journal["metrics"]["trainLoss"])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_a_model_without_a_chat_template_is_refused(tmp_path, tiny_model):
    import shutil

    bare = tmp_path / "bare"
    shutil.copytree(tiny_model, bare)
    (bare / "chat_template.jinja").unlink()
    refused = processes.run(placed(tmp_path, bare), tmp_path)
    assert (refused.code, refused.journal["reason"]) == (2, "InvalidConfig")
    assert "model.chatTemplate" in refused.message


def test_a_module_that_the_model_does_not_have_is_the_configs_fault(tmp_path, tiny_model):
    refused = processes.run(placed(tmp_path, tiny_model, method__lora__targetModules="query_key_value"), tmp_path)
    assert (refused.code, refused.journal["reason"]) == (2, "InvalidConfig")
    assert "method.lora.targetModules: query_key_value" in refused.message


def test_broken_weights_are_the_models_fault(tmp_path, tiny_model):
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(tiny_model, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    refused = processes.run(placed(tmp_path, broken), tmp_path)
    assert (refused.code, refused.journal["reason"]) == (4, "ModelNotFound")
    assert "can't be loaded" in refused.message
