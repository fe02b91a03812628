"""Hyperparameters of a FineTuneJob, and the variables of its trainer."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from tunebird.api.base import Model, Number, Percent, Rule, Text, Word, one_of


class ScheduleType(StrEnum):
    """How the learning rate goes from its peak."""

    COSINE = "cosine"
    LINEAR = "linear"
    CONSTANT = "constant"


class Schedule(Model):
    """The learning rate over the run."""

    type: ScheduleType = Field(ScheduleType.COSINE, description="Shape after the warm-up.")
    warmup: Percent = Field("5%", description="Share of the steps in which the rate rises from zero.")


class EarlyStopping(Model):
    """Stop when the validation loss no longer falls."""

    patience: int = Field(3, ge=1, le=1000, description="Evaluations without improvement before stopping.")


class Optimizer(StrEnum):
    """The optimizer and the precision of its state."""

    AUTO = "auto"
    ADAMW = "adamw"
    ADAMW_8BIT = "adamw-8bit"
    PAGED_ADAMW_8BIT = "paged-adamw-8bit"
    ADAFACTOR = "adafactor"
    SGD = "sgd"


class Precision(StrEnum):
    """Number format of the computation."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class LossOn(StrEnum):
    """Which tokens are learned."""

    COMPLETIONS = "completions"
    ALL = "all"


class SecretKey(Model):
    """One key of a Secret or ConfigMap."""

    name: Word = Field(description="Name of the object.")
    key: Word = Field(description="Key in it.")
    optional: bool | None = Field(None, description="Whether the object or key may be missing.")


class EnvSource(Model):
    """Where a variable's value comes from."""

    secret_key_ref: SecretKey | None = Field(None, description="A key of a Secret.")
    config_map_key_ref: SecretKey | None = Field(None, description="A key of a ConfigMap.")
    RULES = (one_of("secretKeyRef", "configMapKeyRef"),)


class EnvVar(Model):
    """An environment variable of the trainer container."""

    name: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = Field(description="Its name.")
    value: Text | None = Field(None, description="Its value. Never put a secret here: use valueFrom.")
    value_from: EnvSource | None = Field(None, description="Where its value comes from.")
    RULES = (
        Rule(
            "!(has(self.value) && has(self.valueFrom))",
            "value and valueFrom exclude each other",
            lambda env: env.value is None or env.value_from is None,
        ),
    )


class Samples(Model):
    """Answers that are generated and logged while the model trains."""

    every_steps: int = Field(100, ge=1, description="Steps between them.")
    prompts: tuple[Annotated[str, Field(max_length=2048)], ...] = Field(
        min_length=1, max_length=16, description="What is asked."
    )
    max_tokens: int = Field(64, ge=1, le=4096, description="Longest answer in tokens.")


class Training(Model):
    """Hyperparameters. What is absent follows from objective, tuning and hardware, and is shown in status.plan."""

    epochs: int | None = Field(
        None, ge=1, le=1000, description="Passes over the data. Without it and maxSteps: 3 for sft, 1 for others."
    )
    max_steps: int | None = Field(None, ge=1, le=10000000, description="Optimizer steps, instead of epochs.")
    learning_rate: Number | None = Field(None, description="Peak learning rate as a string, e.g. 2.0e-4.")
    schedule: Schedule = Field(Schedule(), description="The learning rate over the run.")
    optimizer: Optimizer = Field(Optimizer.AUTO, description="The optimizer; auto is AdamW. The 8-bit ones need a GPU.")
    weight_decay: Number | None = Field(None, description="Decay of weights in each step, as a string. 0 if absent.")
    max_gradient_norm: Number | None = Field(
        None, description="Gradients are clipped to this norm; 0 doesn't clip. 1 if absent."
    )
    precision: Precision = Field(Precision.AUTO, description="auto is bf16 on a GPU and fp32 on a CPU.")
    global_batch_size: int | None = Field(
        None,
        ge=1,
        le=1048576,
        description="Sequences per optimizer step; micro-batch and accumulation follow from the plan.",
    )
    max_sequence_length: int | None = Field(None, ge=8, le=1048576, description="Tokens; longer rows follow onTooLong.")
    packing: bool = Field(False, description="Put several rows into one sequence, with attention kept apart.")
    group_by_length: bool = Field(
        False, description="Batch rows of similar length: less padding, at the cost of a less random order."
    )
    neftune_alpha: Number | None = Field(
        None, description="Noise on the embeddings (NEFTune), e.g. 5; none if absent. sft only."
    )
    loss_on: LossOn = Field(LossOn.COMPLETIONS, description="Learn answers only, or every token.")
    evaluate_every: int | None = Field(None, ge=1, description="Steps between validations; once per epoch if absent.")
    early_stopping: EarlyStopping | None = Field(
        None, description="Stop when the validation loss no longer falls. The best checkpoint is what is published."
    )
    keep_best: bool = Field(
        False, description="Publish the checkpoint with the lowest validation loss instead of the last one."
    )
    samples: Samples | None = Field(None, description="Answers that are generated and logged while it trains.")
    trackers: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = Field(
        (),
        max_length=3,
        description="Where curves go besides the log. Addresses and keys come from env: MLFLOW_TRACKING_URI, "
        "WANDB_API_KEY.",
    )
    seed: int = Field(42, ge=0, le=4294967295, description="Seed of data order, initialization and dropout.")
    deterministic: bool = Field(False, description="Bitwise repeatable kernels, at the cost of speed.")
    env: tuple[EnvVar, ...] = Field((), max_length=64, description="Variables for the trainer (W&B, MLflow, NCCL).")
    RULES = (
        Rule(
            "!(has(self.epochs) && has(self.maxSteps))",
            "epochs and maxSteps exclude each other",
            lambda training: training.epochs is None or training.max_steps is None,
        ),
    )
