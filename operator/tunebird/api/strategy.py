"""The steps of a rollout and the service level indicators (SLIs) that judge it: an unknown field is an error."""

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field

from tunebird.api.base import (
    Closed,
    Duration,
    Model,
    Name,
    Number,
    Percent,
    Rate,
    Rule,
    StorageRef,
    as_text,
    keyed,
    needs,
    one_of,
    only_with,
)

Query = Annotated[str, Field(max_length=4096)]


class OnBreach(StrEnum):
    """What follows a failed SLI."""

    ROLLBACK = "Rollback"
    PAUSE = "Pause"


class OnInconclusive(StrEnum):
    """What follows a missing verdict."""

    HOLD = "Hold"
    PAUSE = "Pause"
    ROLLBACK = "Rollback"


class SliType(StrEnum):
    """How an SLI is judged."""

    LIMIT = "Limit"
    COMPARISON = "Comparison"
    THRESHOLD = "Threshold"


class Preset(StrEnum):
    """SLIs that the operator knows the queries of."""

    ERROR_RATE = "error-rate"
    TTFT = "ttft"
    LATENCY = "latency"
    TIME_PER_OUTPUT_TOKEN = "time-per-output-token"  # noqa: S105  a metric, not a secret
    RUNAWAY = "runaway"
    INSTRUCTION_SUCCESS = "instruction-success"


_TIMED = frozenset({Preset.TTFT, Preset.LATENCY, Preset.TIME_PER_OUTPUT_TOKEN})


def _both(one: str | None, other: str | None) -> bool:
    return (one is None) == (other is None)


class Limit(Closed):
    """The share of bad events may be at most this."""

    maximum: Rate = Field(description="Largest accepted share of bad events.")


class Comparison(Closed):
    """The canary's share of bad events may be at most this much above stable's."""

    margin: Rate = Field(description="Accepted difference, in points.")
    prove_within: bool = Field(False, description="Pass only when a confidence bound lies inside the margin.")


class Threshold(Closed):
    """A plain number may be at most, or at least, this."""

    maximum: Number | None = Field(None, description="Largest accepted value.")
    minimum: Number | None = Field(None, description="Smallest accepted value.")
    RULES = (one_of("maximum", "minimum"),)


class Sli(Closed):
    """A service level indicator: good events of all events, or a query for one number."""

    name: Name = Field(description="Name in status and events.")
    preset: Preset | None = Field(None, description="A known SLI.")
    within: Duration | None = Field(
        None, description="An event is good within this time; a bucket bound of the histogram."
    )
    provider: Name | None = Field(None, description="Name of the provider; the first that can answer if absent.")
    good: Query | None = Field(None, description="Query that counts good events; {{selector}} is the revision's pods.")
    total: Query | None = Field(None, description="Query that counts all events.")
    query: Query | None = Field(None, description="Query for one number (type Threshold).")
    type: SliType = Field(description="Limit, Comparison or Threshold.")
    limit: Limit | None = Field(None, description="Options of type Limit.")
    comparison: Comparison | None = Field(None, description="Options of type Comparison.")
    threshold: Threshold | None = Field(None, description="Options of type Threshold.")
    min_samples: int | None = Field(None, ge=1, description="Events before a verdict; 10 if absent.")
    observe_only: bool = Field(False, description="Show it, but never act on it.")
    RULES = (
        one_of("preset", "good", "query"),
        Rule("has(self.good) == has(self.total)", "good and total go together", lambda sli: _both(sli.good, sli.total)),
        Rule(
            "!has(self.query) || self.type == 'Threshold'",
            "query goes with type Threshold only",
            lambda sli: sli.query is None or sli.type is SliType.THRESHOLD,
            "query",
        ),
        Rule(
            "self.type != 'Threshold' || has(self.query)",
            "type Threshold needs query",
            lambda sli: sli.type is not SliType.THRESHOLD or sli.query is not None,
            "type",
        ),
        Rule(
            "!has(self.preset) || (self.preset in ['ttft', 'latency', 'time-per-output-token']) == has(self.within)",
            "within goes with preset ttft, latency and time-per-output-token, which need it",
            lambda sli: sli.preset is None or (sli.preset in _TIMED) == (sli.within is not None),
            "within",
        ),
        *(only_with(name.lower(), "type", name) for name in SliType),
        *(needs(name.lower(), "type", name) for name in SliType),
    )


