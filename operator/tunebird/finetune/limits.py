"""What can't be done: each is refused with its field, value and remedy, never silently ignored. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tunebird.api.data import Format, Mixing, MixingStop, OnTooLong
from tunebird.api.finetunejob import DeletionPolicy, FineTuneJobSpec, Form
from tunebird.api.method import Objective, QuantizationType, Tuning
from tunebird.api.training import Optimizer, Precision
from tunebird.finetune.choices import text
from tunebird.finetune.distribution import distribution_problems
from tunebird.finetune.evaluation import evaluation_problems
from tunebird.finetune.merge import PROTECTED_ENV, template_problems
from tunebird.finetune.places import place_problems

Spec = FineTuneJobSpec


@dataclass(frozen=True, slots=True)
class Limit:
    """`value` gives the offending value, or None where the spec is fine."""

    field: str
    value: Callable[[Spec], object | None]
    why: str

    def sentence(self, spec: Spec) -> str | None:
        """The refusal, with the value that was found."""
        found = self.value(spec)
        if found is None:
            return None
        shown = "" if found == "" else f" ({found})"
        return f"spec.{self.field}{shown}: {self.why}"


_ABSENT = "not supported by this version"
_FORMATS = {
    Objective.SFT: (Format.AUTO, Format.MESSAGES, Format.PROMPT_COMPLETION, Format.ALPACA, Format.SHAREGPT),
    Objective.CONTINUE: (Format.AUTO, Format.TEXT),
    Objective.DPO: (Format.AUTO, Format.PREFERENCE),
}
_ON_GPU = (Optimizer.ADAMW_8BIT, Optimizer.PAGED_ADAMW_8BIT)


def _given(value: object) -> str | None:
    return None if value is None else ""


def _other(value: object, *supported: object) -> object | None:
    return None if value in supported else value


def _zero(value: str | None) -> str | None:
    return value if value is not None and float(value.removesuffix("%")) == 0 else None


def _forms(spec: Spec) -> str | None:
    full = spec.method.tuning is Tuning.FULL
    return "adapter" if full and Form.ADAPTER in spec.output.forms else None


def _format(spec: Spec) -> str | None:
    """A format that the objective doesn't learn from."""
    supported = _FORMATS.get(spec.method.objective, tuple(Format))
    wrong = next((dataset.format for dataset in spec.datasets if dataset.format not in supported), None)
    return None if wrong is None else f"{wrong.value} with objective {spec.method.objective.value}"


def _half(spec: Spec) -> str | None:
    half = spec.training.precision is Precision.FP16 and spec.compute.gpus_per_node == 0
    return "fp16" if half else None


def _quantized(spec: Spec) -> str | None:
    asked = spec.method.quantization.type
    frozen = asked in (QuantizationType.AUTO, QuantizationType.NONE) or spec.method.tuning is not Tuning.FULL
    return None if frozen else asked.value


def _optimizer(spec: Spec) -> str | None:
    asked = spec.training.optimizer
    return asked.value if asked in _ON_GPU and spec.compute.gpus_per_node == 0 else None


def _preferences(spec: Spec, value: object) -> object | None:
    """`value` where it was asked for together with dpo."""
    return value if value is not None and spec.method.objective is Objective.DPO else None


def _unvalidated(spec: Spec) -> str | None:
    asked = spec.training
    needs = (
        ("earlyStopping", asked.early_stopping),
        ("keepBest", asked.keep_best or None),
        ("evaluateEvery", asked.evaluate_every),
    )
    return next((name for name, value in needs if value is not None and spec.validation.percent == 0), None)


def _protected(spec: Spec) -> str | None:
    return next((variable.name for variable in spec.training.env if variable.name.startswith(PROTECTED_ENV)), None)


def _mixing_stop(spec: Spec) -> str | None:
    repeats = spec.mixing_stop is MixingStop.ALL_EXHAUSTED and spec.mixing is Mixing.CONCATENATE
    return spec.mixing_stop.value if repeats else None


def _smoothing(spec: Spec) -> str | None:
    asked = spec.method.dpo.label_smoothing if spec.method.dpo is not None else None
    high = asked is not None and float(asked.removesuffix("%")) / (100 if asked.endswith("%") else 1) >= 0.5
    return asked if high else None


def _swapped(spec: Spec) -> str | None:
    """A share of swapped preferences that the loss doesn't know of."""
    asked = spec.method.dpo
    if asked is None or asked.loss == "robust" or asked.label_smoothing is None:
        return None
    return None if _zero(asked.label_smoothing) else asked.label_smoothing


def _split(spec: Spec) -> str | None:
    return spec.preparation.on_too_long.value if spec.preparation.on_too_long is OnTooLong.SPLIT else None


def _dropout(spec: Spec) -> str | None:
    asked = spec.method.lora.dropout if spec.method.lora is not None else "0"
    return None if _zero(asked) else asked


