"""Claims that wait for their first consumer: bound once a pod that uses them has found a node.

https://kubernetes.io/docs/concepts/storage/storage-classes/#volume-binding-mode
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from devplane.controllers.matching import best_match
from devplane.objects import Obj, is_deleting, name_of, namespace_of, uid_of

if TYPE_CHECKING:
    from devplane.machinery.client import Client

CLASSES = "storageclasses.storage.k8s.io"
CLAIMS = "persistentvolumeclaims"
VOLUMES = "persistentvolumes"
NODE = "volume.kubernetes.io/selected-node"
BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
BY_HAND = "kubernetes.io/no-provisioner"
"""The provisioner of a class whose volumes somebody makes."""
NO_VOLUME = "node(s) didn't find available persistent volumes to bind"


class Consumers:
    def __init__(self, client: Client) -> None:
        self._client = client

    def waits(self, claim: Obj | None) -> bool:
        """Whether a claim is unbound until a pod has a node."""
        if claim is None or is_deleting(claim) or (claim.get("status") or {}).get("phase") == "Bound":
            return False
        return is_delayed(self._class_of(claim)) and not claim["spec"].get("volumeName")

    def refusal(self, claims: Iterable[Obj], nodes: int) -> str:
        """Why no node will do, or nothing."""
        for claim in claims:
            of_class = self._class_of(claim)
            by_hand = of_class is not None and of_class["provisioner"] == BY_HAND
            if by_hand and best_match(claim, self._client.list(VOLUMES)) is None:
                return f"{nodes} {NO_VOLUME}"
        return ""

    def choose(self, claim: Obj, node: str) -> None:
        """A volume that is there already, or else the node for which one is to be made."""
        by_hand = best_match(claim, self._client.list(VOLUMES))
        if by_hand is not None:
            change = {"metadata": {"annotations": {BY_CONTROLLER: "yes"}}, "spec": {"claimRef": reference_to(claim)}}
            self._client.patch(VOLUMES, "", name_of(by_hand), change)
        elif selected_node(claim) != node:
            change = {"metadata": {"annotations": {NODE: node}}}
            self._client.patch(CLAIMS, namespace_of(claim), name_of(claim), change)

    def _class_of(self, claim: Obj) -> Obj | None:
        name = claim["spec"].get("storageClassName")
        return self._client.get(CLASSES, "", name) if name else None


def is_delayed(of_class: Obj | None) -> bool:
    return of_class is not None and of_class.get("volumeBindingMode") == "WaitForFirstConsumer"


def selected_node(claim: Obj) -> str:
    return str((claim["metadata"].get("annotations") or {}).get(NODE, ""))


def reference_to(claim: Obj) -> Obj:
    """Whose a volume is."""
    whose = {"namespace": namespace_of(claim), "name": name_of(claim), "uid": uid_of(claim)}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **whose}
