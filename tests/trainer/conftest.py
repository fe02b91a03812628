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
