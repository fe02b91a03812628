"""How a FineTuneJob is trained: every value resolved, each with its reason. Pure, and the same on every cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunebird.api import trainer as config
from tunebird.api.base import quantity
from tunebird.api.finetunejob import FineTuneJob, FineTuneJobSpec
from tunebird.finetune import limits, rows
from tunebird.finetune.choices import FROM_SPEC, Choice, pick
from tunebird.finetune.distribution import distribution
from tunebird.finetune.evaluation import evaluation
from tunebird.finetune.method import LEARNING_RATES, method
from tunebird.finetune.places import claims, scheme
from tunebird.finetune.training import training
from tunebird.kube.meta import content_hash

FAR_OFF = 5.0
GIB = 1024**3
SHARED_MEMORY_CPU = GIB
SHARED_MEMORY_GPU = 8 * GIB


@dataclass(frozen=True, slots=True)
class Data:
    """What is learned from."""

    datasets: tuple[config.DatasetConfig, ...]
    validation: config.ValidationConfig
    preparation: config.PreparationConfig


@dataclass(frozen=True, slots=True)
class Plan:
    """Parts of the trainer's configuration, and what the pods need besides; `shared_memory` is in bytes."""

    data: Data
    method: config.MethodConfig
    training: config.TrainingConfig
    distributed: config.DistributedConfig
    evaluation: config.EvaluationConfig
    forms: tuple[str, ...]
    checkpoint_root: str
    shared_memory: int
    gpus: int
    choices: tuple[Choice, ...]
    warnings: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One line for people: ``dpo qlora r16 bf16 2x8 gpu zero2 batch 64=4x1x16``."""
        batch, world = self.training, self.processes
        sizes = (batch.micro_batch_size, batch.gradient_accumulation_steps, *((world,) if world > 1 else ()))
        words = (
            "" if self.method.objective == "sft" else self.method.objective,
            self._tuning,
            batch.precision,
            self._where,
            f"zero{self.distributed.zero_stage}" if self.distributed.zero_stage else "",
            f"batch {batch.global_batch_size}={'x'.join(str(size) for size in sizes)}",
        )
        return " ".join(word for word in words if word)

    @property
    def _tuning(self) -> str:
        lora, quantized = self.method.lora, self.method.quantization
        if lora is None:
            return self.method.tuning
        return f"{'' if quantized == 'none' else f'{quantized} '}lora r{lora.rank}"

    @property
    def _where(self) -> str:
        nodes = self.distributed.num_nodes
        each = f"{self.gpus} gpu" if self.gpus else "cpu"
        return each if nodes == 1 else f"{nodes}x{each}" if self.gpus else f"{nodes} {each}"

    @property
    def processes(self) -> int:
        """How many train together."""
        return self.distributed.num_nodes * self.distributed.processes_per_node

    @property
    def hash(self) -> str:
        """The same for plans that train the same."""
        models = (
            *self.data.datasets,
            self.data.validation,
            self.data.preparation,
            self.method,
            self.training,
            self.distributed,
            self.evaluation,
        )
        return content_hash([*(part.model_dump(mode="json") for part in models), self.forms])


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
    """The plan of a manifest that parses, or the refusals where it can't be run."""
    job = FineTuneJob.model_validate(document)
    found = limits.refusals(job.spec, allow_file_uris=allow_file_uris)
    if found:
        return Explanation(job.metadata.name, "refused", (), (), found)
    plan = resolve(job.spec)
    return Explanation(job.metadata.name, plan.summary, plan.choices, plan.warnings, ())


def resolve(spec: FineTuneJobSpec) -> Plan:
    """Every value that the trainer needs, for a spec that `limits.refusals` finds nothing in."""
    how = method(spec)
    tuning = how.config.tuning
    trained, spread = training(spec, tuning), distribution(spec, tuning)
    root = _checkpoint_root(spec)
    return Plan(
        data=Data(rows.datasets(spec), rows.validation(spec), rows.preparation(spec)),
        method=how.config,
        training=trained.config,
        distributed=spread.config,
        evaluation=evaluation(spec),
        forms=_forms(spec, tuning),
        checkpoint_root=root.value,
        shared_memory=_shared_memory(spec),
        gpus=spec.compute.gpus_per_node,
        choices=(
            *how.choices,
            *trained.choices,
            *spread.choices,
            _forms_choice(spec, tuning),
            root,
            _memory_choice(spec),
        ),
        warnings=tuple(_warnings(spec, how.config, trained.config, root.value)),
    )


def _forms(spec: FineTuneJobSpec, tuning: str) -> tuple[str, ...]:
    if spec.output.forms:
        return tuple(form.value for form in spec.output.forms)
    return ("adapter", "merged") if tuning == "lora" else ("merged",)


def _forms_choice(spec: FineTuneJobSpec, tuning: str) -> Choice:
    reason = FROM_SPEC if spec.output.forms else f"all that {tuning} has"
    return Choice("output.forms", ", ".join(_forms(spec, tuning)), reason)


def _checkpoint_root(spec: FineTuneJobSpec) -> Choice:
    asked = None if spec.checkpoint is None else spec.checkpoint.storage.uri.rstrip("/")
    output = spec.output.storage.uri.rstrip("/")
    volume = output if scheme(output) == "file" else f"pvc://{output.partition('://')[2].partition('/')[0]}"
    return pick("checkpoint.storage.uri", asked, f"{volume}/.checkpoints", "on the output's volume")


def _shared_memory(spec: FineTuneJobSpec) -> int:
    wanted = SHARED_MEMORY_GPU if spec.compute.gpus_per_node else SHARED_MEMORY_CPU
    limit = spec.compute.resources.limits.get("memory")
    return wanted if limit is None else max(64 * 1024**2, min(wanted, int(quantity(str(limit)) / 4)))


def _memory_choice(spec: FineTuneJobSpec) -> Choice:
    where = "GPU" if spec.compute.gpus_per_node else "CPU"
    capped = ", at most a quarter of the memory limit" if "memory" in spec.compute.resources.limits else ""
    return Choice("sharedMemory", f"{_shared_memory(spec) // 1024**2}Mi", f"shared memory on a {where}{capped}")


def _warnings(
    spec: FineTuneJobSpec, how: config.MethodConfig, trained: config.TrainingConfig, root: str
) -> Iterator[str]:
    usual, rate = LEARNING_RATES[how.objective, how.tuning], trained.learning_rate
    if not usual / FAR_OFF <= rate <= usual * FAR_OFF:
        yield f"training.learningRate {rate:g} is far from the usual {usual:g} of {how.objective} with {how.tuning}"
    if spec.compute.gpus_per_node == 0 and trained.precision != "fp32":
        yield f"training.precision {trained.precision} is slow on most CPUs; fp32 is usual"
    if how.lora is not None and how.lora.use_dora:
        yield "method.lora.useDora: vLLM can't load the adapter; serve the merged form"
    yield from _sharing_warnings(spec, root)


def _sharing_warnings(spec: FineTuneJobSpec, root: str) -> Iterator[str]:
    nodes = spec.compute.num_nodes
    cache = (spec.cache.claim_name,) if spec.cache is not None else ()
    shared = sorted({*claims(spec, root), *cache})
    if nodes > 1 and shared:
        yield f"{nodes} pods mount {', '.join(shared)}: each must be a ReadWriteMany claim, or the pods can't all start"
