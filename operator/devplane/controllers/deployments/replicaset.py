"""The ReplicaSet controller: as many pods of one template as are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from devplane.controllers.claiming import adopters, claimed
from devplane.controllers.loop import Controller, Key, controller_key, own_key
from devplane.errors import AdmissionPendingError, ApiError
from devplane.objects import (
    Obj,
    condition,
    container_statuses,
    controller_reference,
    created,
    is_active,
    is_deleting,
    is_ready,
    name_of,
    namespace_of,
    now,
    phase,
    pod_from_template,
    ready_since,
    stamp,
    uid_of,
)

if TYPE_CHECKING:
    from devplane.machinery.client import Client

COMPONENT = "replicaset-controller"
REPLICA_SETS = "replicasets.apps"
FAILURE = "ReplicaFailure"
COST = "controller.kubernetes.io/pod-deletion-cost"


@dataclass(frozen=True, slots=True)
class Plan:
    """How many pods to make, which to delete, the status, and when a pod becomes available by waiting."""

    missing: int
    surplus: tuple[Obj, ...]
    status: Obj
    again: float | None


def plan(replica_set: Mapping[str, Any], pods: Sequence[Obj], when: datetime) -> Plan:
    """From the ReplicaSet and the pods it controls. Pure."""
    spec = replica_set["spec"]
    active = [pod for pod in pods if is_active(pod)]
    wanted = 0 if is_deleting(replica_set) else int(spec.get("replicas", 1))
    surplus = sorted(active, key=_worth)[: max(len(active) - wanted, 0)]
    if is_deleting(replica_set):
        surplus = []
    waits = [_until_available(pod, spec.get("minReadySeconds", 0), when) for pod in active]
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    counts = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(1 for pod in active if labels.items() <= pod["metadata"].get("labels", {}).items()),
        "readyReplicas": sum(1 for pod in active if is_ready(pod)),
        "availableReplicas": sum(1 for wait in waits if wait is not None and wait <= 0),
        "observedGeneration": replica_set["metadata"].get("generation", 1),
    }
    status = {key: value for key, value in counts.items() if value or key == "replicas"}
    pending = [wait for wait in waits if wait is not None and wait > 0]
    return Plan(max(wanted - len(active), 0), tuple(surplus), status, min(pending, default=None))


def _worth(pod: Mapping[str, Any]) -> tuple[bool, int, bool, int, int, str]:
    """What is worth least is deleted first: unbound, then pending, then not ready, then what is said to cost least,
    then what was restarted most often, then the youngest."""
    stage = {"Pending": 0, "Unknown": 1, "Running": 2}.get(phase(pod), 0)
    youngest_first = "".join(chr(0x10FFFF - ord(one)) for one in created(pod))
    restarts = sum(int(one.get("restartCount", 0)) for one in container_statuses(pod))
    is_bound = bool(pod["spec"].get("nodeName"))
    return is_bound, stage, is_ready(pod), _deletion_cost(pod), -restarts, youngest_first


def _deletion_cost(pod: Mapping[str, Any]) -> int:
    """What is no number costs nothing."""
    text = (pod["metadata"].get("annotations") or {}).get(COST, "0")
    return int(text) if re.fullmatch("-?[0-9]{1,10}", text) else 0


def _until_available(pod: Mapping[str, Any], seconds: int, when: datetime) -> float | None:
    """Seconds until a ready pod counts as available; None for one that is not ready."""
    since = ready_since(pod)
    return None if since is None else (since + timedelta(seconds=seconds) - when).total_seconds()


def with_failure(replica_set: Mapping[str, Any], failure: ApiError | None, when: datetime) -> Obj:
    """The conditions of a ReplicaSet: those of others, and where its pods are refused the first reason why."""
    before = (replica_set.get("status") or {}).get("conditions") or ()
    others = [one for one in before if one["type"] != FAILURE]
    if failure is None:
        return {"conditions": others} if others else {}
    held = condition(replica_set, FAILURE)
    said = {"reason": "FailedCreate", "message": str(failure)}
    fresh = {"type": FAILURE, "status": "True", "lastTransitionTime": stamp(when), **said}
    return {"conditions": [*others, held or fresh]}


class ReplicaSetController:
    def __init__(self, client: Client) -> None:
        self._client = client

    def controller(self) -> Controller:
        return Controller(COMPONENT, self._client, (REPLICA_SETS, "pods"), self._concerned, self.sync)

    def _concerned(self, resource: str, type_: str, obj: Obj) -> Iterable[Key]:
        if resource == REPLICA_SETS:
            return [own_key(obj)]
        orphan_of = [] if type_ == "DELETED" else adopters(self._client, REPLICA_SETS, obj)
        return [*controller_key(obj, "ReplicaSet"), *orphan_of]

    def sync(self, key: Key) -> float | None:
        replica_set = self._client.get(REPLICA_SETS, *key)
        if replica_set is None:
            return None
        decided = plan(replica_set, claimed(self._client, "pods", replica_set), now())
        failure = self._make(replica_set, decided.missing)
        for pod in decided.surplus:
            self._client.delete("pods", namespace_of(pod), name_of(pod), uid=uid_of(pod))
            self._event(replica_set, "Normal", "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")
        if decided.missing or decided.surplus:
            decided = plan(replica_set, claimed(self._client, "pods", replica_set), now())
        self._write(replica_set, decided.status | with_failure(replica_set, failure, now()))
        if failure is not None:
            raise failure
        return decided.again

    def _make(self, replica_set: Obj, missing: int) -> ApiError | None:
        """What keeps it from all the pods that it lacks, if anything."""
        for _ in range(missing):
            try:
                self._create(replica_set)
            except AdmissionPendingError:
                raise
            except ApiError as error:
                return error
        return None

    def _write(self, replica_set: Obj, status: Obj) -> None:
        if status != replica_set.get("status"):
            change = {"status": {**_cleared(replica_set), **status}}
            key = namespace_of(replica_set), name_of(replica_set)
            self._client.patch(REPLICA_SETS, *key, change, subresource="status")

    def _create(self, replica_set: Obj) -> None:
        owner = controller_reference(replica_set, "apps/v1", "ReplicaSet")
        pod = pod_from_template(replica_set["spec"]["template"], owner, f"{name_of(replica_set)}-", ())
        try:
            made = self._client.create("pods", namespace_of(replica_set), pod)
        except AdmissionPendingError:
            raise
        except ApiError as error:
            self._event(replica_set, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self._event(replica_set, "Normal", "SuccessfulCreate", f"Created pod: {name_of(made)}")

    def _event(self, replica_set: Obj, type_: str, reason: str, message: str) -> None:
        self._client.event(replica_set, type_, reason, message, COMPONENT)


def _cleared(obj: Mapping[str, Any]) -> Obj:
    """A merge patch that drops every field of the status that is not set again."""
    return dict.fromkeys(obj.get("status") or {})
