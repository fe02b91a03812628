import pytest

CONTROLS = [
    "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
    "<|eot_id|>", "<bos>", "<start_of_turn>", "<end_of_turn>", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]",
]  # fmt: skip
# Pieces that reach across the borders of answers, if one lets them.
PIECES = ["\n\n", " a", "\na", ": ", "] ", "he", "the", " the", "ing", "\n\n\n", "  "]


def byte_tokenizer(bos="<s>", eos="</s>", controls=CONTROLS):
    """Knows every byte, a few longer pieces, and the control tokens of every family."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320 + len(controls), special_tokens=list(controls), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    bpe.train_from_iterator(PIECES * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=bos, eos_token=eos,
        extra_special_tokens=[each for each in controls if each not in (bos, eos)],
    )  # fmt: skip


@pytest.fixture(scope="module")
def make_tokenizer():
    return byte_tokenizer


def piece_tokenizer():
    """As SentencePiece's: spaces are part of words, one stands before the text, unknown characters become bytes."""
    import json

    from tokenizers import Tokenizer, decoders, models, normalizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    bpe.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    bpe.decoder = decoders.Sequence(parts)
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=special + [f"<0x{byte:02X}>" for byte in range(256)], show_progress=False
    )
    bpe.train_from_iterator([f"{piece} he the: ing a" for piece in PIECES] * 3, trainer)
    made = json.loads(bpe.to_str())
    made["added_tokens"] = made["added_tokens"][: len(special)]  # bytes are ordinary
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(made)), bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.fixture(scope="module")
def make_piece_tokenizer():
    return piece_tokenizer
