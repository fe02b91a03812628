"""The Deployment controller: carries out what `deployment_plan` says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from devplane.controllers.claiming import adopters, claimed
from devplane.controllers.deployments.plan import (
    DESIRED,
    HASH,
    HISTORY,
    MOST,
    REVISION,
    Plan,
    Seen,
    plan,
    revision_of,
    see,
    template_hash,
)
from devplane.controllers.deployments.replicaset import REPLICA_SETS
from devplane.controllers.loop import Controller, Key, controller_key, own_key
from devplane.objects import Obj, controller_reference, is_terminal, name_of, namespace_of, now

if TYPE_CHECKING:
    from devplane.machinery.client import Client

COMPONENT = "deployment-controller"
DEPLOYMENTS = "deployments.apps"


class DeploymentController:
    def __init__(self, client: Client) -> None:
        self._client = client

    def controller(self) -> Controller:
        watched = (DEPLOYMENTS, REPLICA_SETS, "pods")
        return Controller(COMPONENT, self._client, watched, self._concerned, self.sync)

    def _concerned(self, resource: str, type_: str, obj: Obj) -> Iterable[Key]:
        if resource == DEPLOYMENTS:
            return [own_key(obj)]
        if resource == "pods":
            return self._ended(type_, obj)
        orphan_of = [] if type_ == "DELETED" else adopters(self._client, DEPLOYMENTS, obj)
        return [*controller_key(obj, "Deployment"), *orphan_of]

    def _ended(self, type_: str, pod: Obj) -> Iterable[Key]:
        """What may wait for the end of a pod."""
        if type_ != "DELETED" and not is_terminal(pod):
            return ()
        owners = [self._client.get(REPLICA_SETS, *key) for key in controller_key(pod, "ReplicaSet")]
        return [key for owner in owners if owner is not None for key in controller_key(owner, "Deployment")]

    def _pods(self, replica_set: Obj) -> list[Obj]:
        return self._client.controlled("pods", namespace_of(replica_set), "ReplicaSet", name_of(replica_set))

    def sync(self, key: Key) -> float | None:
        deployment = self._client.get(DEPLOYMENTS, *key)
        if deployment is None:
            return None
        seen = see(deployment, claimed(self._client, REPLICA_SETS, deployment), self._pods)
        decided = plan(seen, now())
        self._carry_out(seen, deployment, decided)
        self._write(deployment, decided)
        return decided.again

    def _carry_out(self, seen: Seen, deployment: Obj, decided: Plan) -> None:
        if decided.make is not None:
            self._make(seen, deployment, decided)
        for replica_set in seen.everything:
            size = decided.sizes.get(name_of(replica_set))
            self._annotate(seen, replica_set, decided)
            if size is not None and size != replica_set["spec"].get("replicas", 1):
                self._scale(deployment, replica_set, size)
        for name in decided.dropped:
            self._client.delete(REPLICA_SETS, namespace_of(deployment), name, propagation="Background")

    def _annotations(self, seen: Seen) -> dict[str, str]:
        return {DESIRED: str(seen.limits.replicas), MOST: str(seen.limits.most)}

    def _make(self, seen: Seen, deployment: Obj, decided: Plan) -> None:
        template = deployment["spec"]["template"]
        hashed = template_hash(template)
        label = {HASH: hashed}
        metadata = template.get("metadata") or {}
        labels = {**(metadata.get("labels") or {}), **label}
        selector = deployment["spec"]["selector"]
        spec = {
            "replicas": decided.make,
            "minReadySeconds": deployment["spec"].get("minReadySeconds", 0),
            "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), **label}},
            "template": {**template, "metadata": {**metadata, "labels": labels}},
        }
        annotations = {**_inherited(deployment), **self._annotations(seen), REVISION: str(decided.revision)}
        name = f"{name_of(deployment)}-{hashed}"
        owner = controller_reference(deployment, "apps/v1", "Deployment")
        about = {"name": name, "labels": labels, "annotations": annotations, "ownerReferences": [owner]}
        self._client.create(REPLICA_SETS, namespace_of(deployment), {"metadata": about, "spec": spec})
        if decided.make:
            self._event(deployment, f"Scaled up replica set {name} from 0 to {decided.make}")

    def _annotate(self, seen: Seen, replica_set: Obj, decided: Plan) -> None:
        """What the new one inherits, and its revision; the wanted numbers on those that live or are about to."""
        wanted: dict[str, str] = {}
        if replica_set is seen.new:
            wanted |= {**_inherited(seen.deployment), **_revision(replica_set, decided.revision)}
        if replica_set["spec"].get("replicas", 1) or decided.sizes.get(name_of(replica_set)):
            wanted |= self._annotations(seen)
        if not wanted.items() <= (replica_set["metadata"].get("annotations") or {}).items():
            change = {"metadata": {"annotations": wanted}}
            self._client.patch(REPLICA_SETS, namespace_of(replica_set), name_of(replica_set), change)

    def _scale(self, deployment: Obj, replica_set: Obj, size: int) -> None:
        before = replica_set["spec"].get("replicas", 1)
        name = name_of(replica_set)
        self._client.patch(REPLICA_SETS, namespace_of(replica_set), name, {"spec": {"replicas": size}})
        direction = "up" if size > before else "down"
        self._event(deployment, f"Scaled {direction} replica set {name} from {before} to {size}")

    def _write(self, deployment: Obj, decided: Plan) -> None:
        key = namespace_of(deployment), name_of(deployment)
        revision = {REVISION: str(decided.revision)}
        if decided.revision and not revision.items() <= (deployment["metadata"].get("annotations") or {}).items():
            said = {"metadata": {"annotations": revision}}  # with the status, which leaves the generation as it is
            self._client.patch(DEPLOYMENTS, *key, said, subresource="status")
        if decided.status != deployment.get("status"):
            change = {**dict.fromkeys(deployment.get("status") or {}), **decided.status}
            self._client.patch(DEPLOYMENTS, *key, {"status": change}, subresource="status")

    def _event(self, deployment: Obj, message: str) -> None:
        self._client.event(deployment, "Normal", "ScalingReplicaSet", message, COMPONENT)


def _inherited(deployment: Mapping[str, Any]) -> dict[str, str]:
    """Annotations of a Deployment that its newest ReplicaSet has too."""
    given = deployment["metadata"].get("annotations") or {}
    return {key: value for key, value in given.items() if key not in _NOT_INHERITED}


def _revision(replica_set: Obj, revision: int) -> dict[str, str]:
    """The number of a ReplicaSet that a rollback has brought back, and those that it had before."""
    held = replica_set["metadata"].get("annotations") or {}
    if REVISION not in held or revision_of(replica_set) >= revision:
        return {REVISION: str(revision)}
    earlier = [one for one in (held.get(HISTORY), held[REVISION]) if one]
    return {REVISION: str(revision), HISTORY: ",".join(earlier)}


_NOT_INHERITED = {"kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY, DESIRED, MOST}
