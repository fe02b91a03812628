"""The configuration of one run of the trainer: what the operator writes and the trainer validates before anything else.

The JSON Schema in trainer_image/contract is generated from here; both sides test against it. The operator writes every
field; a person who runs the trainer alone may leave out those with a default.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Positive = Annotated[int, Field(ge=1)]
ObjectiveName = Literal["sft", "continue", "dpo"]
QuantizationName = Literal["none", "nf4", "int8"]
ContentDigest = Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")]


class ConfigModel(BaseModel):
    """A part of the configuration: what decides the result is asked for, and nothing unknown is accepted."""

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
    """The base model. An empty digest is not checked. `chat_template` is model (its own), a named one, or the uri of a
    Jinja file; `attention` is the implementation, auto takes the fastest that is installed."""

    uri: str = Field(min_length=1)
    revision: str = ""
    digest: ContentDigest = ""
    chat_template: str = Field("model", min_length=1)
    attention: Literal["auto", "flash", "sdpa", "eager"] = "auto"


class DatasetConfig(ConfigModel):
    """One source of rows. An empty digest is not checked."""

    name: str = Field(min_length=1)
    uri: str = Field(min_length=1)
    format: Literal["auto", "messages", "promptCompletion", "alpaca", "sharegpt", "text", "preference", "unpaired"] = (
        "auto"
    )
    weight: Positive = 1
    limit: Positive | None = None
    license: str = ""
    revision: str = ""
    digest: ContentDigest = ""


class ValidationConfig(ConfigModel):
    """Share of the rows kept from training, and what is never on both sides."""

    percent: int = Field(ge=0, le=50)
    split_by: Literal["row", "conversation", "user"] = "conversation"


class DeduplicateConfig(ConfigModel):
    """Rows that are equal are used once, always; `near` is the similarity (0 to 1) above which rows count as equal."""

    near: float | None = Field(None, gt=0, le=1)


class PreparationConfig(ConfigModel):
    """What to do with rows that can't be used as they are. The two ceilings are shares of all rows: above them the run
    fails although single rows may be dropped."""

    on_invalid: Literal["Fail", "Drop"]
    on_too_long: Literal["Drop", "Truncate", "Split", "Fail"]
    max_invalid: float = Field(1.0, ge=0, le=1)
    max_too_long: float = Field(1.0, ge=0, le=1)
    deduplicate: DeduplicateConfig = DeduplicateConfig()
    redact: tuple[Literal["email", "phone", "card", "iban", "ip", "secret"], ...] = ()
    on_unsafe: Literal["Keep", "Drop", "Fail"] = "Keep"
    on_contaminated: Literal["Keep", "Drop", "Fail"] = "Drop"


class LoraConfig(ConfigModel):
    """Low-rank adapters. `target_modules` is all-linear or names separated by commas."""

    rank: Positive = 16
    alpha: Positive = 32
    dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: str = Field("all-linear", min_length=1)
    use_dora: bool = False
    use_rslora: bool = False


class ContinueConfig(ConfigModel):
    """Continued pre-training: documents are joined and cut into blocks of so many tokens; null: maxSequenceLength."""

    block_size: int | None = Field(None, ge=8)


class DpoConfig(ConfigModel):
    """Direct preference optimization. An empty `reference` is the model before training."""

    beta: float = Field(0.1, gt=0)
    loss: Literal["sigmoid", "ipo", "hinge", "robust", "apo_zero"] = "sigmoid"
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    reference: str = ""


class MethodConfig(ConfigModel):
    """Objective and tuning; `lora` is null for full tuning. `quantization` is how the frozen base is held; it needs
    lora. `double_quantization` quantizes the constants of nf4 too."""

    objective: ObjectiveName
    tuning: Literal["full", "lora"]
    lora: LoraConfig | None = None
    quantization: QuantizationName = "none"
    double_quantization: bool = True
    continue_: ContinueConfig = Field(ContinueConfig(), alias="continue")
    dpo: DpoConfig = DpoConfig()


class ScheduleConfig(ConfigModel):
    """`warmup` is a share of the steps."""

    type: Literal["cosine", "linear", "constant"]
    warmup: float = Field(ge=0, le=1)


class EarlyStoppingConfig(ConfigModel):
    """Stop after so many evaluations without improvement; the best checkpoint is what is published."""

    patience: Positive


class SamplesConfig(ConfigModel):
    """Answers that are generated and logged during training; null `every_steps` is never."""

    every_steps: Positive | None = None
    prompts: tuple[str, ...] = ()
    max_tokens: Positive = 64


class TrainingConfig(ConfigModel):
    """Resolved hyperparameters. `epochs` counts unless `max_steps` is given; null `evaluate_every` is once an epoch.
    `worst_case_step` runs the longest possible step before the first and undoes it; null is on a GPU."""

    epochs: float = Field(gt=0)
    max_steps: Positive | None = None
    learning_rate: float = Field(gt=0)
    schedule: ScheduleConfig
    optimizer: Literal["adamw", "adamw-8bit", "paged-adamw-8bit", "adafactor", "sgd"]
    precision: Literal["fp32", "bf16", "fp16"]
    micro_batch_size: Positive
    gradient_accumulation_steps: Positive
    global_batch_size: Positive
    max_sequence_length: int = Field(ge=8)
    packing: bool
    loss_on: Literal["completions", "all"]
    evaluate_every: Positive | None = None
    seed: int = Field(ge=0, le=4294967295)
    deterministic: bool
    activation_checkpointing: bool
    max_gradient_norm: float = Field(1.0, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    group_by_length: bool = False
    neftune_alpha: float | None = Field(None, gt=0)
    early_stopping: EarlyStoppingConfig | None = None
    keep_best: bool = False
    samples: SamplesConfig = SamplesConfig()
    trackers: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = ()
    worst_case_step: bool | None = None


class PhaseLimits(ConfigModel):
    """Longest time without a sign of life in each phase, in seconds; then the process counts as hung."""

    load: Positive = 3600
    compile: Positive = 3600
    step: Positive = 1800
    evaluate: Positive = 3600
    save: Positive = 3600
    convert: Positive = 3600


class DistributedConfig(ConfigModel):
    """How many processes train together, and what of the state is sharded. ZeRO stage 0 is plain data parallelism."""

    num_nodes: Positive
    processes_per_node: Positive
    zero_stage: int = Field(0, ge=0, le=3)
    offload_optimizer: Literal["none", "cpu"] = "none"
    offload_parameters: Literal["none", "cpu"] = "none"
    phase_limits: PhaseLimits = PhaseLimits()


class CheckpointConfig(ConfigModel):
    """Checkpoints lie in `uri`/checkpoint-N."""

    uri: str = Field(min_length=1)
    every_seconds: Positive
    every_steps: Positive | None = None
    keep: Positive


class CardConfig(ConfigModel):
    """What people wrote for the model card."""

    intended_use: str = ""
    limitations: str = ""
    license: str = ""
    contact: str = ""


class OutputConfig(ConfigModel):
    """The artifact's own directory, which must not exist yet."""

    uri: str = Field(min_length=1)
    forms: tuple[Literal["adapter", "merged"], ...] = Field(min_length=1)
    card: CardConfig = CardConfig()


