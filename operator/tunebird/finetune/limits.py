"""What this version can't do: each is refused with its field, value and remedy, never silently ignored. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tunebird.api.base import StorageRef
from tunebird.api.finetunejob import DeletionPolicy, FineTuneJobSpec, Form, Format, SplitBy
from tunebird.api.method import Objective, Optimizer, Precision, QuantizationType, Tuning
from tunebird.finetune.merge import PROTECTED_ENV, template_problems

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


def _given(value: object) -> str | None:
    return None if value is None else ""


def _other(value: object, *supported: object) -> object | None:
    return None if value in supported else value


def _forms(spec: Spec) -> str | None:
    full = spec.method.tuning is Tuning.FULL
    return "adapter" if full and Form.ADAPTER in spec.output.forms else None


def _format(spec: Spec) -> str | None:
    supported = (Format.AUTO, Format.MESSAGES, Format.PROMPT_COMPLETION, Format.ALPACA, Format.SHAREGPT)
    return next((dataset.format.value for dataset in spec.datasets if dataset.format not in supported), None)


def _half(spec: Spec) -> str | None:
    half = spec.training.precision is Precision.FP16 and spec.compute.gpus_per_node == 0
    return "fp16" if half else None


def _revision(spec: Spec) -> str | None:
    return next((dataset.source.revision for dataset in spec.datasets if dataset.source.revision), None)


def _digest(spec: Spec) -> str | None:
    return next((dataset.source.digest for dataset in spec.datasets if dataset.source.digest), None)


_ABSENT = "not supported by this version"


def _protected(spec: Spec) -> str | None:
    return next((variable.name for variable in spec.training.env if variable.name.startswith(PROTECTED_ENV)), None)


LIMITS = (
    Limit(
        "model.jobRef",
        lambda s: _given(s.model.job_ref),
        "another job's result can't be the base in this version; name its artifact as model.source",
    ),
    Limit("model.chatTemplate", lambda s: _other(s.model.chat_template, "model"), f"{_ABSENT}; use model"),
    Limit("datasets.format", _format, f"{_ABSENT}; use auto, messages, promptCompletion, alpaca or sharegpt"),
    Limit("datasets.source.revision", _revision, f"{_ABSENT} for datasets; copy the data to a volume and use pvc://"),
    Limit("datasets.source.digest", _digest, f"{_ABSENT} for datasets; remove it"),
    Limit(
        "validation.splitBy",
        lambda s: _other(s.validation.split_by, SplitBy.CONVERSATION, SplitBy.ROW),
        f"{_ABSENT}; use conversation",
    ),
    Limit(
        "preparation.deduplicate",
        lambda s: _given(s.preparation.deduplicate),
        f"{_ABSENT}; remove it and deduplicate the data beforehand",
    ),
    Limit(
        "preparation.redact",
        lambda s: ", ".join(s.preparation.redact) or None,
        f"{_ABSENT}; remove it and redact the data beforehand",
    ),
    Limit("method.objective", lambda s: _other(s.method.objective, Objective.SFT), f"{_ABSENT}; use sft"),
    Limit(
        "method.tuning",
        lambda s: _other(s.method.tuning, Tuning.AUTO, Tuning.FULL, Tuning.LORA),
        f"{_ABSENT}; use lora, full or auto",
    ),
    Limit(
        "method.quantization.type",
        lambda s: _other(s.method.quantization.type, QuantizationType.AUTO, QuantizationType.NONE),
        f"{_ABSENT}; use none or auto",
    ),
    Limit(
        "training.optimizer",
        lambda s: _other(s.training.optimizer, Optimizer.AUTO, Optimizer.ADAMW),
        f"{_ABSENT}; use adamw or auto",
    ),
    Limit("training.precision", _half, "half precision needs a GPU; use fp32 or auto on the CPU"),
    Limit(
        "training.earlyStopping",
        lambda s: _given(s.training.early_stopping),
        f"{_ABSENT}; remove it and set epochs or maxSteps",
    ),
    Limit("training.env", _protected, "names that begin with TUNEBIRD_ are the operator's; remove it"),
    Limit("compute.numNodes", lambda s: _other(s.compute.num_nodes, 1), f"{_ABSENT}; use 1"),
    Limit(
        "compute.gpusPerNode",
        lambda s: _other(s.compute.gpus_per_node, 0, 1),
        f"{_ABSENT}; use 1, or 0 for the CPU",
    ),
    Limit("deepspeed", lambda s: _given(s.deepspeed), f"{_ABSENT}; remove it"),
    Limit("evaluation", lambda s: _given(s.evaluation), f"{_ABSENT}; remove it (the job ends Ungated)"),
    Limit("output.forms", _forms, "full fine-tuning has no adapter; use merged, or method.tuning lora"),
    Limit("budget", lambda s: _given(s.budget), f"{_ABSENT}; remove it and use activeDeadlineSeconds"),
    Limit("queueName", lambda s: s.queue_name, f"{_ABSENT}; remove it"),
    Limit("trainer", lambda s: _given(s.trainer), "reserved; remove it and use compute.template for the pod"),
    Limit(
        "deletionPolicy",
        lambda s: _other(s.deletion_policy, DeletionPolicy.KEEP_ARTIFACT),
        "artifacts are never deleted by this version; use KeepArtifact and delete it yourself",
    ),
)

_SCHEMES = {
    "model": ("hf", "pvc"),
    "datasets": ("hf", "pvc"),
    "checkpoint": ("pvc",),
    "output": ("pvc",),
}


def refusals(spec: Spec, *, allow_file_uris: bool) -> tuple[str, ...]:
    """Everything in the spec that this version can't do, as sentences."""
    found = [sentence for limit in LIMITS if (sentence := limit.sentence(spec)) is not None]
    for field, ref in storages(spec):
        found.extend(_storage_refusals(field, ref, allow_file_uris))
    found.extend(_secret_refusals(spec))
    found.extend(template_problems(spec.compute.template or {}))
    return tuple(found)


