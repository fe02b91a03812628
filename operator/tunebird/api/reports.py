"""What a trainer says on its way (progress report) and at its end (termination message): read with bounds."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tunebird.api.base import Digest

Finite = Annotated[float, Field(allow_inf_nan=False)]


def _clean(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text).strip()


class Told(BaseModel):
    """A frozen part of what a trainer said; unknown fields are ignored."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore", protected_namespaces=()
    )


class Metric(Told):
    """A number by name, as text (Kubeflow's trainerStatus has it so)."""

    name: str = Field(max_length=128)
    value: str = Field(max_length=64)


class TrainerStatus(Told):
    """Kubeflow's trainerStatus."""

    progress_percentage: int | None = Field(None, ge=0, le=100)
    estimated_remaining_seconds: int | None = Field(None, ge=0)
    metrics: tuple[Metric, ...] = Field((), max_length=256)
    last_updated_time: str = Field("", max_length=64)


class Progress(Told):
    """How far the training is, in Tunebird's own terms."""

    attempt: int = Field(ge=1)
    phase: str = Field("", max_length=64)
    step: int = Field(0, ge=0)
    of: int = Field(0, ge=0)
    epoch: Finite | None = Field(None, ge=0)
    loss: Finite | None = None
    eval_loss: Finite | None = None
    learning_rate: Finite | None = None
    tokens_per_second: Finite | None = Field(None, ge=0)
    eta_seconds: int | None = Field(None, ge=0)
    checkpoint: str | None = Field(None, max_length=128)
    activity: Annotated[str, AfterValidator(_clean)] = Field("", max_length=128)


class Report(Told):
    """Body of a progress report. `attempt` tells it from those of an earlier pod."""

    trainer_status: TrainerStatus = TrainerStatus()
    tunebird: Progress

    @property
    def attempt(self) -> int:
        return self.tunebird.attempt


class FormResult(Told):
    """One form of the artifact."""

    path: str = Field(max_length=128)
    digest: Digest


class ArtifactResult(Told):
    """The artifact of a run that succeeded."""

    uri: str = Field(min_length=1, max_length=1024)
    digest: Digest
    forms: dict[str, FormResult] = Field(default_factory=dict, max_length=8)
    base_digest: str = Field("", max_length=128)
    data_digest: str = Field("", max_length=128)
    config_digest: str = Field("", max_length=128)
    code_digest: str = Field("", max_length=128)


class GateTold(Told):
    """One metric of the evaluation; `passed` and `limit` where a gate asks for it."""

    metric: str = Field(min_length=1, max_length=128)
    value: Finite | None = None
    low: Finite | None = None
    high: Finite | None = None
    limit: Finite | None = None
    bound: str = Field("", max_length=64)
    compare_to: str = Field("", max_length=1024)
    passed: bool | None = None


class Termination(Told):
    """The termination message: at most 4096 bytes of JSON in the container's status."""

    v: int = 1
    attempt: int = Field(0, ge=0)
    phase: str = Field("", max_length=64)
    reason: str = Field("", max_length=64, pattern=r"^([A-Za-z][A-Za-z0-9]*)?$")
    exit_code: int | None = None
    message: Annotated[str, AfterValidator(_clean)] = Field("", max_length=4096)
    step: int | None = Field(None, ge=0)
    of: int | None = Field(None, ge=0)
    checkpoint: str | None = Field(None, max_length=128)
    checkpoint_digest: str | None = Field(None, max_length=128)
    peak_bytes: int | None = Field(None, ge=0)
    artifact: ArtifactResult | None = None
    metrics: dict[str, Finite | None] = Field(default_factory=dict, max_length=64)
    evaluation: tuple[GateTold, ...] = Field((), max_length=64)
