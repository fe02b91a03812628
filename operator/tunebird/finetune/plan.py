"""How a FineTuneJob is trained: every value resolved, each with its reason. Pure, and the same on every cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunebird.api import trainer as config
from tunebird.api.base import fraction, quantity
from tunebird.api.finetunejob import FineTuneJob, FineTuneJobSpec
from tunebird.api.method import Lora, Optimizer, Precision, Tuning
from tunebird.finetune import limits
from tunebird.kube.meta import content_hash

LEARNING_RATES: Mapping[str, float] = {"lora": 2e-4, "full": 1e-5}
FAR_OFF = 5.0
BATCH_SIZE = 16
MICRO_BATCH = 4
SEQUENCE_LENGTH = 1024
EPOCHS = 3
GIB = 1024**3
SHARED_MEMORY_CPU = GIB
SHARED_MEMORY_GPU = 8 * GIB
FROM_SPEC = "spec"


@dataclass(frozen=True, slots=True)
class Choice:
    """A resolved value: `field` is its path under spec, `reason` is "spec" or the rule that it follows from."""

    field: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """`training`, `method` and `forms` are parts of the trainer's configuration; `shared_memory` is in bytes."""

    training: config.TrainingConfig
    method: config.MethodConfig
    forms: tuple[str, ...]
    checkpoint_root: str
    shared_memory: int
    gpus: int
    choices: tuple[Choice, ...]
    warnings: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One line for `kubectl get`: ``lora r16 fp32 cpu 16=4x4``."""
        lora = self.method.lora
        tuning = f"lora r{lora.rank}" if lora is not None else self.method.tuning
        where = f"{self.gpus} gpu" if self.gpus else "cpu"
        batch = self.training
        sizes = f"{batch.global_batch_size}={batch.micro_batch_size}x{batch.gradient_accumulation_steps}"
        return f"{tuning} {batch.precision} {where} batch {sizes}"

    @property
    def hash(self) -> str:
        """The same for plans that train the same."""
        parts = (self.training.model_dump(mode="json"), self.method.model_dump(mode="json"), self.forms)
        return content_hash(parts)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What `tunebird plan` shows: values with reasons, or why the job would be refused."""

    name: str
    summary: str
    choices: tuple[Choice, ...]
    warnings: tuple[str, ...]
    refusals: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON and YAML."""
        return {
            "name": self.name,
            "summary": self.summary,
            "choices": [{"field": c.field, "value": c.value, "reason": c.reason} for c in self.choices],
            "warnings": [*self.warnings],
            "refusals": [*self.refusals],
        }

    def text(self) -> str:
        """For people, aligned."""
        wide = max((len(choice.field) for choice in self.choices), default=0)
        long = max((len(choice.value) for choice in self.choices), default=0)
        rows = [f"  {c.field:<{wide}}  {c.value:<{long}}  {c.reason}" for c in self.choices]
        notes = [f"  warning: {warning}" for warning in self.warnings]
        refused = [f"  refused: {refusal}" for refusal in self.refusals]
        return "\n".join([f"{self.name}: {self.summary}", *rows, *notes, *refused])


def explain(document: Mapping[str, Any], *, allow_file_uris: bool = True) -> Explanation:
    """The plan of a manifest that parses, or the refusals where this version can't run it."""
    job = FineTuneJob.model_validate(document)
    found = limits.refusals(job.spec, allow_file_uris=allow_file_uris)
    if found:
        return Explanation(job.metadata.name, "refused", (), (), found)
    plan = resolve(job.spec)
    return Explanation(job.metadata.name, plan.summary, plan.choices, plan.warnings, ())


def resolve(spec: FineTuneJobSpec) -> Plan:
    """Every value that the trainer needs, for a spec that `limits.refusals` finds nothing in."""
    tuning = _tuning(spec)
    batch = _batch(spec)
    choices = (tuning, *_method_choices(spec, tuning.value), *_training_choices(spec, tuning.value), *batch.choices)
    values = {choice.field: choice.value for choice in choices}
    root = _checkpoint_root(spec)
    return Plan(
        training=_training(spec, values, batch),
        method=_method(spec, tuning.value),
        forms=_forms(spec, tuning.value),
        checkpoint_root=root.value,
        shared_memory=_shared_memory(spec),
        gpus=spec.compute.gpus_per_node,
        choices=(*choices, _forms_choice(spec, tuning.value), root, _memory_choice(spec)),
        warnings=_warnings(spec, tuning.value, values),
    )


