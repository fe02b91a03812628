"""FineTuneJob's status: what the operator writes. Numbers that are not whole are strings."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tunebird.api.base import Conditions, ConsumedVerb, Model, Time, Word

Line = Annotated[str, Field(max_length=1024)]
Figure = Annotated[str, Field(max_length=32)]
Uri = Annotated[str, Field(max_length=1024)]


class JobPhase(StrEnum):
    """Where the job is, for people. Programs read conditions."""

    PENDING = "Pending"
    PREPARING = "Preparing"
    PLANNED = "Planned"
    QUEUED = "Queued"
    RUNNING = "Running"
    EVALUATING = "Evaluating"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SUSPENDED = "Suspended"


class Choice(Model):
    """A value of the plan, and why it is this one."""

    field: Word = Field(description="Path in the spec.")
    value: Line = Field(description="The value that is used.")
    reason: Line = Field(description="spec, or the rule that it follows from.")


class PlanStatus(Model):
    """What was resolved before the first attempt; a running job is never planned anew by an upgrade."""

    summary: Line = Field("", description="The plan in one line.")
    hash: Word = Field("", description="Hash of the trainer's configuration, without the attempt.")
    objective: Word = Field("", description="What is learned.")
    tuning: Word = Field("", description="Which parameters learn.")
    quantization: Word = Field("", description="How the frozen base is stored.")
    choices: tuple[Choice, ...] = Field((), max_length=96, description="Each resolved value with its reason.")
    warnings: tuple[Line, ...] = Field((), max_length=16, description="What is unusual about it.")


class AttemptStatus(Model):
    """One run of the trainer. The number never repeats."""

    number: int = Field(ge=1, description="1, 2, 3 …")
    job_name: Word = Field("", description="Name of its Job.")
    job_uid: Word = Field("", description="uid of its Job, once it was seen.")
    created: Time | None = Field(None, description="When it was decided.")
    start: Time | None = Field(None, description="When the trainer's container started.")
    end: Time | None = Field(None, description="When it ended.")
    reason: Word = Field("", description="Why it ended: Succeeded, Suspended or the reason of the failure.")
    message: Annotated[str, Field(max_length=4096)] = Field("", description="What happened, and what would fix it.")
    exit_code: int | None = Field(None, description="Exit code of the trainer.")
    checkpoint: Word = Field("", description="Newest checkpoint that it reported.")
    counted: bool = Field(False, description="Whether its failure counted against maxRestarts.")


class JobProgress(Model):
    """How far the training is."""

    attempt: int = Field(0, ge=0, description="Attempt that reported it.")
    phase: Word = Field("", description="What the trainer is doing.")
    activity: Word = Field(
        "",
        description="How far this phase is where no step tells it, e.g. 10/20 answers; changes every 10 s at most.",
    )
    step: int = Field(0, ge=0, description="Optimizer steps done.")
    of: int = Field(0, ge=0, description="Optimizer steps of the whole run.")
    summary: Word = Field("", description="step/of.")
    epoch: Figure = Field("", description="Epochs done.")
    loss: Figure = Field("", description="Training loss.")
    eval_loss: Figure | None = Field(None, description="Validation loss.")
    tokens_per_second: Figure | None = Field(None, description="Speed over all GPUs.")
    eta_seconds: int | None = Field(None, ge=0, description="Seconds left.")
    eta: Word = Field("", description="Time left, for people.")
    checkpoint: Word = Field("", description="Newest checkpoint.")
    updated: Time | None = Field(None, description="When the trainer said so.")


class DataStatus(Model):
    """What the data turned out to be."""

    digest: Word = Field("", description="Digest of the prepared data.")
    rows: int | None = Field(None, ge=0, description="Rows used for training.")
    dropped: int | None = Field(None, ge=0, description="Rows left out.")
    tokens: int | None = Field(None, ge=0, description="Tokens per epoch.")


class GateResult(Model):
    """One metric, its interval and its gate."""

    metric: Word = Field(description="<suite>.<metric>")
    value: Figure = Field("", description="Point estimate.")
    low: Figure = Field("", description="Lower end of the interval.")
    high: Figure = Field("", description="Upper end of the interval.")
    limit: Figure = Field("", description="What the gate asked for; empty where no gate asks for this metric.")
    bound: Word = Field("", description="minimum, maximum, or the kind of regression that the limit is of.")
    compare_to: Uri = Field("", description="Artifact that a regression is measured against, if not the base.")
    passed: bool | None = Field(
        None, description="Whether the interval's unfavourable end holds; absent where there is no gate."
    )


class ReferenceStatus(Model):
    """Another job's result that this job uses, resolved once."""

    job: Word = Field(description="Name of the FineTuneJob.")
    uri: Uri = Field(description="Its artifact.")
    digest: Word = Field(description="Digest of the merged model.")
    secret: Annotated[str, Field(max_length=253)] = Field("", description="Secret that its output was written with.")


