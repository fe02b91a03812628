"""Which pods of a Job to make and which to take away. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from devplane.controllers.jobs.indexes import index_of
from devplane.controllers.jobs.seen import Seen, index_failures
from devplane.objects import Obj, condition, container_statuses, created, is_ready, moment, phase

FIRST_BACKOFF = 10
LAST_BACKOFF = 600


@dataclass(frozen=True, slots=True)
class NewPod:
    """`index` and its earlier failures for an Indexed Job."""

    index: int | None = None
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """The pods to make and to take away, and when to look again because of a delay."""

    created: tuple[NewPod, ...] = ()
    removed: tuple[Obj, ...] = ()
    again: float | None = None


def pods_needed(seen: Seen) -> Change:
    """Pods to make, or pods to take away: never both at once."""
    if seen.suspended:
        return Change(removed=tuple(seen.active))
    wanted = _wanted_active(seen)
    surplus = _surplus(seen, wanted)
    if surplus:
        return Change(removed=tuple(surplus))
    occupied = len(seen.active) + (len(seen.terminating) if seen.replaces_only_failed else 0)
    missing = wanted - occupied
    if missing <= 0:
        return Change()
    if seen.indexed:
        return _new_indexes(seen, missing)
    delay = _delay(seen, seen.pods)
    return Change(again=delay) if delay else Change(created=(NewPod(),) * missing)


def _wanted_active(seen: Seen) -> int:
    parallelism = int(seen.spec["parallelism"])
    completions = seen.spec.get("completions")
    if completions is None:
        return len(seen.active) if seen.succeeded > 0 else parallelism
    return max(min(int(completions) - seen.succeeded - len(seen.failed_indexes), parallelism), 0)


def _surplus(seen: Seen, wanted: int) -> list[Obj]:
    """Pods that are too many: those of an index that has another or is done, then the least advanced."""
    useless: list[Obj] = []
    kept: list[Obj] = []
    held: set[int] = set()
    for pod in sorted(seen.active, key=lambda pod: (not is_ready(pod), created(pod))):
        at = index_of(pod)
        if seen.indexed and (at is None or at in held or not seen.in_range(pod) or at in seen.succeeded_indexes):
            useless.append(pod)
        else:
            kept.append(pod)
            held |= {at} if at is not None else set()
    return useless + kept[wanted:]


def _new_indexes(seen: Seen, missing: int) -> Change:
    held = {index_of(pod) for pod in seen.active}
    if seen.replaces_only_failed:
        held |= {index_of(pod) for pod in seen.terminating}
    taken = held | seen.succeeded_indexes | seen.failed_indexes
    free = [at for at in range(seen.spec["completions"]) if at not in taken][:missing]
    if "backoffLimitPerIndex" not in seen.spec:
        delay = _delay(seen, seen.pods)
        return Change(again=delay) if delay and free else Change(created=tuple(NewPod(at) for at in free))
    made, delays = [], []
    for at in free:
        earlier = [pod for pod in seen.pods if index_of(pod) == at]
        delay = _delay(seen, earlier)
        if delay:
            delays.append(delay)
        else:
            failed = [pod for pod in earlier if phase(pod) == "Failed" and seen.is_counted_failure(pod)]
            made.append(NewPod(at, max((index_failures(pod) + 1 for pod in failed), default=0)))
    return Change(created=tuple(made), again=min(delays, default=None))


def _delay(seen: Seen, pods: Sequence[Obj]) -> float:
    """Seconds until the next pod may be made: 10 s after a failure, doubled for each one in a row."""
    ended = sorted((when, phase(pod) == "Succeeded") for pod in pods if (when := _ended_at(pod, seen)) is not None)
    failures: list[datetime] = []
    for when, succeeded in ended:
        failures = [] if succeeded else [*failures, when]
    if not failures:
        return 0
    pause = min(FIRST_BACKOFF * 2 ** (len(failures) - 1), LAST_BACKOFF)
    return max((failures[-1] + timedelta(seconds=pause) - seen.now).total_seconds(), 0)


def _ended_at(pod: Mapping[str, Any], seen: Seen) -> datetime | None:
    if phase(pod) != "Succeeded" and not seen.is_failed(pod):
        return None
    ends = [status["state"].get("terminated") for status in container_statuses(pod)]
    times = [moment(end["finishedAt"]) for end in ends if end]
    since = _unready_since(pod) or pod["metadata"].get("deletionTimestamp") or created(pod)
    return max(times, default=moment(since))


def _unready_since(pod: Mapping[str, Any]) -> str:
    """A pod of a lost node, say, whose containers nobody tells of any more."""
    ready = condition(pod, "Ready") or {}
    return str(ready.get("lastTransitionTime") or "") if ready.get("status") == "False" else ""
