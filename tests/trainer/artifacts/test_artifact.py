"""What an artifact holds and tells, from whole runs with a tiny model."""

import json

import obstore
import pytest
import yaml

from trainer import processes
from trainer.factories import placed
from trainer.processes import finished, manifest
from tunebird_trainer.stores import objects


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory):
    """As wide as 4-bit kernels ask: blocks of 64 weights, 32 outputs at once."""
    from tunebird_trainer.models import Size, build_tiny

    return build_tiny(tmp_path_factory.mktemp("wide") / "tiny", size=Size(layers=2, hidden=192, vocabulary=400))


@pytest.fixture(scope="module")
def qlora(tmp_path_factory, wide_model):
    home = tmp_path_factory.mktemp("qlora")
    return home, finished(home, wide_model, method__quantization="nf4")


def test_an_adapter_of_a_quantized_base_is_compared_in_the_form_that_is_served(qlora):
    checks = manifest(qlora[0])["checks"]
    assert 0 < checks["mergedDivergence"] < 1, "merged onto the full base it answers a little differently"
    assert 0.25 <= checks["topTokenAgreement"] <= 1
    assert "KL" in (qlora[0] / "out/README.md").read_text()


def test_its_merged_form_is_the_adapter_on_the_full_base(qlora, wide_model):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    out = qlora[0] / "out"
    merged = AutoModelForCausalLM.from_pretrained(out / "merged", dtype=torch.float32)
    base = AutoModelForCausalLM.from_pretrained(wide_model, dtype=torch.float32)
    ids = torch.arange(5, 60)[None]
    adapted = PeftModel.from_pretrained(base, out / "adapter")(input_ids=ids).logits
    assert torch.allclose(merged(input_ids=ids).logits, adapted, atol=1e-5)


def test_the_cards_head_is_yaml_that_the_hub_reads(qlora):
    head = yaml.safe_load((qlora[0] / "out/README.md").read_text().split("---\n")[1])
    assert head["library_name"] == "transformers"
    assert head["tags"] == ["tunebird", "sft", "qlora"]


def test_the_manifest_tells_data_hardware_and_that_no_gate_was_asked(qlora):
    whole = manifest(qlora[0])
    assert whole["gatesPassed"] is None
    assert whole["evaluation"]["status"] == "Ungated"
    assert whole["hardware"]["processes"] == 1
    assert whole["hardware"]["processSeconds"] >= 0
    assert whole["data"]["report"]["sources"][0]["name"] == "support"
    assert whole["checks"]["answers"]["prompts"] > 0


def test_the_curves_hold_what_was_computed_and_no_times(qlora):
    records = [json.loads(line) for line in (qlora[0] / "out/curves.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if "loss" in record] == [1, 2, 3, 4]
    assert not {key for record in records for key in record if "econds" in key or "PerSecond" in key}


def test_a_run_publishes_at_an_object_store_and_knows_it_again(tmp_path, tiny_model, bucket):
    uri = f"{bucket}/models/support-bot"
    first = finished(tmp_path, tiny_model, output__uri=uri, output__forms=["merged"])
    whole = objects.read_json(f"{uri}/tunebird.json", objects.Subject("artifact", "absent"))
    assert whole["digest"] == first.journal["artifact"]["digest"]
    names = {meta["path"] for batch in obstore.list(objects.opened(uri)) for meta in batch}
    assert {"README.md", "merged/model.safetensors", "tunebird.json"} <= names
    assert ".tunebird-claim.json" not in names
    again = finished(tmp_path, tiny_model, output__uri=uri, output__forms=["merged"], job__attempt=2)
    assert "was published by an earlier try of this run" in again.log
    other = processes.run(placed(tmp_path, tiny_model, output__uri=uri, job__uid="other"), tmp_path)
    assert other.code == 2
    assert "is not of this run" in other.message


def test_a_run_trains_from_an_object_store_and_pushes_to_a_registry(tmp_path, tiny_model, bucket, registry_server):
    from tunebird_trainer.stores.storage import files_in

    for path in files_in(tiny_model):
        root = f"{bucket}/tiny"
        obstore.put(objects.opened(root), path.relative_to(tiny_model).as_posix(), path.read_bytes())
    uri = f"oci://{registry_server}/models/{bucket.removeprefix('s3://')}:1"
    config = placed(tmp_path, tiny_model)
    data = (tmp_path / "data.jsonl").read_bytes()
    obstore.put(objects.opened(f"{bucket}/data"), "train.jsonl", data)
    config["model"]["uri"], config["datasets"][0]["uri"] = f"{bucket}/tiny", f"{bucket}/data/train.jsonl"
    config["output"]["uri"] = uri
    result = processes.run(config, tmp_path)
    assert result.code == 0, result.log
    assert result.journal["artifact"]["uri"] == uri
    assert processes.run(config, tmp_path).code == 0