class JudgeConfig(ConfigModel):
    """A model behind an OpenAI-compatible endpoint that scores answers; its key comes from TUNEBIRD_JUDGE_API_KEY."""

    endpoint: str = Field(min_length=1)
    model: str = Field(min_length=1)


class GenerationConfig(ConfigModel):
    """How answers are sampled; temperature 0 is greedy."""

    temperature: float = Field(0.0, ge=0)
    max_tokens: Positive = 256
    samples: Positive = 1


class SuiteConfig(ConfigModel):
    """Prompts with checks."""

    name: str = Field(pattern=r"^[A-Za-z][-A-Za-z0-9]*$")
    uri: str = Field(min_length=1)
    digest: ContentDigest = ""
    judge: JudgeConfig | None = None
    generation: GenerationConfig = GenerationConfig()


class GateConfig(ConfigModel):
    """A bound on a metric `<suite>.<metric>`, held against the unfavourable end of its interval. Exactly one of four
    is given; the two regressions compare with `compare_to` (base, or the uri of another artifact), in absolute
    shares or relative to its value."""

    metric: str = Field(pattern=r"^[A-Za-z][-A-Za-z0-9]*\.[A-Za-z][A-Za-z0-9]*$")
    minimum: float | None = None
    maximum: float | None = None
    max_regression_absolute: float | None = Field(None, ge=0)
    max_regression_relative: float | None = Field(None, ge=0)
    compare_to: str = "base"
    confidence: float = Field(0.95, gt=0.5, lt=1)


class EvaluationConfig(ConfigModel):
    """What the trained model must show. `canaries` so many random sequences are planted in the training data, and how
    far the model has memorised them is measured."""

    suites: tuple[SuiteConfig, ...] = ()
    gates: tuple[GateConfig, ...] = ()
    canaries: int = Field(0, ge=0, le=1000)


class ReportConfig(ConfigModel):
    """Time between progress reports."""

    every_seconds: float = Field(2.0, gt=0)


class TrainerConfig(ConfigModel):
    """Everything that one run of the trainer needs to know; nothing else changes the result."""

    version: Literal[1]
    job: JobIdentity
    model: ModelConfig
    datasets: tuple[DatasetConfig, ...] = Field(min_length=1)
    mixing: Literal["concatenate", "interleave"]
    mixing_stop: Literal["firstExhausted", "allExhausted"] = "firstExhausted"
    validation: ValidationConfig
    preparation: PreparationConfig
    method: MethodConfig
    training: TrainingConfig
    distributed: DistributedConfig
    checkpoint: CheckpointConfig
    output: OutputConfig
    report: ReportConfig = ReportConfig()
    evaluation: EvaluationConfig = EvaluationConfig()


def json_schema() -> dict[str, Any]:
    """The contract as JSON Schema 2020-12: unknown keys are refused at every level."""
    schema = TrainerConfig.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
