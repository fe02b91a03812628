"""FineTuneJob: the spec as users write it. Its larger parts are in files of their own, the status in `jobstatus.py`."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from tunebird.api.base import (
    Duration,
    JobRef,
    Model,
    ObjectMeta,
    Quantity,
    StorageRef,
    Template,
    Text,
    Word,
    keyed,
    one_of,
)
from tunebird.api.compute import Compute, DeepSpeed
from tunebird.api.data import Dataset, Mixing, MixingStop, Preparation, Validation
from tunebird.api.evaluation import Evaluation
from tunebird.api.jobstatus import FineTuneJobStatus
from tunebird.api.method import Method
from tunebird.api.training import Training


class ModelRef(Model):
    """The model that is trained: a source, or the result of another job (SFT, then DPO)."""

    source: StorageRef | None = Field(None, description="Where the model lies.")
    job_ref: JobRef | None = Field(
        None,
        description="Another FineTuneJob whose merged result is the base (SFT, then DPO); it is waited for.",
    )
    chat_template: Annotated[str, Field(max_length=256)] = Field(
        "model",
        description="model: the tokenizer's own; the name of a known one (chatml, llama3 …); or the pvc:// uri of a "
        "Jinja file. Training, evaluation and serving use the same one: it is stored in the artifact.",
    )
    RULES = (one_of("source", "jobRef"),)


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

    storage: StorageRef = Field(
        description="Run and attempt are appended: <uri>/<uid>-<attempt>; in a registry as a tag."
    )
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
    mixing_stop: MixingStop = Field(
        MixingStop.FIRST_EXHAUSTED,
        description="interleave ends when the first dataset is used up, or goes on with repeats until all are.",
    )
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
    budget: Budget | None = Field(None, description="What the job may cost. Not supported by this version.")
    queue_name: Annotated[str, Field(max_length=253)] | None = Field(
        None, description="Kueue LocalQueue. Not supported by this version."
    )
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