LIMITS = (
    Limit("datasets.format", _format, "sft learns from conversations, continue from text, dpo from preference pairs"),
    Limit("mixingStop", _mixing_stop, "goes with mixing interleave only; remove it or set mixing"),
    Limit(
        "preparation.deduplicate.near",
        lambda s: _zero(s.preparation.deduplicate.near if s.preparation.deduplicate else None),
        "every row would be like every other; use e.g. 0.8",
    ),
    Limit(
        "method.objective",
        lambda s: _other(s.method.objective, *_FORMATS),
        f"{_ABSENT}; use sft, continue or dpo",
    ),
    Limit(
        "method.tuning",
        lambda s: _other(s.method.tuning, Tuning.AUTO, Tuning.FULL, Tuning.LORA),
        f"{_ABSENT}; use lora, full or auto",
    ),
    Limit("method.dpo.beta", lambda s: _zero(s.method.dpo.beta if s.method.dpo else None), "must be above 0"),
    Limit("method.dpo.labelSmoothing", _swapped, "only the loss robust takes it into account; use that, or remove it"),
    Limit(
        "method.lora.dropout",
        lambda s: _preferences(s, _dropout(s)),
        "dpo compares with the reference's log-probabilities, which dropout would blur; use 0",
    ),
    Limit(
        "preparation.onTooLong",
        lambda s: _preferences(s, _split(s)),
        "a preference pair has one answer and can't be split; use Drop, Truncate or Fail",
    ),
    Limit(
        "training.lossOn",
        lambda s: _preferences(s, _other(s.training.loss_on.value, "completions")),
        "dpo's loss is on the two answers; use completions",
    ),
    Limit("method.dpo.labelSmoothing", _smoothing, "at half of all pairs swapped nothing can be learned; use less"),
    Limit("method.quantization.type", _quantized, "full tuning can't learn a quantized base; use tuning lora, or none"),
    Limit("training.learningRate", lambda s: _zero(s.training.learning_rate), "nothing would be learned; remove it"),
    Limit("training.optimizer", _optimizer, "8-bit optimizers need a GPU; use adamw or auto on the CPU"),
    Limit("training.precision", _half, "half precision needs a GPU; use fp32 or auto on the CPU"),
    Limit(
        "training.packing",
        lambda s: _preferences(s, text(True) if s.training.packing else None),
        "preference pairs can't be packed; remove it",
    ),
    Limit(
        "training.groupByLength",
        lambda s: text(True) if s.training.group_by_length and s.training.packing else None,
        "packed sequences have one length; remove it or packing",
    ),
    Limit(
        "training.groupByLength",
        lambda s: text(True) if s.training.group_by_length and s.mixing is Mixing.INTERLEAVE else None,
        "interleave decides the order of rows; use mixing concatenate, or remove it",
    ),
    Limit(
        "training.neftuneAlpha",
        lambda s: _preferences(s, s.training.neftune_alpha) or _zero(s.training.neftune_alpha),
        "goes with sft and continue, above 0; remove it",
    ),
    Limit("validation.percent", _unvalidated, "nothing is held out, which training.earlyStopping, keepBest and "
          "evaluateEvery need; use 1 or more"),
    Limit("training.env", _protected, "names that begin with TUNEBIRD_ are the operator's; remove it"),
    Limit("output.forms", _forms, "full fine-tuning has no adapter; use merged, or method.tuning lora"),
    Limit("budget", lambda s: _given(s.budget), f"{_ABSENT}; remove it and use activeDeadlineSeconds"),
    Limit("queueName", lambda s: s.queue_name, f"{_ABSENT}; remove it"),
    Limit("trainer", lambda s: _given(s.trainer), "reserved; remove it and use compute.template for the pod"),
    Limit(
        "deletionPolicy",
        lambda s: _other(s.deletion_policy, DeletionPolicy.KEEP_ARTIFACT),
        "artifacts are never deleted by this version; use KeepArtifact and delete it yourself",
    ),
)  # fmt: skip


def refusals(spec: Spec, *, allow_file_uris: bool) -> tuple[str, ...]:
    """Everything in the spec that can't be done, as sentences."""
    return (
        *(sentence for limit in LIMITS if (sentence := limit.sentence(spec)) is not None),
        *distribution_problems(spec),
        *evaluation_problems(spec),
        *place_problems(spec, allow_file_uris=allow_file_uris),
        *template_problems(spec.compute.template or {}),
    )


def lasting(wrong: tuple[str, ...]) -> tuple[str, ...]:
    """What is wrong, and what to do where a field is named that the API server won't let anybody correct in place."""
    named = [match[1] for sentence in wrong if (match := re.match(r"spec\.([A-Za-z]+)", sentence))]
    fixed = sorted({f"spec.{name}" for name in named if name not in Spec.MUTABLE})
    if not fixed:
        return wrong
    return (*wrong, f"{', '.join(fixed)} can't be changed in place: delete this job and apply the corrected one")
