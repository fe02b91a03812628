"""The world of `decide` alone: what was saved, what runs, what is routed and counted; it may lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from tunebird.metrics.provider import Count, Counts, Lack, Measure, Missing, PodsSource, Preset, Sample
from tunebird.rollout.codec import decoded, encoded
from tunebird.rollout.counting import PodSeen, Round
from tunebird.rollout.decide import Decision, decide
from tunebird.rollout.plan import (
    Analysis,
    Bake,
    Gateway,
    Limit,
    Model,
    OnBreach,
    OnDeadline,
    OnInconclusive,
    Plan,
    Runtime,
    Server,
    SetWeight,
    Sli,
)
from tunebird.rollout.progress import Progress, Revision
from tunebird.rollout.turn import Observed, RouteSeen, ServerSeen, Verb, capacity

START = datetime(2026, 1, 1, tzinfo=UTC)
ERRORS = Sli("errors", "pods", Measure("errors", Preset.ERROR_RATE), Limit(0.05), 10)


def plan(**changes: object) -> Plan:
    """A plan with two weights and two bakes; `changes` replace its fields."""
    whole = Plan(
        name="support",
        namespace="default",
        uid="u",
        model=Model("", "pvc://m/a", "sha256:a"),
        server=Server(Runtime.TUNEBIRD, "", 3, 8000, (), 0, "", {}),
        service_name="support",
        service_port=80,
        gateway=Gateway(({"name": "public"},), (), (), {}),
        sources=(PodsSource("pods"),),
        analysis=Analysis(10.0, 0.01, OnBreach.ROLLBACK, OnInconclusive.HOLD, (ERRORS,)),
        steps=(SetWeight(10), Bake(60, 20), SetWeight(50), Bake(60, 0)),
        canary_replicas=None,
        progress_deadline=3600.0,
        on_deadline=OnDeadline.PAUSE,
        scale_down_delay=300.0,
        paused=False,
        revision_history_limit=10,
        fingerprint="f",
    )
    return replace(whole, **changes)


def revision(name: str) -> Revision:
    return Revision(name, f"sha256:{name}", f"pvc://m/{name}", "", "image")


@dataclass
class Rolling:
    """`saved` went through the status and back. `counts` are failures and events by revision."""

    plan: Plan = field(default_factory=plan)
    target: str = "a"
    now: datetime = START
    saved: Progress = field(default_factory=Progress)
    servers: dict[str, ServerSeen] = field(default_factory=dict)
    shares: dict[str, int] | None = None
    accepted: bool = True
    counts: dict[str, tuple[float, float]] = field(default_factory=dict)
    missing: Missing | None = None
    verbs: tuple[Verb, ...] = ()

    def observed(self) -> Observed:
        return Observed(
            now=self.now,
            plan=self.plan,
            progress=self.saved,
            target=revision(self.target) if self.target else None,
            waiting="" if self.target else "a job",
            servers=dict(self.servers),
            route=None if self.shares is None else RouteSeen(dict(self.shares), self.accepted, "not yet"),
            round=self.round(),
            verbs=self.verbs,
        )

    def round(self) -> Round | None:
        canary, stable = self.saved.canary, self.saved.stable
        if self.saved.trial is None or canary is None or stable is None:
            return None
        samples = [{"pods": Sample({"errors": self.reading(item.name)})} for item in (canary, stable)]
        pods = tuple(PodSeen(f"{item.name}-1", item.name, "10.0.0.1", True, 0, START) for item in (canary, stable))
        return Round(self.now, samples[0], samples[1], pods)

    def reading(self, name: str) -> Counts | Missing:
        return self.missing or Counts((Count(f"{name}-1", *self.counts.get(name, (0, 0))),))

    def decide(self) -> Decision:
        return decide(self.observed())

    def save(self, decision: Decision) -> None:
        """As the reconciler does: through the status and back."""
        restored = decoded(encoded(decision.progress))
        assert restored is not None
        self.saved = replace(restored, history=decision.progress.history, consumed=decision.progress.consumed)

    def once(self, *, keep: bool = True, obey: bool = True) -> Decision:
        """One pass: save if anything changed, else act. `keep` False loses the status, `obey` False the writes."""
        decision = self.decide()
        if decision.progress.weight == 0 and decision.progress.canary and obey:
            self.route(decision.progress)
        if decision.progress != self.saved:
            if keep:
                self.save(decision)
        elif obey:
            self.act(decision)
        return decision

    def act(self, decision: Decision) -> None:
        self.route(decision.progress)
        for name, replicas in decision.replicas:
            ready = min(replicas, self.servers[name].ready) if name in self.servers else 0
            self.servers[name] = ServerSeen(replicas, ready)

    def route(self, progress: Progress) -> None:
        if progress.stable is not None and self.shares != progress.split:
            self.shares = dict(progress.split)

    def get_ready(self) -> None:
        """Every pod that is asked for answers."""
        self.servers = {name: ServerSeen(item.replicas, item.replicas) for name, item in self.servers.items()}

    def traffic(self, requests: float, failing: dict[str, float] | None = None) -> None:
        for name, share in (self.shares or {}).items():
            failures, total = self.counts.get(name, (0, 0))
            arrived = round(requests * share / 100)
            self.counts[name] = (failures + round(arrived * (failing or {}).get(name, 0.0)), total + arrived)

    def go(self, seconds: float, failing: dict[str, float] | None = None, requests: float = 1000) -> None:
        """A calm world: everybody obeys, `requests` come every ten seconds."""
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.settle(self.get_ready)
            self.traffic(requests, failing)
            self.now += timedelta(seconds=10)

    def settle(self, afterwards: Callable[[], None] = lambda: None) -> None:
        """Passes until nothing more is to be done at this moment."""
        for _ in range(12):
            before = (self.saved, dict(self.servers), self.shares)
            self.once()
            afterwards()
            if before == (self.saved, self.servers, self.shares):
                break

    def enough(self, weight: int) -> int:
        return capacity(self.plan, weight)


NO_DATA = Missing(Lack.NO_DATA, "nothing")
