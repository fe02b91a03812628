"""The forms of a trained model on disk, safetensors only: adapter and merged weights, tokenizer, chat template, stop
tokens. Each is loaded again and compared with what was trained before it counts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, GenerationConfig

from tunebird_trainer.config import Form, Quantization, Tuning
from tunebird_trainer.data import masks
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.training.loading import load_model, load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tunebird_trainer.config import Config
    from tunebird_trainer.data.prepared import Prepared

CHECKED = ".check-merged"  # the merged form where it is only checked and evaluated, not published
# How far the next-token distribution of the saved model may be from the trained one's, in nats a token (KL divergence).
# bfloat16 keeps 8 bits of mantissa, float16 11, float32 24.
_TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 5e-2, torch.float16: 5e-3}
# An adapter that was trained on a quantized base is merged into the full one, which answers a little differently.
# Beyond this the two have nothing to do with each other any more: a merge gone wrong, not a rounding of weights.
_ABSURD_DIVERGENCE = 1.0
_ABSURD_AGREEMENT = 0.25
_ROWS, _TOKENS = 8, 64  # what is compared: up to 512 positions


def write(
    config: Config, base: Path, trained: Path, data: Prepared, aside: Path, doing: Callable[[str], None]
) -> dict[str, Any]:
    """Write every form that was asked for, and the merged one in any case: it is what evaluation asks.

    Raises:
        Failure: Internal when a form does not answer as the trained model did.
    """
    torch.manual_seed(config.training.seed)
    print(f"save: writing {' and '.join(config.output.forms)}", flush=True)
    doing(f"writing {' and '.join(config.output.forms)}")
    tokenizer = load_tokenizer(base, config)
    ends = _generation_config(base, tokenizer)
    if config.method.tuning is Tuning.LORA:
        model, expected = _merged(config, base, trained, data, aside, tokenizer)
    else:
        model = AutoModelForCausalLM.from_pretrained(trained, dtype=torch.float32, use_safetensors=True).eval()
        expected = _predicted(model, data)
    if Form.ADAPTER in config.output.forms:
        _save_words(tokenizer, ends, aside / Form.ADAPTER)
    target = aside / (Form.MERGED if Form.MERGED in config.output.forms else CHECKED)
    model = model.to(_stored_dtype(base))
    model.generation_config = ends
    model.save_pretrained(target)
    _save_words(tokenizer, ends, target)
    print("save: loading the merged weights again, to compare their answers with the trained model's", flush=True)
    doing("checking the merged weights")
    again = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32, use_safetensors=True).eval()
    return _compared(config, expected, _predicted(again, data), model.dtype)


def _merged(
    config: Config, base: Path, trained: Path, data: Prepared, aside: Path, tokenizer: Any
) -> tuple[Any, torch.Tensor]:
    """The adapter merged into the base in full precision, and what the model predicted as it was trained."""
    expected = None
    if config.method.quantization is not Quantization.NONE:
        expected = _predicted(PeftModel.from_pretrained(load_model(base, config), trained).eval(), data)
    full = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, use_safetensors=True)
    tuned = PeftModel.from_pretrained(full, trained).eval()
    expected = _predicted(tuned, data) if expected is None else expected
    if Form.ADAPTER in config.output.forms:
        _save_adapter(config, tuned, aside / Form.ADAPTER)
    return tuned.merge_and_unload(safe_merge=True), expected


def _save_adapter(config: Config, tuned: PeftModel, target: Path) -> None:
    tuned.save_pretrained(target, safe_serialization=True)
    config_file = target / "adapter_config.json"
    told = json.loads(config_file.read_text())
    # The path of this machine's cache means nothing elsewhere, and a set's order would change the digest.
    told["base_model_name_or_path"] = config.model.uri.removeprefix("hf://")
    told["revision"] = config.model.revision or None
    told["target_modules"] = sorted(told["target_modules"])
    config_file.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n")
    (target / "README.md").unlink(missing_ok=True)  # the artifact's own card says what happened


def _compared(config: Config, expected: torch.Tensor, found: torch.Tensor, dtype: torch.dtype) -> dict[str, Any]:
    divergence = _divergence(expected, found)
    agreement = float((expected.argmax(-1) == found.argmax(-1)).float().mean())
    checks = {"mergedDivergence": round(divergence, 8), "topTokenAgreement": round(agreement, 4)}
    if config.method.quantization is Quantization.NONE:
        limit = _TOLERANCE[dtype]
        if not divergence <= limit:
            raise _differs(f"{divergence:.2g} nats a token apart, above {limit:.2g} for {dtype}")
    elif not (divergence <= _ABSURD_DIVERGENCE and agreement >= _ABSURD_AGREEMENT):
        raise _differs(
            f"{divergence:.2g} nats a token apart and {agreement:.0%} of the likeliest tokens agree, where merging an "
            f"adapter of an {config.method.quantization} base stays below {_ABSURD_DIVERGENCE:g} and above "
            f"{_ABSURD_AGREEMENT:.0%}"
        )
    return checks


def _differs(how: str) -> Failure:
    said = f"the merged model answers differently from the trained one: {how}; nothing was published"
    return Failure(Reason.INTERNAL, said)


def _divergence(expected: torch.Tensor, found: torch.Tensor) -> float:
    """Mean KL divergence of the next-token distributions."""
    ours, theirs = expected.log_softmax(-1), found.log_softmax(-1)
    return float((ours.exp() * (ours - theirs)).sum(-1).mean().clamp(min=0))


def _predicted(model: Any, data: Prepared) -> torch.Tensor:
    """Logits at every position of a few rows, held-out ones where there are any; [positions, vocabulary]."""
    rows = data.validation if len(data.validation) else data.train
    parts = []
    for row in rows.select(range(min(_ROWS, len(rows)))):
        ids = row["input_ids"] if "input_ids" in row else [*row["prompt_ids"], *row["chosen_ids"]]
        asked = torch.tensor([list(ids[:_TOKENS])], device=model.device)
        with torch.inference_mode():
            parts.append(model(input_ids=asked, use_cache=False).logits[0].float().cpu())
    return torch.cat(parts)


def _save_words(tokenizer: Any, ends: GenerationConfig, target: Path) -> None:
    tokenizer.save_pretrained(target)
    ends.save_pretrained(target)


def _generation_config(base: Path, tokenizer: Any) -> GenerationConfig:
    """The base model's, with every end token that training used: without it a server would run on past the answer."""
    try:
        config = GenerationConfig.from_pretrained(base)
    except OSError:  # the base has none
        config = GenerationConfig()
    known = config.eos_token_id
    known = known if isinstance(known, list) else [known] if known is not None else []
    ends = sorted(masks.end_tokens(masks.Template.of(tokenizer), tuple(known)))
    if ends:
        config.eos_token_id = ends[0] if len(ends) == 1 else ends
    config.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else next(iter(ends), None)
    return config


def _stored_dtype(base: Path) -> torch.dtype:
    config = json.loads((base / "config.json").read_text())
    name = str(config.get("dtype") or config.get("torch_dtype") or "float32").removeprefix("torch.")
    dtype = getattr(torch, name)
    return dtype if dtype in _TOLERANCE else torch.float32