def _pick(field: str, asked: object | None, otherwise: object, reason: str) -> Choice:
    if asked is not None:
        return Choice(field, str(asked), FROM_SPEC)
    return Choice(field, str(otherwise), reason)


def _tuning(spec: FineTuneJobSpec) -> Choice:
    asked = spec.method.tuning
    chosen = None if asked is Tuning.AUTO else asked.value
    reason = "auto: adapters below 100,000 rows; ask for full with millions"
    return _pick("method.tuning", chosen, Tuning.LORA.value, reason)


def _method_choices(spec: FineTuneJobSpec, tuning: str) -> tuple[Choice, ...]:
    fixed = (Choice("method.quantization.type", "none", "the base is kept in the precision of the computation"),)
    if tuning != Tuning.LORA:
        return fixed
    lora = spec.method.lora
    default = "default of lora"
    return (
        *fixed,
        _pick("method.lora.rank", lora and lora.rank, 16, default),
        _pick("method.lora.alpha", lora and lora.alpha, 32, default),
    )


def _training_choices(spec: FineTuneJobSpec, tuning: str) -> tuple[Choice, ...]:
    training, gpus = spec.training, spec.compute.gpus_per_node
    asked = None if training.precision is Precision.AUTO else training.precision.value
    optimizer = None if training.optimizer is Optimizer.AUTO else training.optimizer.value
    rate = f"{LEARNING_RATES.get(tuning, 1e-5):g}"
    return (
        _length_choice(spec),
        _pick("training.learningRate", training.learning_rate, rate, f"default of sft with {tuning}"),
        _pick("training.precision", asked, "bf16" if gpus else "fp32", f"auto on a {'GPU' if gpus else 'CPU'}"),
        _pick("training.optimizer", optimizer, "adamw", "auto"),
        _pick("training.maxSequenceLength", training.max_sequence_length, SEQUENCE_LENGTH, "default"),
        Choice("training.activationCheckpointing", _flag(_recomputes(spec, tuning)), _recompute_reason(spec, tuning)),
    )


def _length_choice(spec: FineTuneJobSpec) -> Choice:
    if spec.training.max_steps is not None:
        return Choice("training.maxSteps", str(spec.training.max_steps), FROM_SPEC)
    return _pick("training.epochs", spec.training.epochs, EPOCHS, "default")


def _recomputes(spec: FineTuneJobSpec, tuning: str) -> bool:
    return tuning == Tuning.FULL and spec.compute.gpus_per_node > 0


def _recompute_reason(spec: FineTuneJobSpec, tuning: str) -> str:
    if spec.compute.gpus_per_node == 0:
        return "host memory is large, time is short"
    return "full tuning on one GPU: memory is short" if tuning == Tuning.FULL else "adapters leave room for activations"


@dataclass(frozen=True, slots=True)
class _Batch:
    micro: int
    accumulation: int
    choices: tuple[Choice, ...]


def _batch(spec: FineTuneJobSpec) -> _Batch:
    """The largest micro-batch up to four that divides the global batch: the global batch is never changed."""
    whole = spec.training.global_batch_size or BATCH_SIZE
    micro = max(size for size in range(1, MICRO_BATCH + 1) if whole % size == 0)
    accumulation = whole // micro
    reason = f"largest divisor of {whole} up to {MICRO_BATCH}"
    return _Batch(
        micro,
        accumulation,
        (
            _pick("training.globalBatchSize", spec.training.global_batch_size, BATCH_SIZE, "default"),
            Choice("training.microBatchSize", str(micro), reason),
            Choice("training.gradientAccumulationSteps", str(accumulation), f"{whole} / {micro}"),
        ),
    )


