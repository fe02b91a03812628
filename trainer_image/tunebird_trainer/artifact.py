"""From the last checkpoint to a published directory: adapter and merged model, verified by loading them again, with
card and provenance. It appears whole or not at all."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from tunebird_trainer import masks, storage
from tunebird_trainer.card import card, servable
from tunebird_trainer.config import Form, Tuning, as_json
from tunebird_trainer.outcome import Failure, Reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tunebird_trainer.checkpoints import Saved
    from tunebird_trainer.config import Config
    from tunebird_trainer.data import Prepared
    from tunebird_trainer.evaluation import EvaluationReport

MANIFEST = "tunebird.json"
# How far the next-token distribution of the saved model may be from the trained one's, in nats a token (KL divergence).
# bfloat16 keeps 8 bits of mantissa, float16 11, float32 24.
_TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 5e-2, torch.float16: 5e-3}
_SMOKE_TOKENS = 64
_CHECKED = ".check-merged"  # the merged form where it is only checked and evaluated, not published


@dataclass(frozen=True, slots=True)
class Run:
    """What the artifact tells about how it came to be."""

    config: Config
    base: Path
    base_digest: str
    config_digest: str
    code_digest: str
    environment: dict[str, str]
    data: Prepared
    saved: Saved
    evaluate: Callable[[Path, Path], EvaluationReport]  # the model as served, and where failing cases go


def existing(final: Path, config: Config, config_digest: str) -> dict[str, Any] | None:
    """The artifact that an earlier try of this run published, if it is whole.

    Raises:
        Failure: InvalidConfig when something else lies there.
    """
    if not final.exists():
        return None
    try:
        manifest: dict[str, Any] = json.loads((final / MANIFEST).read_text())
        same = manifest["job"]["uid"] == config.job.uid and manifest["configDigest"] == config_digest
        whole = manifest["digest"] == storage.directory_digest(final, leave_out=[MANIFEST])
    except (OSError, ValueError, KeyError, TypeError):
        same = whole = False
    if same and whole:
        return manifest
    what = "damaged" if same else "not of this run"
    raise Failure(Reason.INVALID_CONFIG, f"output {final} exists and is {what}; remove it or choose another output.uri")


def publish(run: Run, final: Path) -> dict[str, Any]:
    """Write aside, verify, rename. Returns the manifest, which is `tunebird.json`."""
    aside = final.parent / f".partial-{final.name}-{os.getpid()}"
    for stale in final.parent.glob(f".partial-{final.name}-*"):
        storage.discard(stale)
    try:
        aside.mkdir(parents=True)
        manifest = _written(run, aside)
        storage.publish(aside, final)
    except BaseException:
        storage.discard(aside)
        raise
    return manifest


def summary(manifest: dict[str, Any], uri: str) -> dict[str, Any]:
    """The part that goes into the termination message."""
    forms = {name: {"path": form["path"], "digest": form["digest"]} for name, form in manifest["forms"].items()}
    return {
        "uri": uri, "digest": manifest["digest"], "forms": forms, "baseDigest": manifest["base"]["digest"],
        "dataDigest": manifest["data"]["digest"], "configDigest": manifest["configDigest"],
        "codeDigest": manifest["codeDigest"],
    }  # fmt: skip


def _written(run: Run, aside: Path) -> dict[str, Any]:
    torch.manual_seed(run.config.training.seed)
    tokenizer = AutoTokenizer.from_pretrained(run.base)
    if run.config.method.tuning is Tuning.LORA:
        checks = _write_lora(run, aside, tokenizer)
    else:
        checks = _write_full(run, aside, tokenizer)
    served = aside / Form.MERGED if Form.MERGED in run.config.output.forms else aside / _CHECKED
    report = run.evaluate(served, aside)
    storage.discard(aside / _CHECKED)
    forms = {form: _form(aside / form) for form in run.config.output.forms}
    facts = {**_facts(run, checks), "gatesPassed": report.gates_passed, "evaluation": report.manifest()}
    (aside / "README.md").write_text(card(run.config, facts, run.data))
    digests = storage.file_digests(aside)
    manifest = {**facts, "digest": storage.digest_of(digests), "forms": forms}
    (aside / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    return manifest


def _write_lora(run: Run, aside: Path, tokenizer: Any) -> dict[str, Any]:
    stored = _base_dtype(run.base)
    base = AutoModelForCausalLM.from_pretrained(run.base, dtype=torch.float32, use_safetensors=True)
    tuned = PeftModel.from_pretrained(base, run.saved.path).eval()
    checks = _tried(tuned, tokenizer, run)
    expected = _logits(tuned, run.data)
    if Form.ADAPTER in run.config.output.forms:
        _save_adapter(run, tuned, tokenizer, aside / Form.ADAPTER)
    merged = tuned.merge_and_unload(safe_merge=True).to(stored)
    target = aside / Form.MERGED if Form.MERGED in run.config.output.forms else aside / _CHECKED
    checks["mergedDivergence"] = _save_merged(merged, tokenizer, run, target, expected)
    return checks


def _write_full(run: Run, aside: Path, tokenizer: Any) -> dict[str, Any]:
    tuned = AutoModelForCausalLM.from_pretrained(run.saved.path, dtype=torch.float32, use_safetensors=True).eval()
    checks = _tried(tuned, tokenizer, run)
    expected = _logits(tuned, run.data)
    stored = tuned.to(_base_dtype(run.base))
    checks["mergedDivergence"] = _save_merged(stored, tokenizer, run, aside / Form.MERGED, expected)
    return checks


def _save_adapter(run: Run, tuned: PeftModel, tokenizer: Any, target: Path) -> None:
    tuned.save_pretrained(target, safe_serialization=True)
    config_file = target / "adapter_config.json"
    config = json.loads(config_file.read_text())
    # The path of this machine's cache means nothing elsewhere, and a set's order would change the digest.
    config["base_model_name_or_path"] = run.config.model.uri.removeprefix("hf://")
    config["revision"] = run.config.model.revision or None
    config["target_modules"] = sorted(config["target_modules"])
    config_file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (target / "README.md").unlink(missing_ok=True)  # the artifact's own card says what happened
    _save_words(run, tokenizer, target)


def _save_merged(model: Any, tokenizer: Any, run: Run, target: Path, expected: torch.Tensor) -> float:
    """Save, load again and compare; returns the divergence from what was trained, in nats a token."""
    dtype = model.dtype
    model.generation_config = _generation_config(run, tokenizer)
    model.save_pretrained(target)
    _save_words(run, tokenizer, target)
    again = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32, use_safetensors=True).eval()
    divergence = _divergence(expected, _logits(again, run.data))
    if not divergence <= _TOLERANCE[dtype]:
        raise Failure(
            Reason.INTERNAL,
            f"the merged model answers differently from the trained one: {divergence:.2g} nats a token apart, "
            f"above {_TOLERANCE[dtype]:.2g} for {dtype}; nothing was published",
        )
    return round(divergence, 8)


def _divergence(expected: torch.Tensor, found: torch.Tensor) -> float:
    """Mean KL divergence of the next-token distributions."""
    ours, theirs = expected.log_softmax(-1), found.log_softmax(-1)
    return float((ours.exp() * (ours - theirs)).sum(-1).mean().clamp(min=0))


def _save_words(run: Run, tokenizer: Any, target: Path) -> None:
    tokenizer.save_pretrained(target)
    _generation_config(run, tokenizer).save_pretrained(target)


def _generation_config(run: Run, tokenizer: Any) -> GenerationConfig:
    """The base model's, with every end token that training used: without it a server would run on past the answer."""
    try:
        config = GenerationConfig.from_pretrained(run.base)
    except OSError:  # the base has none
        config = GenerationConfig()
    known = config.eos_token_id
    known = known if isinstance(known, list) else [known] if known is not None else []
    ends = sorted(masks.end_tokens(masks.Template.of(tokenizer), tuple(known)))
    config.eos_token_id = ends[0] if len(ends) == 1 else ends
    config.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else ends[0]
    return config


