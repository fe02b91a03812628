"""How claims grow, and what of them stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from apiserver.clients.citing import docs, source
from apiserver.clients.raw import MERGE, Answer, Raw
from apiserver.clients.stories import becomes, event, has, in_phase, now, pod, script

Obj = dict[str, Any]

CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
VOLUMES = "/api/v1/persistentvolumes"
CLAIMS = "persistentvolumeclaims"
EXPANDING = "concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims"
ADMISSION = "plugin/pkg/admission/storage/persistentvolume/resize/admission.go"
VALIDATION = "pkg/apis/core/validation/validation.go"
NO_GROWTH = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
)
IMMUTABLE = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName"
TOO_SMALL = "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"


@dataclass
class Claims:
    """Claims of one storage class, which nobody provisions for: their volumes are made by hand."""

    raw: Raw
    name: str

    def storage_class(self, provisioner: str = "example.com/nobody", **fields: Any) -> None:
        body = {"metadata": {"name": self.name}, "provisioner": provisioner, **fields}
        self.raw.made(CLASSES, body)

    def pending(self, name: str = "one", size: str = "1Mi") -> None:
        wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
        self.raw.made(
            self.raw.at(CLAIMS), {"metadata": {"name": name}, "spec": {**wanted, "storageClassName": self.name}}
        )

    def bound(self, name: str = "one") -> None:
        """A claim of 1Mi with a volume of 2Mi."""
        self.volume(name)
        self.pending(name)
        becomes(self.raw, CLAIMS, name, in_phase("Bound"))

    def volume(self, name: str, *, is_kept: bool = True) -> None:
        path = {"path": f"/tmp/{self.name}-{name}", "type": "DirectoryOrCreate"}
        kept = {"claimRef": {"namespace": self.raw.namespace, "name": name}} if is_kept else {}
        rest = {"capacity": {"storage": "2Mi"}, "accessModes": ["ReadWriteOnce"], "hostPath": path}
        metadata = {"name": f"{self.name}-{name}", "labels": {"of": self.name}}
        self.raw.made(VOLUMES, {"metadata": metadata, "spec": {**kept, **rest, "storageClassName": self.name}})

    def user(self) -> None:
        """A pod that needs the claim."""
        volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "one"}}]
        self.raw.made(self.raw.at("pods"), pod(script("true"), volumes=volumes))

    def change(self, **spec: Any) -> Answer:
        return self.raw.ask("PATCH", self.raw.at(CLAIMS, "one"), {"spec": spec}, MERGE)

    def resize(self, size: str) -> Answer:
        return self.change(resources={"requests": {"storage": size}})

    def forget(self) -> None:
        self.raw.ask("DELETE", self.raw.at(CLAIMS))
        self.raw.ask("DELETE", VOLUMES, labelSelector=f"of={self.name}")
        self.raw.ask("DELETE", f"{CLASSES}/{self.name}")


@pytest.fixture
def claims(raw: Raw) -> Iterator[Claims]:
    found = Claims(raw, raw.namespace)
    yield found
    found.forget()


@docs(EXPANDING)
@source(ADMISSION)
@pytest.mark.parametrize("fields", [{}, {"allowVolumeExpansion": False}])
def test_claim_does_not_grow_unless_its_class_allows_it(claims: Claims, fields: Obj) -> None:
    claims.storage_class(**fields)
    claims.bound()
    refused = claims.resize("3Mi")
    assert (refused.code, refused.reason) == (403, "Forbidden")
    assert refused.message == f'persistentvolumeclaims "one" is forbidden: {NO_GROWTH}'


@source(ADMISSION)
def test_claim_of_a_class_that_is_gone_does_not_grow(claims: Claims) -> None:
    claims.bound()
    assert claims.resize("3Mi").message == f'persistentvolumeclaims "one" is forbidden: {NO_GROWTH}'


@docs(EXPANDING)
@source("pkg/controller/volume/expand/expand_controller.go")
def test_claim_grows_where_its_class_allows_it(claims: Claims) -> None:
    claims.storage_class(allowVolumeExpansion=True)
    claims.bound()
    grown = claims.resize("3Mi")
    assert (grown.code, grown.body["spec"]["resources"]) == (200, {"requests": {"storage": "3Mi"}})
    assert grown.body["status"]["capacity"] == {"storage": "2Mi"}
    told = event(claims.raw, "ExternalExpanding", "one")
    assert (told["type"], told["source"]["component"]) == ("Normal", "volume_expand")
    assert told["message"] == "waiting for an external controller to expand this PVC"


@docs("concepts/storage/persistent-volumes/#recovering-from-failure-when-expanding-volumes")
@source(VALIDATION)
def test_claim_may_take_back_what_it_has_not_got_and_no_more(claims: Claims) -> None:
    claims.storage_class(allowVolumeExpansion=True)
    claims.bound()
    assert claims.resize("5Mi").code == 200
    assert claims.resize("3Mi").code == 200
    for size in ("2Mi", "1Mi"):
        refused = claims.resize(size)
        assert (refused.code, refused.message) == (422, f'PersistentVolumeClaim "one" is invalid: {TOO_SMALL}')


@source(VALIDATION)
def test_claim_that_is_not_bound_keeps_its_size(claims: Claims) -> None:
    claims.storage_class(allowVolumeExpansion=True)
    claims.pending(size="2Mi")
    for size in ("1Mi", "3Mi"):
        refused = claims.resize(size)
        assert refused.code == 422
        assert refused.message.startswith(f'PersistentVolumeClaim "one" is invalid: {IMMUTABLE}')


@source(VALIDATION)
@pytest.mark.parametrize(
    "spec",
    [
        {"resources": {"limits": {"storage": "9Mi"}}},
        {"resources": {"requests": {"cpu": "1"}}},
        {"accessModes": ["ReadOnlyMany"]},
        {"storageClassName": "other"},
        {"volumeName": "other"},
        {"selector": {"matchLabels": {"a": "b"}}},
    ],
    ids=str,
)
def test_bound_claim_stays_as_it_is_but_for_its_size(claims: Claims, spec: Obj) -> None:
    claims.storage_class(allowVolumeExpansion=True)
    claims.bound()
    refused = claims.change(**spec)
    assert refused.code == 422
    assert refused.message.startswith(f'PersistentVolumeClaim "one" is invalid: {IMMUTABLE} for bound claims\n')


@source(VALIDATION)
def test_all_that_is_wrong_with_a_change_of_a_claim_is_told_at_once(claims: Claims) -> None:
    claims.bound()
    refused = claims.change(resources=None, volumeMode="Block")
    found = [(cause["reason"], cause["field"]) for cause in refused.body["details"]["causes"]]
    assert found == [
        ("FieldValueRequired", "spec.resources[storage]"),
        ("FieldValueForbidden", "spec"),
        ("FieldValueForbidden", "spec.resources.requests.storage"),
        ("FieldValueInvalid", "volumeMode"),
    ]


@docs("concepts/storage/persistent-volumes/#retroactive-default-storageclass-assignment")
@source(VALIDATION)
def test_claim_without_a_class_may_be_given_one_and_keeps_it(claims: Claims) -> None:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    body = {"metadata": {"name": "one"}, "spec": {**wanted, "storageClassName": ""}}
    claims.raw.made(claims.raw.at(CLAIMS), body)
    refused = claims.change(storageClassName="other")
    assert refused.message.startswith(f'PersistentVolumeClaim "one" is invalid: {IMMUTABLE}')


MODE = "concepts/storage/storage-classes/#volume-binding-mode"
BINDER = "pkg/scheduler/framework/plugins/volumebinding/binder.go"
DELAYED = {"volumeBindingMode": "WaitForFirstConsumer"}
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
NODE = "volume.kubernetes.io/selected-node"


@docs("concepts/storage/persistent-volumes/#dynamic")
@source("pkg/controller/volume/persistentvolume/pv_controller.go")
def test_claim_says_which_provisioner_it_waits_for(claims: Claims) -> None:
    claims.storage_class()
    claims.pending()
    told = event(claims.raw, "ExternalProvisioning", "one")
    assert told["message"].startswith("Waiting for a volume to be created either by the external provisioner ")
    assert "'example.com/nobody'" in told["message"]
    found = now(claims.raw, CLAIMS, "one")["metadata"]["annotations"]
    assert (found[PROVISIONER], NODE in found) == ("example.com/nobody", False)


@docs(MODE)
@source(BINDER, "pkg/controller/volume/persistentvolume/pv_controller.go")
def test_claim_waits_for_the_pod_that_uses_it_and_is_told_its_node(claims: Claims) -> None:
    claims.storage_class(**DELAYED)
    claims.pending()
    told = event(claims.raw, "WaitForFirstConsumer", "one")
    assert told["message"] == "waiting for first consumer to be created before binding"
    assert "annotations" not in now(claims.raw, CLAIMS, "one")["metadata"]
    claims.user()
    chosen = becomes(claims.raw, CLAIMS, "one", lambda one: PROVISIONER in one["metadata"].get("annotations", {}))
    node = chosen["metadata"]["annotations"][NODE]
    claims.volume("one")
    assert becomes(claims.raw, "pods", "p", in_phase("Succeeded"))["spec"]["nodeName"] == node
    assert now(claims.raw, CLAIMS, "one")["status"]["phase"] == "Bound"


@docs(MODE, "concepts/storage/storage-classes/#local")
@source(BINDER)
def test_pod_chooses_a_volume_for_a_claim_that_nobody_provisions_for(claims: Claims) -> None:
    claims.storage_class("kubernetes.io/no-provisioner", **DELAYED)
    claims.pending()
    claims.user()
    held = becomes(claims.raw, "pods", "p", has("PodScheduled", "False"))
    [why] = [one["message"] for one in held["status"]["conditions"] if one["type"] == "PodScheduled"]
    assert "node(s) didn't find available persistent volumes to bind" in why
    claims.volume("any", is_kept=False)
    becomes(claims.raw, "pods", "p", in_phase("Succeeded"))
    assert now(claims.raw, CLAIMS, "one")["spec"]["volumeName"] == f"{claims.name}-any"