class ArtifactForm(Model):
    """One form of the artifact."""

    path: Word = Field(description="Folder under the artifact's uri.")
    digest: Word = Field(description="Digest of the folder.")


class Servable(Model):
    """Whether a runtime loads the artifact."""

    runtime: Word = Field(description="vllm, tunebird …")
    form: Word = Field(description="merged or adapter.")
    loads: bool = Field(description="Whether it does.")
    reason: Line = Field("", description="Why not.")


class Artifact(Model):
    """The result: immutable, named by its digest."""

    uri: Uri = Field(description="Where it lies.")
    digest: Word = Field(description="Digest of all files.")
    base_digest: Word = Field("", description="Digest of the base model.")
    data_digest: Word = Field("", description="Digest of the data.")
    config_digest: Word = Field("", description="Digest of the configuration.")
    code_digest: Word = Field("", description="Digest of the trainer's code and packages.")
    forms: dict[Annotated[str, Field(max_length=32)], ArtifactForm] = Field(
        default_factory=dict, max_length=8, description="Its forms by name."
    )
    gates_passed: bool = Field(False, description="Whether gates exist and all passed: what jobSelector asks for.")
    gates_reason: Word = Field("", description="Ungated, GatesPassed, GateFailed or EvaluationInconclusive.")
    card: Uri = Field("", description="Where the model card lies.")
    provenance: Uri = Field("", description="Where the record of how it was made lies.")
    servable: tuple[Servable, ...] = Field((), max_length=16, description="What each runtime makes of it.")


class Cost(Model):
    """What the job has used."""

    gpu_hours: Figure = Field("0", description="GPU-hours over all attempts.")


class FineTuneJobStatus(Model):
    """What became of the job."""

    observed_generation: int = Field(0, ge=0, description="metadata.generation that this is about.")
    phase: JobPhase | None = Field(None, description="Where the job is, for people.")
    reason: Word = Field("", description="Why it is in this phase, in one CamelCase word; empty while all is well.")
    message: Annotated[str, Field(max_length=4096)] = Field("", description="The most important thing in one sentence.")
    summary: Word = Field("", description="The beginning of the message, for kubectl get.")
    start_time: Time | None = Field(None, description="When it became active; activeDeadlineSeconds counts from here.")
    completion_time: Time | None = Field(
        None, description="When it finished; ttlSecondsAfterFinished counts from here."
    )
    cleanup_time: Time | None = Field(None, description="When ttlSecondsAfterFinished had its children deleted.")
    restarts: int = Field(0, ge=0, description="Counted restarts since the start or the last retry.")
    conditions: Conditions = Field(())
    plan: PlanStatus | None = Field(None, description="What was resolved.")
    references: tuple[ReferenceStatus, ...] = Field(
        (), max_length=32, description="Results of other jobs that this job uses, resolved before its first attempt."
    )
    attempts: tuple[AttemptStatus, ...] = Field((), max_length=10, description="The newest ten runs, oldest first.")
    progress: JobProgress | None = Field(None, description="How far the training is.")
    data: DataStatus | None = Field(None, description="What the data turned out to be.")
    evaluation: tuple[GateResult, ...] = Field((), max_length=64, description="Metrics and gates.")
    artifact: Artifact | None = Field(None, description="The result.")
    cost: Cost | None = Field(None, description="What the job has used.")
    consumed_verbs: tuple[ConsumedVerb, ...] = Field((), max_length=10, description="Verbs that were acted on.")