def _tried(model: Any, tokenizer: Any, run: Run) -> dict[str, Any]:
    """One greedy answer: does it end by its end token?"""
    words = masks.rendered(run.data.prompts[0], masks.Template.of(tokenizer), ask=True)
    prompt = tokenizer(words, add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        answer = model.generate(
            **prompt,
            max_new_tokens=_SMOKE_TOKENS,
            do_sample=False,
            generation_config=_generation_config(run, tokenizer),
        )
    new = answer[0, prompt["input_ids"].shape[1] :].tolist()
    ends = masks.end_tokens(masks.Template.of(tokenizer))
    return {"smoke": {"newTokens": len(new), "endsByEndToken": bool(new) and new[-1] in ends}}


def _logits(model: Any, data: Prepared) -> torch.Tensor:
    ids = torch.tensor([list(data.train[0]["input_ids"][:128])])
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits.float()
    return logits


def _base_dtype(base: Path) -> torch.dtype:
    config = json.loads((base / "config.json").read_text())
    name = str(config.get("dtype") or config.get("torch_dtype") or "float32").removeprefix("torch.")
    dtype = getattr(torch, name)
    return dtype if dtype in _TOLERANCE else torch.float32


def _form(directory: Path) -> dict[str, Any]:
    digests = storage.file_digests(directory)
    return {"path": directory.name, "digest": storage.digest_of(digests), "files": digests}


def _facts(run: Run, checks: dict[str, Any]) -> dict[str, Any]:
    metrics = {key: value for key, value in run.saved.facts.items() if value is not None}
    return {
        "version": 1,
        "job": as_json(run.config.job),
        "base": {"uri": run.config.model.uri, "revision": run.config.model.revision, "digest": run.base_digest},
        "data": {
            "digest": run.data.digest, "train": len(run.data.train), "validation": len(run.data.validation),
            "tokens": run.data.tokens, "datasets": [as_json(counts) for counts in run.data.counts],
        },
        "config": as_json(run.config), "configDigest": run.config_digest, "codeDigest": run.code_digest,
        "environment": run.environment, "steps": run.saved.step, "metrics": metrics, "checks": checks,
        "servable": servable(run.config),
    }  # fmt: skip
