"""What a Deployment needs next, from itself and its ReplicaSets. Pure; `when` is data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from devplane.objects import Obj, condition, is_deleting, is_terminal, moment, name_of, stamp

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a rolling update may go above and below the wanted number."""

    replicas: int
    surge: int
    unavailable: int

    @property
    def most(self) -> int:
        return self.replicas + self.surge

    @property
    def fewest(self) -> int:
        return self.replicas - self.unavailable


@dataclass(frozen=True, slots=True)
class Plan:
    """`make` is the size of a new ReplicaSet to create; `sizes` maps names to the sizes they should have."""

    revision: int
    status: Obj
    make: int | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    again: float | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A Deployment with its ReplicaSets, new and old (oldest first)."""

    deployment: Mapping[str, Any]
    new: Obj | None
    old: tuple[Obj, ...]
    limits: Limits
    old_pods_run: bool = False

    @property
    def everything(self) -> tuple[Obj, ...]:
        return (*self.old, self.new) if self.new is not None else self.old


def template_hash(template: Mapping[str, Any]) -> str:
    """Ten characters that stand for a pod template, from the alphabet that Kubernetes uses."""
    digest = hashlib.sha256(json.dumps(_bare(template), sort_keys=True).encode()).digest()
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:10])


def _bare(template: Mapping[str, Any]) -> Obj:
    """A template without the label that we add, and without empty metadata."""
    metadata = template.get("metadata") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH}
    kept = {"labels": labels, "annotations": metadata.get("annotations") or {}}
    return {"metadata": {key: value for key, value in kept.items() if value}, "spec": template["spec"]}


def see(
    deployment: Mapping[str, Any], replica_sets: Sequence[Obj], pods: Callable[[Obj], Sequence[Obj]] = lambda _: ()
) -> Seen:
    """`pods` are those of a ReplicaSet; a Recreate waits until all old ones have ended."""
    wanted = _bare(deployment["spec"]["template"])
    ordered = sorted(replica_sets, key=lambda one: (one["metadata"]["creationTimestamp"], name_of(one)))
    new = next((one for one in ordered if _bare(one["spec"]["template"]) == wanted), None)
    old = tuple(one for one in ordered if one is not new)
    run = any(not is_terminal(pod) for one in old for pod in pods(one))
    return Seen(deployment, new, old, limits(deployment["spec"]), run)


def limits(spec: Mapping[str, Any]) -> Limits:
    """maxSurge rounds up, maxUnavailable down; both zero means one unavailable."""
    replicas = int(spec.get("replicas", 1))
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return Limits(replicas, 0, 0)
    rolling = strategy.get("rollingUpdate") or {}
    surge = _share(rolling.get("maxSurge", "25%"), replicas, up=True)
    unavailable = _share(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    if not surge and not unavailable:
        unavailable = 1
    return Limits(replicas, surge, min(unavailable, replicas))


def _share(value: int | str, replicas: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    hundredths = int(value.removesuffix("%")) * replicas
    return -(-hundredths // 100) if up else hundredths // 100


def new_name(deployment: Mapping[str, Any]) -> str:
    """What a ReplicaSet of the present template is called."""
    return f"{name_of(deployment)}-{template_hash(deployment['spec']['template'])}"


def revision_of(replica_set: Mapping[str, Any]) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(REVISION, "0"))


def plan(seen: Seen, when: datetime) -> Plan:
    """The next step of a Deployment."""
    revision = _revision(seen)
    if is_deleting(seen.deployment):
        return Plan(revision, _status(seen, when))
    paused = bool(seen.deployment["spec"].get("paused"))
    make = None
    sizes: dict[str, int] = {}
    if paused or _was_rescaled(seen):
        sizes = _rescaled(seen)
    elif _recreates(seen) and _runs_old(seen):
        sizes = {name_of(one): 0 for one in seen.old if _size(one)}
    elif seen.new is None:
        make = _first_size(seen)
    else:
        sizes = _recreated(seen) if _recreates(seen) else _rolled(seen)
    dropped = _dropped(seen) if not paused else ()
    status = _status(seen, when, make)
    if seen.new is None and make is None:
        revision -= 1
    return Plan(revision, status, make, sizes, dropped, _until_deadline(seen, status, when))


def _revision(seen: Seen) -> int:
    """The new ReplicaSet is the newest revision, also when a rollback brings an old one back."""
    newest_old = max((revision_of(one) for one in seen.old), default=0)
    return max(newest_old + 1, revision_of(seen.new) if seen.new is not None else 0)


def _recreates(seen: Seen) -> bool:
    return (seen.deployment["spec"].get("strategy") or {}).get("type") == "Recreate"


def _size(replica_set: Mapping[str, Any]) -> int:
    return int(replica_set["spec"].get("replicas", 1))


def _counted(replica_set: Mapping[str, Any], field_: str) -> int:
    return int((replica_set.get("status") or {}).get(field_, 0))


def _runs_old(seen: Seen) -> bool:
    return seen.old_pods_run or any(_size(one) or _counted(one, "replicas") for one in seen.old)


def _first_size(seen: Seen) -> int:
    """What a new ReplicaSet starts with."""
    return seen.limits.replicas if _recreates(seen) else _room_for_new(seen, 0)


def _room_for_new(seen: Seen, size: int) -> int:
    total = sum(_size(one) for one in seen.everything)
    free = max(seen.limits.most - total, 0)
    return size + min(free, max(seen.limits.replicas - size, 0))


def _was_rescaled(seen: Seen) -> bool:
    living = [one for one in seen.everything if _size(one)]
    wanted = str(seen.limits.replicas)
    known = [(one["metadata"].get("annotations") or {}).get(DESIRED) for one in living]
    return any(one is not None and one != wanted for one in known)


def _rescaled(seen: Seen) -> dict[str, int]:
    """A new number of replicas: the only living ReplicaSet takes it, several share it by their sizes."""
    living = [one for one in seen.everything if _size(one)]
    if not living and seen.new is not None:
        living = [seen.new]
    if len(living) <= 1:
        return {name_of(one): seen.limits.replicas for one in living}
    if seen.new is not None and _counted(seen.new, "availableReplicas") >= seen.limits.replicas:
        return {name_of(one): seen.limits.replicas if one is seen.new else 0 for one in living}
    before = sum(_size(one) for one in living)
    target = seen.limits.most if seen.limits.replicas else 0
    sizes = {name_of(one): _size(one) * target // before for one in living}
    largest = max(living, key=_size)
    sizes[name_of(largest)] += target - sum(sizes.values())
    return sizes


def _recreated(seen: Seen) -> dict[str, int]:
    """Recreate: the old ones have ended before the new one begins."""
    assert seen.new is not None
    return {name_of(seen.new): seen.limits.replicas}


def _rolled(seen: Seen) -> dict[str, int]:
    """One step of a rolling update: the new one up as far as surge allows, or else the old ones down."""
    assert seen.new is not None
    size = _size(seen.new)
    if size > seen.limits.replicas:
        return {name_of(seen.new): seen.limits.replicas}
    grown = _room_for_new(seen, size)
    if grown != size:
        return {name_of(seen.new): grown}
    return _shrunk(seen)


def _shrunk(seen: Seen) -> dict[str, int]:
    """Old ReplicaSets without the pods that may go: first those that are not available anyway."""
    assert seen.new is not None
    total = sum(_size(one) for one in seen.everything)
    new_unavailable = _size(seen.new) - _counted(seen.new, "availableReplicas")
    removable = total - seen.limits.fewest - new_unavailable
    sizes: dict[str, int] = {}
    for one in seen.old:
        gone = min(max(removable, 0), max(_size(one) - _counted(one, "availableReplicas"), 0))
        sizes[name_of(one)] = _size(one) - gone
        removable -= gone
    available = sum(_counted(one, "availableReplicas") for one in seen.everything)
    spare = min(removable, available - seen.limits.fewest)
    for one in seen.old:
        gone = min(max(spare, 0), sizes[name_of(one)])
        sizes[name_of(one)] -= gone
        spare -= gone
    return {name_of(one): sizes[name_of(one)] for one in seen.old if sizes[name_of(one)] != _size(one)}


def _dropped(seen: Seen) -> tuple[str, ...]:
    """Old ReplicaSets beyond revisionHistoryLimit, once nothing of them is left."""
    limit = seen.deployment["spec"].get("revisionHistoryLimit", 10)
    empty = [one for one in seen.old if not _size(one) and not _counted(one, "replicas") and not is_deleting(one)]
    surplus = len(empty) - int(limit)
    return tuple(name_of(one) for one in sorted(empty, key=revision_of)[: max(surplus, 0)])


def _status(seen: Seen, when: datetime, made: int | None = None) -> Obj:
    """`made` is the size of a ReplicaSet that is about to be there."""
    everything, new = seen.everything, seen.new
    replicas = sum(_counted(one, "replicas") for one in everything)
    available = sum(_counted(one, "availableReplicas") for one in everything)
    counts = {
        "replicas": replicas,
        "updatedReplicas": _counted(new, "replicas") if new is not None else 0,
        "readyReplicas": sum(_counted(one, "readyReplicas") for one in everything),
        "availableReplicas": available,
        "unavailableReplicas": max(sum(_size(one) for one in everything) + (made or 0) - available, 0),
    }
    status: Obj = {"observedGeneration": seen.deployment["metadata"]["generation"]}
    status |= {key: value for key, value in counts.items() if value}
    if collisions := (seen.deployment.get("status") or {}).get("collisionCount"):
        status["collisionCount"] = collisions
    progressing = _progressing(seen, status, when, is_made=made is not None)
    status["conditions"] = _in_order(seen, [_available(seen, available, when), *progressing, *_failure(seen)])
    return status


def _failure(seen: Seen) -> list[Obj]:
    """Why pods are refused: the word of the new ReplicaSet, or else of an old one."""
    asked = (*([seen.new] if seen.new is not None else []), *seen.old)
    held = next((found for one in asked if (found := condition(one, "ReplicaFailure")) is not None), None)
    return [] if held is None else [{**held, "lastUpdateTime": held["lastTransitionTime"]}]


def _in_order(seen: Seen, found: list[Obj]) -> list[Obj]:
    """What changes goes to the end, in the order in which it is found; a new ReplicaSet is found first."""
    before = (seen.deployment.get("status") or {}).get("conditions") or ()
    kept = [one for one in before if one in found or one["type"] not in _OWN_CONDITIONS]
    fresh = [one for one in found if one not in kept]
    return kept + sorted(fresh, key=lambda one: one["reason"] != "NewReplicaSetCreated")


_OWN_CONDITIONS = {"Available", "Progressing", "ReplicaFailure"}
"""Others are somebody else's, and stay."""


