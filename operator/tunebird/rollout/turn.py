"""What a decision is made from, and a decision in the making. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import ceil
from typing import Literal

from tunebird.rollout.analysis import Verdict, verdicts
from tunebird.rollout.counting import Arms, Round
from tunebird.rollout.plan import Bake, Plan
from tunebird.rollout.progress import Notice, Progress, Retiring, Revision, RolledBack, StepProgress
from tunebird.rollout.trouble import Trouble


@dataclass(frozen=True, slots=True)
class ServerSeen:
    """A revision's servers as they are: pods asked for, pods that answer, and why another doesn't."""

    replicas: int
    ready: int
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class RouteSeen:
    """The live route: each revision's share, the same in every rule (else None), and whether all parents accept it.

    `shadow` says which older route gets its requests.
    """

    shares: Mapping[str, int] | None
    accepted: bool
    message: str = ""
    shadow: str = ""


@dataclass(frozen=True, slots=True)
class Verb:
    """An annotation that asks for something: ``promote`` with ``3/2``."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that a decision may look at. `target` is what the specification names, None with `waiting` why not."""

    now: datetime
    plan: Plan
    progress: Progress
    target: Revision | None
    waiting: str = ""
    servers: Mapping[str, ServerSeen] = field(default_factory=dict)
    route: RouteSeen | None = None
    round: Round | None = None
    verbs: tuple[Verb, ...] = ()

    def ready(self, revision: Revision | None) -> int:
        """Pods of a revision that answer."""
        server = self.servers.get(revision.name) if revision else None
        return server.ready if server else 0

    def trouble(self, revision: Revision | None) -> Trouble | None:
        """Why a pod of a revision doesn't get ready, where that is known."""
        server = self.servers.get(revision.name) if revision else None
        return server.trouble if server else None


@dataclass(frozen=True, slots=True)
class Turn:
    """One pass: what was seen, the progress so far, and the lines that it adds to the story."""

    seen: Observed
    progress: Progress
    notices: tuple[Notice, ...] = ()

    def say(self, reason: str, message: str, kind: Literal["Normal", "Warning"] = "Normal") -> Turn:
        notice = Notice(self.seen.now, reason, message, kind)
        return replace(self, progress=self.progress.saying(notice), notices=(*self.notices, notice))

    def but(self, progress: Progress) -> Turn:
        return replace(self, progress=progress)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """On what is known by now, for the step that is being done."""
        seen, step = self.seen, self.progress.trial
        current = seen.plan.steps[step.index] if step and step.index < len(seen.plan.steps) else None
        wanted = current.min_samples if isinstance(current, Bake) else 0
        return verdicts(seen.plan, self.progress.measured, seen.now, wanted)

    @property
    def arms(self) -> Arms | None:
        """The two revisions of a trial; None where there is nothing to compare."""
        canary, stable = self.progress.canary, self.progress.stable
        return Arms(canary.name, stable.name) if canary and stable and self.progress.trial else None


def capacity(plan: Plan, weight: int) -> int:
    """Canary pods that must be ready before it gets `weight` percent."""
    if weight >= 100:
        return max(1, plan.server.replicas)
    if plan.canary_replicas is not None:
        return max(1, plan.canary_replicas)
    return max(1, ceil(weight * plan.server.replicas / 100))


def rolled_back(turn: Turn, reason: str, message: str) -> Turn:
    """The canary is given up; its servers stay for a while."""
    progress, canary = turn.progress, turn.progress.canary
    assert canary is not None
    ended = RolledBack(turn.seen.now, reason, message, turn.seen.plan.fingerprint)
    progress = replace(progress, rolled_back=ended, hold=None, outage=None, accepted=False)
    text = f"Rollout {progress.number}: taking traffic from {label(canary)} back: {message}"
    return turn.but(progress).say("RollbackStarted", text, "Warning")


def retired(turn: Turn, revision: Revision) -> tuple[Retiring, ...]:
    """The retiring revisions with one more."""
    until = turn.seen.now + timedelta(seconds=turn.seen.plan.scale_down_delay)
    others = tuple(item for item in turn.progress.retiring if item.revision != revision.name)
    return (*others, Retiring(revision.name, until))


def first_step(turn: Turn) -> StepProgress:
    return StepProgress(0, turn.seen.now)


def label(revision: Revision) -> str:
    """A revision for people: its hash and the start of its model's digest."""
    digest = revision.digest.removeprefix("sha256:")[:12]
    return f"{revision.name} (model {digest})" if digest else revision.name