class Analysis(Model):
    """What the canary must satisfy while it has traffic."""

    interval: Duration = Field("10s", description="Time between looks.")
    max_false_rollback: Percent = Field(
        "1%", description="Chance of rolling back a good canary, over the whole rollout."
    )
    on_breach: OnBreach = Field(OnBreach.ROLLBACK, description="Rollback or Pause.")
    on_inconclusive: OnInconclusive = Field(
        OnInconclusive.HOLD, description="Hold (up to the step's deadline), Pause or Rollback."
    )
    slis: Annotated[tuple[Sli, ...], *keyed("name")] = Field((), max_length=20, description="Service level indicators.")


class Mirror(Closed):
    """A copy of the traffic goes to the canary; its answers are thrown away."""

    percent: int = Field(ge=1, le=100, description="Share of the requests.")
    for_: Duration = Field(alias="for", description="How long.")


class Probe(Closed):
    """The same prompts are sent to both revisions and compared."""

    suite: StorageRef = Field(description="JSON Lines of prompts and checks.")
    minimum: Rate | None = Field(None, description="Least accepted success of the canary.")
    margin: Rate | None = Field(None, description="Accepted difference from stable, in points.")


class Bake(Closed):
    """Traffic stays as it is while the SLIs are watched."""

    for_: Duration = Field(alias="for", description="How long, counted while the weight is accepted.")
    min_samples: int | None = Field(None, ge=1, description="Requests of the canary before it may end.")


class Pause(Closed):
    """Wait for a person."""

    for_: Duration | None = Field(
        None, alias="for", description="Go on after this time; wait for the verb promote if absent."
    )


class Step(Closed):
    """One step: exactly one of its actions, and an optional name."""

    name: Name | None = Field(None, description="Name in status and events.")
    set_weight: int | None = Field(None, ge=0, le=100, description="Percent of the traffic that the canary gets.")
    bake: Bake | None = Field(None, description="Watch the SLIs for a time.")
    pause: Pause | None = Field(None, description="Wait for the verb promote.")
    mirror: Mirror | None = Field(None, description="Copy traffic to the canary.")
    probe: Probe | None = Field(None, description="Send both revisions the same prompts.")
    RULES = (one_of("setWeight", "bake", "pause", "mirror", "probe"),)


class StrategyType(StrEnum):
    """How traffic moves."""

    CANARY = "Canary"
    BLUE_GREEN = "BlueGreen"


class OnDeadline(StrEnum):
    """What follows a step that takes too long."""

    PAUSE = "Pause"
    ROLLBACK = "Rollback"


CanaryReplicas = Annotated[
    str,
    BeforeValidator(as_text),
    Field(
        pattern=r"^(Match|[0-9]{1,4})$",
        max_length=5,
        json_schema_extra={"x-kubernetes-int-or-string": True, "minimum": 1},
    ),
]


class Strategy(Model):
    """How a new revision gets the traffic."""

    type: StrategyType = Field(StrategyType.CANARY, description="Canary, or BlueGreen (all at once after its steps).")
    canary_replicas: CanaryReplicas = Field(
        "Match", description="Match: enough for the weight, ready before it rises; or a number."
    )
    steps: tuple[Step, ...] = Field((), max_length=64, description="In order; promoted after the last.")
    progress_deadline: Duration = Field("1h", description="Per step, on top of the step's own time.")
    on_deadline: OnDeadline = Field(OnDeadline.PAUSE, description="Pause or Rollback.")


def step_kind(step: Step) -> str:
    """The one action of a step, by its API name."""
    actions = ("setWeight", "bake", "pause", "mirror", "probe")
    values = (step.set_weight, step.bake, step.pause, step.mirror, step.probe)
    return next(action for action, value in zip(actions, values, strict=True) if value is not None)