def _condition(seen: Seen, type_: str, value: str, reason: str, message: str, when: datetime) -> Obj:
    before = condition(seen.deployment, type_)
    if before is not None and (before["status"], before.get("reason"), before.get("message")) == (
        value,
        reason,
        message,
    ):
        return before
    since = before["lastTransitionTime"] if before is not None and before["status"] == value else stamp(when)
    times = {"lastUpdateTime": stamp(when), "lastTransitionTime": since}
    return {"type": type_, "status": value, **times, "reason": reason, "message": message}


def _available(seen: Seen, available: int, when: datetime) -> Obj:
    if available >= seen.limits.fewest:
        said = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        said = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    return _condition(seen, "Available", *said, when)


def _progressing(seen: Seen, status: Obj, when: datetime, *, is_made: bool) -> list[Obj]:
    if seen.deployment["spec"].get("paused"):
        return [_condition(seen, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", when)]
    before = condition(seen.deployment, "Progressing")
    name = name_of(seen.new) if seen.new is not None else new_name(seen.deployment)
    if seen.new is not None and _is_complete(seen, status):
        said = ("True", "NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.')
        return [_condition(seen, "Progressing", *said, when)]
    if before is not None and not is_made and _is_over(before, status):
        return [before]
    if is_made and (before is None or name not in (before.get("message") or "")):
        said = ("True", "NewReplicaSetCreated", f'Created new replica set "{name}"')
        return [_condition(seen, "Progressing", *said, when)]
    if before is None:
        said = ("True", "FoundNewReplicaSet", f'Found new replica set "{name}"')
        return [_condition(seen, "Progressing", *said, when)]
    if _has_progressed(seen, status):
        what = f'ReplicaSet "{name}"' if seen.new is not None else f'Deployment "{name_of(seen.deployment)}"'
        said = ("True", "ReplicaSetUpdated", f"{what} is progressing.")
        fresh = _condition(seen, "Progressing", *said, when)
        return [{**fresh, "lastUpdateTime": stamp(when)}]
    if _is_late(seen, before, when):
        said = ("False", "ProgressDeadlineExceeded", f'ReplicaSet "{name}" has timed out progressing.')
        return [_condition(seen, "Progressing", *said, when)]
    return [before]


def _is_over(before: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """A rollout that has ended is not begun again by pods that come and go."""
    all_new = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    return before.get("reason") == "NewReplicaSetAvailable" and all_new


def _is_complete(seen: Seen, status: Mapping[str, Any]) -> bool:
    wanted = seen.limits.replicas
    return all(status.get(key, 0) == wanted for key in ("updatedReplicas", "replicas", "availableReplicas"))


def _has_progressed(seen: Seen, status: Mapping[str, Any]) -> bool:
    before = seen.deployment.get("status") or {}
    old_now = status.get("replicas", 0) - status.get("updatedReplicas", 0)
    old_before = before.get("replicas", 0) - before.get("updatedReplicas", 0)
    grown = any(
        status.get(key, 0) > before.get(key, 0) for key in ("updatedReplicas", "readyReplicas", "availableReplicas")
    )
    return grown or old_now < old_before


def _deadline(seen: Seen, progressing: Mapping[str, Any]) -> datetime:
    seconds = seen.deployment["spec"].get("progressDeadlineSeconds", 600)
    return moment(progressing["lastUpdateTime"]) + timedelta(seconds=seconds)


def _is_late(seen: Seen, progressing: Mapping[str, Any], when: datetime) -> bool:
    ended = {"NewReplicaSetAvailable", "DeploymentPaused"}
    if progressing.get("reason") in ended:
        return False
    return progressing.get("reason") == "ProgressDeadlineExceeded" or when >= _deadline(seen, progressing)


def _until_deadline(seen: Seen, status: Mapping[str, Any], when: datetime) -> float | None:
    found = next((one for one in status["conditions"] if one["type"] == "Progressing"), None)
    waiting = {"NewReplicaSetCreated", "ReplicaSetUpdated", "FoundNewReplicaSet"}
    if found is None or found.get("reason") not in waiting:
        return None
    return max((_deadline(seen, found) - when).total_seconds(), 0) + 0.05
