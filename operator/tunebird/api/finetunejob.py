"""FineTuneJob: the spec as users write it. Method and training are in `method.py`, the status in `jobstatus.py`."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tunebird.api.base import (
    Closed,
    Duration,
    JobRef,
    Model,
    Name,
    Number,
    ObjectMeta,
    Percent,
    Quantity,
    Rate,
    Rule,
    StorageRef,
    Template,
    Text,
    Word,
    keyed,
    one_of,
)
from tunebird.api.jobstatus import FineTuneJobStatus
from tunebird.api.method import Compute, DeepSpeed, Method, Training


class ModelRef(Model):
    """The model that is trained: a source, or the result of another job (SFT, then DPO)."""

    source: StorageRef | None = Field(None, description="Where the model lies.")
    job_ref: JobRef | None = Field(None, description="A finished FineTuneJob whose result is the base.")
    chat_template: Annotated[str, Field(max_length=256)] = Field(
        "model", description="model: the tokenizer's own. Stored in the artifact with the stop tokens."
    )
    RULES = (one_of("source", "jobRef"),)


class Format(StrEnum):
    """How the rows of a dataset look."""

    AUTO = "auto"
    MESSAGES = "messages"
    PROMPT_COMPLETION = "promptCompletion"
    ALPACA = "alpaca"
    SHAREGPT = "sharegpt"
    TEXT = "text"
    PREFERENCE = "preference"
    UNPAIRED = "unpaired"
    PROMPTS = "prompts"


class Dataset(Model):
    """One source of rows."""

    name: Name = Field(description="Name in reports and in the mix.")
    source: StorageRef = Field(description="JSON Lines, JSON, CSV or Parquet; a file or a folder.")
    format: Format = Field(Format.AUTO, description="auto looks at the first rows.")
    weight: int = Field(1, ge=1, le=10000, description="Share in the mix, relative to the other weights.")
    limit: int | None = Field(None, ge=1, description="Use at most this many rows.")
    license: Word | None = Field(None, description="For the model card.")


class Mixing(StrEnum):
    """How datasets are put together."""

    CONCATENATE = "concatenate"
    INTERLEAVE = "interleave"


class SplitBy(StrEnum):
    """What is never on both sides of the split."""

    ROW = "row"
    CONVERSATION = "conversation"
    USER = "user"


class Validation(Model):
    """Rows kept from training, for the validation loss."""

    percent: int = Field(5, ge=0, le=50, description="Share of the rows in percent; 0 trains on all.")
    split_by: SplitBy = Field(SplitBy.CONVERSATION, description="What is never on both sides of the split.")


class Deduplicate(Model):
    """Rows that say the same are used once."""

    near: Rate | None = Field(None, description="Similarity above which rows are the same; exact equality if absent.")


class OnInvalid(StrEnum):
    """What to do with a row that can't be read."""

    FAIL = "Fail"
    DROP = "Drop"


class OnTooLong(StrEnum):
    """What to do with a row above maxSequenceLength."""

    DROP = "Drop"
    TRUNCATE = "Truncate"
    FAIL = "Fail"


class Preparation(Model):
    """What happens to the data before training."""

    deduplicate: Deduplicate | None = Field(None, description="Remove repeated rows.")
    redact: tuple[Literal["email", "phone", "card", "ip", "name"], ...] = Field(
        (), max_length=5, description="Kinds of personal data that are replaced."
    )
    on_invalid: OnInvalid = Field(OnInvalid.FAIL, description="Fail names the row; Drop counts it.")
    on_too_long: OnTooLong = Field(OnTooLong.DROP, description="Drop, Truncate or Fail.")


class Cache(Model):
    """A shared cache of models and prepared data."""

    claim_name: Annotated[str, Field(max_length=253)] = Field(
        description="A PersistentVolumeClaim; RWX if pods share it."
    )


