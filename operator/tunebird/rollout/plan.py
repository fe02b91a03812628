"""The specification with its defaults resolved, in our own values. The mapping is in `resolve.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tunebird.metrics.provider import Measure, Source

Json = Mapping[str, Any]


class Runtime(StrEnum):
    """What serves the model."""

    TUNEBIRD = "tunebird"
    VLLM = "vllm"
    CUSTOM = "custom"


class OnBreach(StrEnum):
    ROLLBACK = "Rollback"
    PAUSE = "Pause"


class OnInconclusive(StrEnum):
    HOLD = "Hold"
    PAUSE = "Pause"
    ROLLBACK = "Rollback"


class OnDeadline(StrEnum):
    PAUSE = "Pause"
    ROLLBACK = "Rollback"


@dataclass(frozen=True, slots=True)
class Server:
    """The user's server specification; an empty `image` means the runtime's default."""

    runtime: Runtime
    image: str
    replicas: int
    port: int
    args: tuple[str, ...]
    gpus: int
    gpu_resource: str
    template: Json

    @property
    def identity(self) -> Json:
        """What a revision is made of besides the model: everything but the number of replicas."""
        return {
            "runtime": str(self.runtime),
            "image": self.image,
            "port": self.port,
            "args": list(self.args),
            "gpus": self.gpus,
            "gpuResource": self.gpu_resource,
            "template": self.template,
        }


@dataclass(frozen=True, slots=True)
class SetWeight:
    weight: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Bake:
    seconds: float
    min_samples: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """Without `seconds` it waits for the verb `promote`."""

    seconds: float | None
    name: str = ""


Step = SetWeight | Bake | Pause


@dataclass(frozen=True, slots=True)
class Limit:
    """At most this rate of failures among events."""

    maximum: float


@dataclass(frozen=True, slots=True)
class Threshold:
    """A value between these ends."""

    minimum: float | None
    maximum: float | None


@dataclass(frozen=True, slots=True)
class Sli:
    """An indicator, where it is read, and its rule."""

    name: str
    provider: str
    measure: Measure
    rule: Limit | Threshold
    min_samples: int = 10
    observe_only: bool = False


@dataclass(frozen=True, slots=True)
class Analysis:
    """`alpha` is the chance, at most, that a good model is rolled back by the limit tests together."""

    interval: float
    alpha: float
    on_breach: OnBreach
    on_inconclusive: OnInconclusive
    slis: tuple[Sli, ...]

    @property
    def alpha_each(self) -> float:
        """α of one limit test."""
        tests = sum(1 for sli in self.slis if isinstance(sli.rule, Limit) and not sli.observe_only)
        return self.alpha / max(1, tests)


@dataclass(frozen=True, slots=True)
class Gateway:
    """The HTTPRoute's parts that the user writes, in the Gateway API's own form."""

    parent_refs: tuple[Json, ...]
    hostnames: tuple[str, ...]
    matches: tuple[Json, ...]
    timeouts: Json


@dataclass(frozen=True, slots=True)
class Model:
    """Where the model comes from: a FineTuneJob's name, or a place with a digest."""

    job: str
    uri: str
    digest: str
    revision: str = ""
    secret: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """All of the specification. Durations are seconds; `canary_replicas` None means as many as its weight needs."""

    name: str
    namespace: str
    uid: str
    model: Model
    server: Server
    service_name: str
    service_port: int
    gateway: Gateway
    sources: tuple[Source, ...]
    analysis: Analysis
    steps: tuple[Step, ...]
    canary_replicas: int | None
    progress_deadline: float
    on_deadline: OnDeadline
    scale_down_delay: float
    paused: bool
    revision_history_limit: int
    fingerprint: str

    def weight_at(self, index: int) -> int:
        """The canary's share in step `index`: the last one set up to there."""
        return next((step.weight for step in reversed(self.steps[: index + 1]) if isinstance(step, SetWeight)), 0)

    def own_seconds(self, index: int) -> float:
        """How long step `index` takes by itself."""
        match self.steps[index] if index < len(self.steps) else None:
            case Bake(seconds=seconds):
                return seconds
            case Pause(seconds=float(seconds)):
                return seconds
            case _:
                return 0.0

    @property
    def planned_seconds(self) -> float:
        """The time that the steps take together; at least a minute."""
        return max(60.0, sum(self.own_seconds(index) for index in range(len(self.steps))))
