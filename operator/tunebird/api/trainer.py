"""The configuration of one run of the trainer: what the operator writes and the trainer validates before anything else.

The JSON Schema in trainer_image/contract is generated from here; both sides test against it.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Positive = Annotated[int, Field(ge=1)]


class ConfigModel(BaseModel):
    """A part of the configuration: nothing is optional but what may be null, and nothing unknown is accepted."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="forbid", protected_namespaces=()
    )


class JobIdentity(ConfigModel):
    """Which FineTuneJob this is a run of."""

    namespace: str
    name: str
    uid: str
    attempt: Positive


class ModelConfig(ConfigModel):
    """The base model. An empty digest is not checked."""

    uri: str = Field(min_length=1)
    revision: str
    digest: str = Field(pattern=r"^(sha256:[0-9a-f]{64})?$")
    chat_template: str = Field(min_length=1)


class DatasetConfig(ConfigModel):
    """One source of rows."""

    name: str = Field(min_length=1)
    uri: str = Field(min_length=1)
    format: Literal["auto", "messages", "promptCompletion", "alpaca", "sharegpt"]
    weight: Positive
    limit: Positive | None
    license: str


class ValidationConfig(ConfigModel):
    """Share of the rows kept from training."""

    percent: int = Field(ge=0, le=50)


class PreparationConfig(ConfigModel):
    """What to do with rows that can't be used."""

    on_invalid: Literal["Fail", "Drop"]
    on_too_long: Literal["Drop", "Truncate", "Fail"]


class LoraConfig(ConfigModel):
    """Low-rank adapters. `target_modules` is all-linear or names separated by commas."""

    rank: Positive
    alpha: Positive
    dropout: float = Field(ge=0, lt=1)
    target_modules: str = Field(min_length=1)
    use_dora: bool
    use_rslora: bool


class MethodConfig(ConfigModel):
    """Objective and tuning; `lora` is null for full tuning."""

    objective: Literal["sft"]
    tuning: Literal["full", "lora"]
    lora: LoraConfig | None
    quantization: Literal["none"]


class ScheduleConfig(ConfigModel):
    """`warmup` is a share of the steps."""

    type: Literal["cosine", "linear", "constant"]
    warmup: float = Field(ge=0, le=1)


class TrainingConfig(ConfigModel):
    """Resolved hyperparameters. `epochs` counts unless `max_steps` is given; null `evaluate_every` is once an epoch."""

    epochs: float = Field(gt=0)
    max_steps: Positive | None
    learning_rate: float = Field(gt=0)
    schedule: ScheduleConfig
    optimizer: Literal["adamw"]
    precision: Literal["fp32", "bf16", "fp16"]
    micro_batch_size: Positive
    gradient_accumulation_steps: Positive
    global_batch_size: Positive
    max_sequence_length: int = Field(ge=8)
    packing: bool
    loss_on: Literal["completions", "all"]
    evaluate_every: Positive | None
    seed: int = Field(ge=0, le=4294967295)
    deterministic: bool
    activation_checkpointing: bool


class DistributedConfig(ConfigModel):
    """How many processes train together."""

    num_nodes: Positive
    processes_per_node: Positive


class CheckpointConfig(ConfigModel):
    """Checkpoints lie in `uri`/checkpoint-N."""

    uri: str = Field(min_length=1)
    every_seconds: Positive
    every_steps: Positive | None
    keep: Positive


class CardConfig(ConfigModel):
    """What people wrote for the model card."""

    intended_use: str
    limitations: str
    license: str
    contact: str


class OutputConfig(ConfigModel):
    """The artifact's own directory, which must not exist yet."""

    uri: str = Field(min_length=1)
    forms: tuple[Literal["adapter", "merged"], ...] = Field(min_length=1)
    card: CardConfig


class ReportConfig(ConfigModel):
    """Time between progress reports."""

    every_seconds: float = Field(gt=0)


class TrainerConfig(ConfigModel):
    """Everything that one run of the trainer needs to know; nothing else changes the result."""

    version: Literal[1]
    job: JobIdentity
    model: ModelConfig
    datasets: tuple[DatasetConfig, ...] = Field(min_length=1)
    mixing: Literal["concatenate", "interleave"]
    validation: ValidationConfig
    preparation: PreparationConfig
    method: MethodConfig
    training: TrainingConfig
    distributed: DistributedConfig
    checkpoint: CheckpointConfig
    output: OutputConfig
    report: ReportConfig


def json_schema() -> dict[str, Any]:
    """The contract as JSON Schema 2020-12: unknown keys are refused at every level."""
    schema = TrainerConfig.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
