"""ModelRollout's status: what the operator writes. Numbers that are not whole are strings."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tunebird.api.base import Conditions, ConsumedVerb, Model, Time, Word

Line = Annotated[str, Field(max_length=1024)]
Figure = Annotated[str, Field(max_length=32)]
Weight = Annotated[int, Field(ge=0, le=100)]


class RolloutPhase(StrEnum):
    """Where the rollout is, for people. Programs read conditions."""

    INITIALIZING = "Initializing"
    HEALTHY = "Healthy"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    DEGRADED = "Degraded"


class RolloutRun(Model):
    """The rollout that is running, or the last one."""

    number: int = Field(0, ge=0, description="1, 2, 3 …; never repeats.")
    started: Time | None = Field(None, description="When it began.")
    ended: Time | None = Field(None, description="When it was promoted, rolled back or superseded.")


class RevisionStatus(Model):
    """A revision in the role of stable or canary."""

    revision: Word = Field("", description="Hash of the model's digest and the server, without replicas.")
    digest: Word = Field("", description="Digest of the model.")
    uri: Line = Field("", description="Where the model lies.")
    job: Word = Field("", description="FineTuneJob that it comes from.")
    image: Line = Field("", description="Image of the server.")
    replicas: int = Field(0, ge=0, description="Pods wanted.")
    ready_replicas: int = Field(0, ge=0, description="Pods ready.")
    weight: Weight = Field(0, description="Percent of the traffic asked for.")
    accepted_weight: Weight | None = Field(None, description="Percent that the data plane accepted.")
    measured_weight: Figure | None = Field(None, description="Percent of the requests that were counted.")
    since: Time | None = Field(None, description="When it took this role.")


class StepStatus(Model):
    """The step that is running."""

    index: int = Field(0, ge=0, description="From 0.")
    of: int = Field(0, ge=0, description="Number of steps.")
    kind: Word = Field("", description="setWeight, bake, pause, mirror or probe.")
    name: Word = Field("", description="Its name in the spec.")
    summary: Word = Field("", description="For people: 3/7 bake 1h.")
    started: Time | None = Field(None, description="When it began.")
    baked_seconds: int = Field(0, ge=0, description="Seconds of baking at the accepted weight.")
    deadline: Time | None = Field(None, description="When progressDeadline ends it.")
    waiting_for: Line = Field("", description="What it waits for.")


class SliStatus(Model):
    """The verdict on one SLI."""

    name: Word = Field(description="Name of the SLI.")
    verdict: Word = Field("", description="Pass, Fail or Inconclusive.")
    reason: Word = Field("", description="Why: NoData, TooFewSamples …")
    message: Line = Field("", description="The verdict in one sentence.")
    canary_good: Figure = Field("", description="Good events of the canary.")
    canary_total: Figure = Field("", description="Events of the canary.")
    stable_good: Figure = Field("", description="Good events of stable.")
    stable_total: Figure = Field("", description="Events of stable.")
    value: Figure = Field("", description="Canary's share of bad events, or the number of a Threshold.")
    bound: Figure = Field("", description="Confidence bound, or e-value.")
    limit: Figure = Field("", description="What was asked for.")
    observe_only: bool = Field(False, description="Never acted on.")
    state: Annotated[str, Field(max_length=8192)] = Field(
        "", description="The detector's saved state, for the operator."
    )
    updated: Time | None = Field(None, description="When it was last measured.")


class HistoryEntry(Model):
    """One event of the past; Kubernetes forgets its own after an hour."""

    time: Time = Field(description="When.")
    rollout: int = Field(0, ge=0, description="Number of the rollout.")
    revision: Word = Field("", description="Revision that it is about.")
    reason: Word = Field("", description="Reason of the event.")
    message: Line = Field("", description="Text of the event.")


class RevisionRecord(Model):
    """A revision that was served or tried before."""

    revision: Word = Field(description="Its hash.")
    digest: Word = Field("", description="Digest of its model.")
    outcome: Word = Field("", description="Promoted, RolledBack or Superseded.")
    rollout: int = Field(0, ge=0, description="Number of the rollout.")


class ModelRolloutStatus(Model):
    """What became of the rollout."""

    observed_generation: int = Field(0, ge=0, description="metadata.generation that this is about.")
    phase: RolloutPhase | None = Field(None, description="Where it is, for people.")
    message: Annotated[str, Field(max_length=4096)] = Field("", description="The most important thing in one sentence.")
    summary: Word = Field("", description="The beginning of the message, for kubectl get.")
    rollout: RolloutRun | None = Field(None, description="The rollout that is running, or the last one.")
    stable: RevisionStatus | None = Field(None, description="The revision that serves.")
    canary: RevisionStatus | None = Field(None, description="The revision that is tried.")
    step: StepStatus | None = Field(None, description="The step that is running.")
    analysis: tuple[SliStatus, ...] = Field((), max_length=20, description="Verdicts by SLI.")
    history: tuple[HistoryEntry, ...] = Field((), max_length=20, description="The newest events, oldest first.")
    revisions: tuple[RevisionRecord, ...] = Field((), max_length=20, description="Outcomes of the past.")
    consumed_verbs: tuple[ConsumedVerb, ...] = Field((), max_length=10, description="Verbs that were acted on.")
    replicas: int = Field(0, ge=0, description="Pods of the stable revision, for the scale subresource.")
    selector: Line = Field("", description="Label selector of the stable revision's pods, for autoscalers.")
    progress: Annotated[str, Field(max_length=32768)] = Field(
        "", description="The operator's own record of the rollout as JSON; not an interface."
    )
    conditions: Conditions = Field(())
