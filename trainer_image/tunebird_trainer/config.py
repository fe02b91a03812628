"""The config of one run as frozen values. `config_file.py` reads and checks it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Tuning(StrEnum):
    LORA = "lora"
    FULL = "full"


class Form(StrEnum):
    ADAPTER = "adapter"
    MERGED = "merged"


class OnInvalid(StrEnum):
    FAIL = "Fail"
    DROP = "Drop"


class OnTooLong(StrEnum):
    DROP = "Drop"
    TRUNCATE = "Truncate"
    SPLIT = "Split"
    FAIL = "Fail"


class OnFound(StrEnum):
    """What to do with a row in which something was found."""

    KEEP = "Keep"
    DROP = "Drop"
    FAIL = "Fail"


class Objective(StrEnum):
    SFT = "sft"
    CONTINUE = "continue"
    DPO = "dpo"


class Quantization(StrEnum):
    NONE = "none"
    NF4 = "nf4"
    INT8 = "int8"


class SplitBy(StrEnum):
    ROW = "row"
    CONVERSATION = "conversation"
    USER = "user"


class MixingStop(StrEnum):
    FIRST_EXHAUSTED = "firstExhausted"
    ALL_EXHAUSTED = "allExhausted"


class Offload(StrEnum):
    NONE = "none"
    CPU = "cpu"


class Mixing(StrEnum):
    CONCATENATE = "concatenate"
    INTERLEAVE = "interleave"


class LossOn(StrEnum):
    COMPLETIONS = "completions"
    ALL = "all"


class Precision(StrEnum):
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


@dataclass(frozen=True, slots=True)
class Job:
    namespace: str
    name: str
    uid: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Model:
    uri: str
    revision: str = ""
    digest: str = ""
    chat_template: str = "model"  # model, a named one, or the uri of a Jinja file
    attention: str = "auto"


@dataclass(frozen=True, slots=True)
class Dataset:
    name: str
    uri: str
    format: str = "auto"
    weight: int = 1
    limit: int | None = None
    license: str = ""
    revision: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Validation:
    percent: int
    split_by: SplitBy = SplitBy.CONVERSATION


@dataclass(frozen=True, slots=True)
class Deduplicate:
    near: float | None = None  # similarity above which rows count as equal


@dataclass(frozen=True, slots=True)
class Preparation:
    on_invalid: OnInvalid
    on_too_long: OnTooLong
    max_invalid: float = 1.0  # shares of all rows
    max_too_long: float = 1.0
    deduplicate: Deduplicate = field(default_factory=Deduplicate)
    redact: tuple[str, ...] = ()
    on_unsafe: OnFound = OnFound.KEEP
    on_contaminated: OnFound = OnFound.DROP


@dataclass(frozen=True, slots=True)
class Lora:
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    target_modules: str = "all-linear"  # or names separated by commas
    use_dora: bool = False
    use_rslora: bool = False


@dataclass(frozen=True, slots=True)
class Continue:
    block_size: int | None = None  # tokens


@dataclass(frozen=True, slots=True)
class Dpo:
    beta: float = 0.1
    loss: str = "sigmoid"
    label_smoothing: float = 0.0
    reference: str = ""  # uri; empty is the model before training


@dataclass(frozen=True, slots=True)
class Method:
    objective: Objective
    tuning: Tuning
    lora: Lora | None = None
    quantization: Quantization = Quantization.NONE
    double_quantization: bool = True
    continue_: Continue = field(default_factory=Continue)
    dpo: Dpo = field(default_factory=Dpo)


@dataclass(frozen=True, slots=True)
class Schedule:
    type: str
    warmup: float  # share of the steps


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    patience: int  # evaluations


@dataclass(frozen=True, slots=True)
class Samples:
    every_steps: int | None = None
    prompts: tuple[str, ...] = ()
    max_tokens: int = 64


@dataclass(frozen=True, slots=True)
class Training:
    epochs: float
    learning_rate: float
    schedule: Schedule
    optimizer: str
    precision: Precision
    micro_batch_size: int
    gradient_accumulation_steps: int
    global_batch_size: int
    max_sequence_length: int
    packing: bool
    loss_on: LossOn
    seed: int
    deterministic: bool
    activation_checkpointing: bool
    max_steps: int | None = None  # counts before epochs
    evaluate_every: int | None = None  # steps; None is once an epoch
    max_gradient_norm: float = 1.0  # 0 doesn't clip
    weight_decay: float = 0.0
    group_by_length: bool = False
    neftune_alpha: float | None = None
    early_stopping: EarlyStopping | None = None
    keep_best: bool = False
    samples: Samples = field(default_factory=Samples)
    trackers: tuple[str, ...] = ()
    worst_case_step: bool | None = None  # None is on a GPU


@dataclass(frozen=True, slots=True)
class PhaseLimits:
    """Seconds without a sign of life after which a process counts as hung."""

    load: int = 3600
    compile: int = 3600
    step: int = 1800
    evaluate: int = 3600
    save: int = 3600
    convert: int = 3600


@dataclass(frozen=True, slots=True)
class Distributed:
    num_nodes: int
    processes_per_node: int
    zero_stage: int = 0
    offload_optimizer: Offload = Offload.NONE
    offload_parameters: Offload = Offload.NONE
    phase_limits: PhaseLimits = field(default_factory=PhaseLimits)

    @property
    def world_size(self) -> int:
        return self.num_nodes * self.processes_per_node


@dataclass(frozen=True, slots=True)
class Checkpoint:
    uri: str
    every_seconds: int
    keep: int
    every_steps: int | None = None


@dataclass(frozen=True, slots=True)
class Card:
    intended_use: str = ""
    limitations: str = ""
    license: str = ""
    contact: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    uri: str
    forms: tuple[Form, ...]
    card: Card = field(default_factory=Card)


@dataclass(frozen=True, slots=True)
class Judge:
    endpoint: str
    model: str


@dataclass(frozen=True, slots=True)
class Generation:
    temperature: float = 0.0  # 0 is greedy
    max_tokens: int = 256
    samples: int = 1


@dataclass(frozen=True, slots=True)
class Suite:
    name: str
    uri: str
    digest: str = ""
    judge: Judge | None = None
    generation: Generation = field(default_factory=Generation)


@dataclass(frozen=True, slots=True)
class Gate:
    metric: str  # <suite>.<metric>
    minimum: float | None = None
    maximum: float | None = None
    max_regression_absolute: float | None = None
    max_regression_relative: float | None = None
    compare_to: str = "base"
    confidence: float = 0.95


@dataclass(frozen=True, slots=True)
class Evaluation:
    suites: tuple[Suite, ...] = ()
    gates: tuple[Gate, ...] = ()
    canaries: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    every_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Config:
    version: int
    job: Job
    model: Model
    datasets: tuple[Dataset, ...]
    mixing: Mixing
    validation: Validation
    preparation: Preparation
    method: Method
    training: Training
    distributed: Distributed
    checkpoint: Checkpoint
    output: Output
    report: Report = field(default_factory=Report)
    mixing_stop: MixingStop = MixingStop.FIRST_EXHAUSTED
    evaluation: Evaluation = field(default_factory=Evaluation)


def as_json(value: Any) -> Any:
    """The config, or a part of it, as it is written in the file."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {camel(each.name): as_json(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [as_json(each) for each in value]
    return value


def digest(value: Any) -> str:
    canonical = json.dumps(as_json(value), sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


_SPLIT = {
    "training": ("microBatchSize", "gradientAccumulationSteps"),
    "distributed": ("numNodes", "processesPerNode", "offloadOptimizer", "offloadParameters", "phaseLimits"),
}


def run_digest(config: Config) -> str:
    """What makes two attempts the same run: everything but the attempt, where its results go, and how a global batch is
    split among processes."""
    shape = as_json(config)
    shape["job"].pop("attempt")
    for part, names in _SPLIT.items():
        for name in names:
            shape[part].pop(name)
    for elsewhere in ("output", "checkpoint", "report"):
        shape.pop(elsewhere)
    return digest(shape)


def target_modules(lora: Lora) -> list[str]:
    return [name.strip() for name in lora.target_modules.split(",")]


def camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)