class Checkpoint(Model):
    """Where and how often the state of training is saved."""

    storage: StorageRef = Field(description="Checkpoints lie under <uri>/<uid of the job>.")
    every: Duration = Field("10m", description="Time between checkpoints.")
    every_steps: int | None = Field(None, ge=1, description="Steps between checkpoints, besides the time.")
    keep: int = Field(2, ge=1, le=100, description="How many are kept.")


class FailurePolicy(Model):
    """What happens after a failure that may go away by itself."""

    max_restarts: int = Field(
        3, ge=0, le=100, description="Restarts from the last checkpoint. Preemptions don't count."
    )


class Judge(Model):
    """A model that scores answers."""

    source: StorageRef | None = Field(None, description="The judging model.")
    endpoint: Annotated[str, Field(max_length=512)] | None = Field(None, description="An OpenAI-compatible URL.")


class Generation(Model):
    """How answers are sampled in an evaluation."""

    temperature: Number | None = Field(None, description="0 is greedy.")
    max_tokens: int | None = Field(None, ge=1, le=131072, description="Tokens per answer.")
    samples: int | None = Field(None, ge=1, le=64, description="Answers per prompt.")


class Suite(Model):
    """A set of prompts with checks."""

    name: Name = Field(description="Prefix of its metrics.")
    source: StorageRef = Field(description="JSON Lines of prompts and checks.")
    judge: Judge | None = Field(None, description="A model that scores answers.")
    generation: Generation | None = Field(None, description="How answers are sampled.")


class Regression(Closed):
    """How much worse than the comparison is accepted."""

    absolute: Percent | None = Field(None, description="In percentage points.")
    relative: Percent | None = Field(None, description="Relative to the comparison's value.")
    RULES = (one_of("absolute", "relative"),)


class Gate(Closed):
    """A condition that the model must satisfy, on the interval's unfavourable end."""

    metric: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z][-A-Za-z0-9]*\.[A-Za-z][A-Za-z0-9]*$")] = Field(
        description="<suite>.<metric>"
    )
    minimum: Rate | None = Field(None, description="At least this.")
    maximum: Rate | None = Field(None, description="At most this.")
    max_regression: Regression | None = Field(None, description="At most this much worse than compareTo.")
    compare_to: Annotated[str, Field(max_length=64, pattern=r"^(base|stable|job/[a-z][-a-z0-9]{0,39})$")] | None = (
        Field(None, description="base, stable (the model that is served) or job/<name>. base if absent.")
    )
    confidence: Percent | None = Field(None, description="Level of the interval. 95% if absent.")
    RULES = (
        one_of("minimum", "maximum", "maxRegression"),
        Rule(
            "!has(self.compareTo) || has(self.maxRegression)",
            "compareTo goes with maxRegression only",
            lambda gate: gate.compare_to is None or gate.max_regression is not None,
            "compareTo",
        ),
    )


class Evaluation(Model):
    """Suites that are run after training, and what they must show."""

    suites: Annotated[tuple[Suite, ...], *keyed("name")] = Field((), max_length=16, description="Sets of prompts.")
    gates: tuple[Gate, ...] = Field((), max_length=32, description="All must hold, or the job fails with GateFailed.")
    RULES = (
        Rule(
            "!has(self.gates) || size(self.gates) == 0 || (has(self.suites) && size(self.suites) > 0)",
            "gates need suites",
            lambda evaluation: not evaluation.gates or bool(evaluation.suites),
            "gates",
        ),
    )


class Card(Model):
    """What only people know about the model."""

    intended_use: Text = Field("", description="What it is for.")
    limitations: Text = Field("", description="What it is not for.")
    license: Word = Field("", description="SPDX identifier or name.")
    contact: Word = Field("", description="Who answers questions.")


class Form(StrEnum):
    """A form in which the result is saved."""

    ADAPTER = "adapter"
    MERGED = "merged"


