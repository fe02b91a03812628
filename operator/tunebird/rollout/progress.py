"""Where a rollout stands: the data that decisions start from, saved in the resource's status. Never a phase. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Literal

from tunebird.rollout.clumps import Clumps
from tunebird.rollout.evidence import NOTHING, Detector, Tally

HISTORY_LIMIT = 20


@dataclass(frozen=True, slots=True)
class Revision:
    """A model and the servers' specification; `name` is their hash.

    `image` is frozen when the revision is first seen; `server` is the specification as JSON, so that the servers can be
    made again after the resource's own specification has moved on.
    """

    name: str
    digest: str
    uri: str
    job: str = ""
    image: str = ""
    server: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """One line of the story: it becomes an event and an entry of status.history."""

    time: datetime
    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"


@dataclass(frozen=True, slots=True)
class StepProgress:
    """The step that is being done. `ticked` is when the bake clock was last read; None while it stands."""

    index: int
    started: datetime
    baked_seconds: float = 0.0
    ticked: datetime | None = None
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class RolledBack:
    """Why and when; `fingerprint` is the specification's, which must change before the revision is tried again."""

    time: datetime
    reason: str
    message: str
    fingerprint: str
    stable_unavailable: bool = False


class Holder(StrEnum):
    """What stopped the steps until `resume`."""

    VERB = "Paused"
    BREACH = "SLIBreached"
    INCONCLUSIVE = "AnalysisInconclusive"
    DEADLINE = "DeadlineExceeded"


@dataclass(frozen=True, slots=True)
class Hold:
    """The steps stand; traffic stays as it is and is still watched."""

    holder: Holder
    message: str


@dataclass(frozen=True, slots=True)
class Outage:
    """Both arms fail: since when, by which SLI, and the stable arm's tally from which its recovery is counted."""

    since: datetime
    sli: str
    stable: Tally


@dataclass(frozen=True, slots=True)
class Retiring:
    """A revision without traffic whose servers stay until `until`, for a quick way back and for open streams."""

    revision: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one SLI. `reason`: why the newest sample is missing; `step_base`: that when the step began;
    `since`: that when the detectors last began anew, nothing before it speaks for a promotion."""

    sli: str
    canary: Tally = NOTHING
    stable: Tally = NOTHING
    detector: Detector = field(default_factory=Detector)
    clumps: Clumps = field(default_factory=Clumps)
    step_base: Tally = NOTHING
    since: Tally = NOTHING
    value: float | None = None
    fresh: datetime | None = None
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The last counters of one source (a pod, or a series) of one SLI."""

    sli: str
    source: str
    failures: float
    total: float
    born: float = 0.0


@dataclass(frozen=True, slots=True)
class PodBaseline:
    """How often a pod's container had restarted, and how many requests it was working on, at the last sample."""

    pod: str
    restarts: int
    running: float = 0.0


@dataclass(frozen=True, slots=True)
class Measured:
    """All that sampling has found since the canary got traffic."""

    since: datetime | None = None
    sampled: datetime | None = None
    seconds: float = 0.0
    evidence: tuple[Evidence, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    pods: tuple[PodBaseline, ...] = ()


@dataclass(frozen=True, slots=True)
class ConsumedVerb:
    """A verb that was obeyed or refused, and is never looked at again."""

    verb: str
    value: str
    time: datetime
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """Everything that must survive the operator. `weight` is the canary's share that was asked for, `accepted` whether
    every parent of the route has taken it."""

    number: int = 0
    started: datetime | None = None
    stable: Revision | None = None
    canary: Revision | None = None
    step: StepProgress | None = None
    weight: int = 0
    accepted: bool = False
    rolled_back: RolledBack | None = None
    hold: Hold | None = None
    outage: Outage | None = None
    paused: bool = False
    retiring: tuple[Retiring, ...] = ()
    measured: Measured = field(default_factory=Measured)
    consumed: tuple[ConsumedVerb, ...] = ()
    history: tuple[Notice, ...] = ()

    @property
    def trial(self) -> StepProgress | None:
        """The step of a canary that is tried beside stable; None if there is none, or it was rolled back."""
        both = self.canary is not None and self.stable is not None
        return self.step if both and self.rolled_back is None else None

    @property
    def split(self) -> dict[str, int]:
        """The share of each revision in the route; always 100 together."""
        if self.stable is None:
            return {}
        if self.canary is None:
            return {self.stable.name: 100}
        return {self.stable.name: 100 - self.weight, self.canary.name: self.weight}

    def saying(self, notice: Notice) -> Progress:
        """With one more line in the story."""
        return replace(self, history=(*self.history, notice)[-HISTORY_LIMIT:])