def storages(spec: Spec) -> Iterator[tuple[str, StorageRef]]:
    """Every place that the spec names, with the path of its field under spec."""
    if spec.model.source is not None:
        yield "model.source", spec.model.source
    for dataset in spec.datasets:
        yield f"datasets[{dataset.name}].source", dataset.source
    if spec.checkpoint is not None:
        yield "checkpoint.storage", spec.checkpoint.storage
    yield "output.storage", spec.output.storage


def _storage_refusals(field: str, ref: StorageRef, allow_file_uris: bool) -> Iterator[str]:
    scheme = ref.uri.partition("://")[0]
    supported = _SCHEMES[field.partition(".")[0].partition("[")[0]]
    if scheme == "file" and not allow_file_uris:
        yield f"spec.{field}.uri ({ref.uri}): file:// is for the embedded control plane only; use pvc://claim/path"
    elif scheme not in (*supported, "file"):
        names = " or ".join(f"{name}://" for name in supported)
        yield f"spec.{field}.uri ({ref.uri}): {scheme}:// is not supported here by this version; use {names}"
    if ".." in ref.uri.partition("://")[2].split("/"):
        yield f"spec.{field}.uri ({ref.uri}): .. is not allowed in a path"
    if ref.secret_ref is not None and scheme != "hf":
        yield f"spec.{field}.secretRef ({ref.secret_ref.name}): {scheme}:// takes no credentials; remove it"


def _secret_refusals(spec: Spec) -> Iterator[str]:
    names = sorted({ref.secret_ref.name for _, ref in storages(spec) if ref.secret_ref is not None})
    if len(names) > 1:
        yield f"spec: hf:// sources name different Secrets ({', '.join(names)}); one pod has one token: use one Secret"
