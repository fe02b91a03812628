"""The model as the engine sees it: prompt to tokens, tokens to logits, tokens to text. Loads transformers models."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.server.requests import Defaults


class UnusableChat(ValueError):  # noqa: N818  a state of the request, read as one
    """The chat template refuses these messages."""


class LanguageModel(Protocol):
    """What generation needs. `ends` are the tokens that end an answer."""

    context: int
    ends: frozenset[int]
    defaults: Defaults

    def prompt(self, messages: Sequence[dict[str, Any]]) -> tuple[int, ...]: ...

    def new_cache(self) -> object: ...

    def logits(self, tokens: Sequence[int], cache: Any) -> torch.Tensor: ...

    def decode(self, tokens: Sequence[int]) -> str: ...


class TransformersModel:
    """A causal language model on the CPU, in 32-bit floats."""

    def __init__(self, directory: Path, context: int | None):
        self._tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        self._model = AutoModelForCausalLM.from_pretrained(directory, local_files_only=True, dtype=torch.float32)
        self._model.eval()
        self.context = _context(self._model.config, context)
        self.ends = _ends(self._tokenizer, self._model.generation_config)
        self.defaults = _defaults(self._model.generation_config)

    def prompt(self, messages: Sequence[dict[str, Any]]) -> tuple[int, ...]:
        """Raises UnusableChat if the template refuses the messages."""
        try:
            text = self._tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        except Exception as error:  # templates are programs in the model's directory and raise what they like
            raise UnusableChat(f"the model's chat template refuses these messages: {error}") from error
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def new_cache(self) -> DynamicCache:
        return DynamicCache(config=self._model.config)

    @torch.inference_mode()
    def logits(self, tokens: Sequence[int], cache: DynamicCache) -> torch.Tensor:
        """Reads `tokens` after what the cache holds; the row for the token that follows."""
        ids = torch.tensor([list(tokens)])
        return self._model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[0, -1]

    def decode(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)


def _context(config: Any, asked: int | None) -> int:
    longest = int(getattr(config, "max_position_embeddings", 0) or 0)
    if asked is not None and longest and asked > longest:
        raise Failure(Reason.INVALID_CONFIG, f"--max-model-len {asked} is above the model's {longest} positions")
    if asked is None and not longest:
        raise Failure(Reason.INVALID_CONFIG, "the model names no max_position_embeddings; give --max-model-len")
    return asked or longest


def _ends(tokenizer: Any, config: Any) -> frozenset[int]:
    named = config.eos_token_id
    ids = named if isinstance(named, list) else [named]
    return frozenset(one for one in (*ids, tokenizer.eos_token_id) if one is not None)


def _defaults(config: Any) -> Defaults:
    temperature = 1.0 if config.temperature is None else float(config.temperature)
    return Defaults(temperature, 1.0 if config.top_p is None else float(config.top_p))