class Output(Model):
    """Where the result goes."""

    storage: StorageRef = Field(description="Run and attempt are appended: <uri>/<uid>-<attempt>.")
    forms: tuple[Form, ...] = Field(
        (), max_length=2, description="adapter, merged. Both for adapters and merged for full tuning if absent."
    )
    card: Card = Field(Card(), description="What only people know about the model.")


class Budget(Model):
    """What a job may cost; checked against the plan before anything starts."""

    gpu_hours: Annotated[Quantity, Field(description="GPU-hours over all attempts.")]


class DeletionPolicy(StrEnum):
    """What deleting the resource leaves."""

    KEEP_ARTIFACT = "KeepArtifact"
    DELETE_ARTIFACT = "DeleteArtifact"


class FineTuneJobSpec(Model):
    """What to train, from what, how and where. Immutable but for suspend, deadlines, TTL, budget and failurePolicy."""

    model: ModelRef = Field(description="The model that is trained.")
    datasets: Annotated[tuple[Dataset, ...], *keyed("name")] = Field(
        min_length=1, max_length=32, description="Mixed by weight."
    )
    mixing: Mixing = Field(Mixing.CONCATENATE, description="concatenate, or interleave by weight.")
    validation: Validation = Field(Validation(), description="Rows kept from training.")
    preparation: Preparation = Field(Preparation(), description="What happens to the data before training.")
    method: Method = Field(Method(), description="Objective and tuning.")
    training: Training = Field(Training(), description="Hyperparameters; absent ones follow from the plan.")
    compute: Compute = Field(Compute(), description="Nodes, GPUs and the pod.")
    deepspeed: DeepSpeed | None = Field(None, description="DeepSpeed ZeRO, for many GPUs.")
    cache: Cache | None = Field(None, description="Shared cache of models; without it each pod fetches.")
    checkpoint: Checkpoint | None = Field(
        None, description="Where the state of training is saved; beside the output if absent."
    )
    failure_policy: FailurePolicy = Field(FailurePolicy(), description="Restarts after failures.")
    evaluation: Evaluation | None = Field(None, description="Suites and gates. A job without gates ends Ungated.")
    output: Output = Field(description="Where the result goes.")
    budget: Budget | None = Field(None, description="What the job may cost.")
    queue_name: Annotated[str, Field(max_length=253)] | None = Field(None, description="Kueue LocalQueue.")
    trainer: Template | None = Field(None, description="Reserved for an image and command of your own.")
    suspend: bool = Field(False, description="Stop at the next checkpoint and hold; false goes on from it.")
    active_deadline_seconds: int | None = Field(
        None, ge=1, description="Longest time from start to end; then it fails."
    )
    pending_deadline_seconds: int | None = Field(
        None, ge=1, description="Longest wait for a pod to run; then it fails."
    )
    ttl_seconds_after_finished: int | None = Field(
        None, ge=0, description="When finished for so long, pods and Jobs are deleted; never this resource."
    )
    deletion_policy: DeletionPolicy = Field(
        DeletionPolicy.KEEP_ARTIFACT, description="Whether deleting this resource deletes the artifact too."
    )
    service_account_name: Annotated[str, Field(max_length=253)] | None = Field(
        None, description="ServiceAccount of the pods, for workload identity; its token is not mounted."
    )
    MUTABLE: ClassVar[frozenset[str]] = frozenset(
        {
            "suspend",
            "activeDeadlineSeconds",
            "pendingDeadlineSeconds",
            "ttlSecondsAfterFinished",
            "budget",
            "failurePolicy",
        }
    )


class FineTuneJob(Model):
    """FineTuneJob fine-tunes a language model on a cluster and publishes the result as an artifact with a digest."""

    api_version: str = Field("tunebird.dev/v1alpha1", description="Versioned schema of this object.")
    kind: str = Field("FineTuneJob", description="The REST resource that this object represents.")
    metadata: ObjectMeta
    spec: FineTuneJobSpec = Field(description="What to train.")
    status: FineTuneJobStatus = Field(FineTuneJobStatus(), description="What became of it; written by the operator.")
