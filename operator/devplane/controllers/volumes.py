"""Claims become directories: the storage class `local-path`, a PersistentVolume for each claim that a pod uses."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from devplane.controllers.consumers import (
    BY_CONTROLLER,
    CLAIMS,
    CLASSES,
    VOLUMES,
    is_delayed,
    reference_to,
    selected_node,
)
from devplane.controllers.loop import Controller, Key, own_key
from devplane.controllers.matching import best_match, may_have
from devplane.objects import Obj, finalizers, is_deleting, is_terminal, name_of, namespace_of, uid_of

if TYPE_CHECKING:
    from devplane.context import Context
    from devplane.machinery.client import Client

COMPONENT = "persistentvolume-controller"
CLASS = "local-path"
PROVISIONER = "devplane/local-path"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
DELAYED = "WaitForFirstConsumer"
PROTECTION = "kubernetes.io/pvc-protection"
NO_CONSUMER = "waiting for first consumer to be created before binding"
ASKED = ("volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner")
EXTERNAL = (
    "Waiting for a volume to be created either by the external provisioner '{}' or manually by the system "
    "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly "
    "registered."
)
IS_DEFAULT = "storageclass.kubernetes.io/is-default-class"


class VolumeController:
    def __init__(self, client: Client, context: Context) -> None:
        self._client = client
        self._directory = context.data_dir / "volumes"

    def controller(self) -> Controller:
        self._make_class()
        return Controller(COMPONENT, self._client, (CLAIMS, "pods", CLASSES, VOLUMES), self._concerned, self.sync)

    def _make_class(self) -> None:
        if self._client.get(CLASSES, "", CLASS) is None:
            about = {"name": CLASS, "annotations": {IS_DEFAULT: "true"}}
            rest = {"provisioner": PROVISIONER, "reclaimPolicy": "Delete", "volumeBindingMode": DELAYED}
            self._client.create(CLASSES, "", {"metadata": about, **rest})

    def _concerned(self, resource: str, type_: str, obj: Obj) -> Iterable[Key]:
        if resource == CLAIMS:
            if type_ == "DELETED":
                self._reclaim(obj)
            return [own_key(obj)]
        if resource == CLASSES:
            return self._waiting()
        if resource == VOLUMES:
            return [own_key(obj), *self._waiting()] if (obj.get("status") or {}).get("phase") != "Bound" else []
        if type_ == "DELETED" or is_terminal(obj):
            return [(namespace_of(obj), name) for name in claims_of(obj)]
        return []

    def _waiting(self) -> list[Key]:
        def waits(claim: Obj) -> bool:
            return (claim.get("status") or {}).get("phase") != "Bound"

        return [own_key(claim) for claim in self._client.list(CLAIMS, where=waits)]

    def sync(self, key: Key) -> None:
        if not key[0]:
            self._offer(self._client.get(VOLUMES, *key))
            return
        claim = self._client.get(CLAIMS, *key)
        if claim is None:
            return
        if is_deleting(claim):
            self._let_go(claim)
        elif (claim.get("status") or {}).get("phase") != "Bound":
            self._bind(claim)

    def _offer(self, volume: Obj | None) -> None:
        """A volume that somebody made by hand."""
        if volume is None or is_deleting(volume) or "claimRef" in volume["spec"]:
            return
        if (volume.get("status") or {}).get("phase") != "Available":
            self._client.patch(VOLUMES, "", name_of(volume), {"status": {"phase": "Available"}}, subresource="status")

    def _bind(self, claim: Obj) -> None:
        class_name = claim["spec"].get("storageClassName", CLASS)
        if wanted := claim["spec"].get("volumeName"):
            named = self._client.get(VOLUMES, "", wanted)
            self._bind_to(claim, named if named is not None and may_have(claim, named) else None)
            return
        found = self._client.get(CLASSES, "", class_name) if class_name else None
        kept_alone = is_delayed(found)  # of the others the scheduler chooses one
        volumes = self._client.list(VOLUMES, where=lambda one: not kept_alone or "claimRef" in one["spec"])
        if (by_hand := best_match(claim, volumes)) is not None:
            self._bind_to(claim, by_hand)
        elif found is None:
            self._wait(claim, class_name)
        elif is_delayed(found) and not selected_node(claim):
            self._client.event(claim, "Normal", DELAYED, NO_CONSUMER, COMPONENT)
        elif found["provisioner"] == PROVISIONER:
            self._bind_to(claim, self._provision(claim, class_name, found.get("reclaimPolicy", "Delete")))
        else:
            self._ask(claim, found["provisioner"])

    def _ask(self, claim: Obj, provisioner: str) -> None:
        """Somebody else makes the volume, and finds the claim by these annotations."""
        wanted = dict.fromkeys(ASKED, provisioner)
        if not wanted.items() <= (claim["metadata"].get("annotations") or {}).items():
            self._client.patch(CLAIMS, *own_key(claim), {"metadata": {"annotations": wanted}})
        self._client.event(claim, "Normal", "ExternalProvisioning", EXTERNAL.format(provisioner), COMPONENT)

    def _wait(self, claim: Obj, class_name: str) -> None:
        if class_name:
            message = f'storageclass.storage.k8s.io "{class_name}" not found'
            self._client.event(claim, "Warning", "ProvisioningFailed", message, COMPONENT)
            return
        message = "no persistent volumes available for this claim and no storage class is set"
        self._client.event(claim, "Normal", "FailedBinding", message, COMPONENT)

    def _provision(self, claim: Obj, class_name: str, policy: str) -> Obj:
        name = f"pvc-{uid_of(claim)}"
        held = self._client.get(VOLUMES, "", name)
        if held is not None:
            return held
        path = self._directory / namespace_of(claim) / name_of(claim)
        path.mkdir(parents=True, exist_ok=True)
        spec = {
            "capacity": claim["spec"]["resources"]["requests"],
            "accessModes": claim["spec"]["accessModes"],
            "persistentVolumeReclaimPolicy": policy,
            "storageClassName": class_name,
            "volumeMode": "Filesystem",
            "hostPath": {"path": str(path), "type": "DirectoryOrCreate"},
        }
        metadata = {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER}}
        made = self._client.create(VOLUMES, "", {"metadata": metadata, "spec": spec})
        self._client.event(
            claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name}", COMPONENT
        )
        return made

    def _bind_to(self, claim: Obj, volume: Obj | None) -> None:
        if volume is None:
            return
        reference = reference_to(claim)
        mark = {} if "claimRef" in volume["spec"] else {"annotations": {BY_CONTROLLER: "yes"}}
        self._client.patch(VOLUMES, "", name_of(volume), {"metadata": mark, "spec": {"claimRef": reference}})
        self._client.patch(VOLUMES, "", name_of(volume), {"status": {"phase": "Bound"}}, subresource="status")
        chosen = {} if claim["spec"].get("volumeName") else {BY_CONTROLLER: "yes"}
        marks = {"pv.kubernetes.io/bind-completed": "yes", **chosen}
        held = list(dict.fromkeys([*finalizers(claim), PROTECTION]))
        change = {
            "metadata": {"annotations": marks, "finalizers": held},
            "spec": {"volumeName": name_of(volume)},
        }
        key = namespace_of(claim), name_of(claim)
        self._client.patch(CLAIMS, *key, change)
        capacity, modes = volume["spec"]["capacity"], volume["spec"]["accessModes"]
        status = {"phase": "Bound", "accessModes": modes, "capacity": capacity}
        self._client.patch(CLAIMS, *key, {"status": status}, subresource="status")

    def _let_go(self, claim: Obj) -> None:
        """A claim that a pod uses stays until the pod has ended."""

        def uses(pod: Obj) -> bool:
            return name_of(claim) in claims_of(pod) and not is_terminal(pod)

        if self._client.list("pods", namespace_of(claim), where=uses):
            return
        rest = [one for one in finalizers(claim) if one != PROTECTION]
        if rest != finalizers(claim):
            change = {"metadata": {"finalizers": rest or None}}
            self._client.patch(CLAIMS, namespace_of(claim), name_of(claim), change)

    def _reclaim(self, claim: Obj) -> None:
        """The volume of a claim that is gone: deleted with its directory, or kept as Released."""
        volume = self._client.get(VOLUMES, "", claim["spec"].get("volumeName") or "-")
        if volume is None or (volume["spec"].get("claimRef") or {}).get("uid") != uid_of(claim):
            return
        if volume["spec"].get("persistentVolumeReclaimPolicy") != "Delete":
            self._client.patch(VOLUMES, "", name_of(volume), {"status": {"phase": "Released"}}, subresource="status")
            return
        self._client.delete(VOLUMES, "", name_of(volume), uid=uid_of(volume))
        path = Path((volume["spec"].get("hostPath") or {}).get("path", ""))
        if path.is_relative_to(self._directory):
            shutil.rmtree(path, ignore_errors=True)


def claims_of(pod: Obj) -> list[str]:
    volumes = pod["spec"].get("volumes") or ()
    return [one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one]
