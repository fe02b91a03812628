"""Conditions as Kubernetes means them: a list keyed by type whose transition time moves only with the status. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from tunebird.kube.meta import Manifest

ConditionStatus = Literal["True", "False", "Unknown"]

READY = "Ready"
RECONCILING = "Reconciling"
STALLED = "Stalled"

MESSAGE_LIMIT = 32768


@dataclass(frozen=True, slots=True)
class Condition:
    """`reason` is stable CamelCase and never empty; `last_transition_time` is UTC in whole seconds."""

    type: str
    status: ConditionStatus
    reason: str
    message: str
    last_transition_time: datetime
    observed_generation: int

    def manifest(self) -> dict[str, Any]:
        """The form in an object's status."""
        return {
            "type": self.type,
            "status": self.status,
            "observedGeneration": self.observed_generation,
            "lastTransitionTime": timestamp(self.last_transition_time),
            "reason": self.reason,
            "message": self.message,
        }


def set_condition(
    conditions: Iterable[Condition],
    type: str,  # noqa: A002  the API's own word
    status: ConditionStatus,
    reason: str,
    message: str,
    now: datetime,
    generation: int,
) -> tuple[Condition, ...]:
    """`conditions` with this one set in its place, or at the end if it is new."""
    kept = tuple(conditions)
    before = find(kept, type)
    unchanged = before is not None and before.status == status
    since = before.last_transition_time if before is not None and unchanged else now.replace(microsecond=0)
    after = Condition(type, status, reason, message[:MESSAGE_LIMIT], since, generation)
    if before is None:
        return (*kept, after)
    return tuple(after if condition.type == type else condition for condition in kept)


def without(conditions: Iterable[Condition], *types: str) -> tuple[Condition, ...]:
    """`conditions` less those of `types`: `Reconciling` and `Stalled` are left out where they are not True."""
    return tuple(condition for condition in conditions if condition.type not in types)


def find(conditions: Iterable[Condition], type: str) -> Condition | None:  # noqa: A002
    """The condition of this type, if it is there."""
    return next((condition for condition in conditions if condition.type == type), None)


def is_true(conditions: Iterable[Condition], type: str) -> bool:  # noqa: A002
    """Whether the condition is there and True; Unknown is not."""
    found = find(conditions, type)
    return found is not None and found.status == "True"


def conditions_of(status: Manifest) -> tuple[Condition, ...]:
    """The conditions in an object's ``status``."""
    return tuple(
        Condition(
            type=item["type"],
            status=item["status"],
            reason=item.get("reason", ""),
            message=item.get("message", ""),
            last_transition_time=instant(item["lastTransitionTime"]),
            observed_generation=item.get("observedGeneration", 0),
        )
        for item in status.get("conditions") or ()
    )


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC and whole seconds, as metav1.Time writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def instant(text: str) -> datetime:
    """The moment that an API timestamp (metav1.Time or MicroTime) names."""
    return datetime.fromisoformat(text).astimezone(UTC)