def _training(spec: FineTuneJobSpec, values: Mapping[str, str], batch: _Batch) -> config.TrainingConfig:
    training = spec.training
    fields = {
        "epochs": float(training.epochs or EPOCHS),
        "max_steps": training.max_steps,
        "learning_rate": float(values["training.learningRate"]),
        "schedule": {"type": training.schedule.type.value, "warmup": fraction(training.schedule.warmup)},
        "optimizer": values["training.optimizer"],
        "precision": values["training.precision"],
        "micro_batch_size": batch.micro,
        "gradient_accumulation_steps": batch.accumulation,
        "global_batch_size": batch.micro * batch.accumulation,
        "max_sequence_length": int(values["training.maxSequenceLength"]),
        "packing": training.packing,
        "loss_on": training.loss_on.value,
        "evaluate_every": training.evaluate_every,
        "seed": training.seed,
        "deterministic": training.deterministic,
        "activation_checkpointing": values["training.activationCheckpointing"] == "true",
    }
    return config.TrainingConfig.model_validate(fields)


def _method(spec: FineTuneJobSpec, tuning: str) -> config.MethodConfig:
    lora = _lora(spec.method.lora or Lora()) if tuning == Tuning.LORA else None
    fields = {"objective": spec.method.objective.value, "tuning": tuning, "lora": lora, "quantization": "none"}
    return config.MethodConfig.model_validate(fields)


def _lora(asked: Lora) -> config.LoraConfig:
    return config.LoraConfig(
        rank=asked.rank,
        alpha=asked.alpha,
        dropout=fraction(asked.dropout),
        target_modules=asked.target_modules,
        use_dora=asked.use_dora,
        use_rslora=asked.use_rslora,
    )


def _forms(spec: FineTuneJobSpec, tuning: str) -> tuple[str, ...]:
    if spec.output.forms:
        return tuple(form.value for form in spec.output.forms)
    return ("adapter", "merged") if tuning == Tuning.LORA else ("merged",)


def _forms_choice(spec: FineTuneJobSpec, tuning: str) -> Choice:
    reason = FROM_SPEC if spec.output.forms else f"all that {tuning} has"
    return Choice("output.forms", ", ".join(_forms(spec, tuning)), reason)


def _checkpoint_root(spec: FineTuneJobSpec) -> Choice:
    asked = None if spec.checkpoint is None else spec.checkpoint.storage.uri.rstrip("/")
    scheme, _, rest = spec.output.storage.uri.rstrip("/").partition("://")
    volume = "" if scheme == "file" else rest.partition("/")[0]
    beside = (
        f"{spec.output.storage.uri.rstrip('/')}/.checkpoints" if scheme == "file" else f"pvc://{volume}/.checkpoints"
    )
    return _pick("checkpoint.storage.uri", asked, beside, "on the output's volume")


def _shared_memory(spec: FineTuneJobSpec) -> int:
    wanted = SHARED_MEMORY_GPU if spec.compute.gpus_per_node else SHARED_MEMORY_CPU
    limit = spec.compute.resources.limits.get("memory")
    return wanted if limit is None else max(64 * 1024**2, min(wanted, int(quantity(str(limit)) / 4)))


def _memory_choice(spec: FineTuneJobSpec) -> Choice:
    where = "GPU" if spec.compute.gpus_per_node else "CPU"
    capped = ", at most a quarter of the memory limit" if "memory" in spec.compute.resources.limits else ""
    return Choice("sharedMemory", f"{_shared_memory(spec) // 1024**2}Mi", f"shared memory on a {where}{capped}")


def _warnings(spec: FineTuneJobSpec, tuning: str, values: Mapping[str, str]) -> tuple[str, ...]:
    found = []
    usual, rate = LEARNING_RATES.get(tuning, 1e-5), float(values["training.learningRate"])
    if not usual / FAR_OFF <= rate <= usual * FAR_OFF:
        found.append(f"training.learningRate {rate:g} is far from the usual {usual:g} of sft with {tuning}")
    if spec.compute.gpus_per_node == 0 and values["training.precision"] != "fp32":
        found.append(f"training.precision {values['training.precision']} is slow on most CPUs; fp32 is usual")
    if spec.method.lora is not None and spec.method.lora.use_dora:
        found.append("method.lora.useDora: vLLM can't load the adapter; serve the merged form")
    return tuple(found)


def _flag(value: bool) -> str:
    return "true" if value else "false"
