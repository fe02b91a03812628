import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest

pytest.importorskip("trl", reason="the trainer's libraries are in their own environment")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A Llama of 2 layers and 32 channels with its tokenizer: trains a step in milliseconds."""
    from tunebird_trainer.models import Size, build_tiny

    return build_tiny(tmp_path_factory.mktemp("models") / "tiny", size=Size(layers=2, hidden=32, vocabulary=400))


@pytest.fixture(scope="session")
def tokenizer(tiny_model):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.fixture
def prepare(tmp_path, tokenizer, monkeypatch):
    """Prepare rows given inline, or one list of rows per dataset."""

    from trainer.factories import config, write_rows
    from tunebird_trainer import config_file
    from tunebird_trainer.data import pipeline

    monkeypatch.setenv("TUNEBIRD_CACHE", str(tmp_path / "cache"))

    def run(*lists, **changes):
        raw = config(**{"validation__percent": 0, "checkpoint__uri": f"file://{tmp_path}/checkpoints", **changes})
        template = raw["datasets"][0]
        raw["datasets"] = []
        for number, rows in enumerate(lists):
            path = write_rows(tmp_path / f"set{number}.jsonl", rows)
            raw["datasets"].append({**template, "name": f"set{number}", "uri": f"file://{path}"})
        for number, weight in enumerate(changes.get("weights", ())):
            raw["datasets"][number]["weight"] = weight
        raw.pop("weights", None)
        return pipeline.prepare(config_file.parse(raw), tokenizer)

    return run
