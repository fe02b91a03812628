"""What a CSIDriver says where it says nothing, and what it may not say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from apiserver.clients.citing import docs, source
from apiserver.clients.raw import MERGE, Raw

Obj = dict[str, Any]

DRIVERS = "/apis/storage.k8s.io/v1/csidrivers"
DRIVER = "reference/kubernetes-api/config-and-storage-resources/csi-driver-v1/"
VALIDATION = "pkg/apis/storage/validation/validation.go"


@pytest.fixture
def name(raw: Raw) -> Iterator[str]:
    yield f"{raw.namespace}.example.com"
    raw.ask("DELETE", f"{DRIVERS}/{raw.namespace}.example.com")


@docs(DRIVER)
@source("pkg/apis/storage/v1/defaults.go")
def test_driver_attaches_persistent_volumes_unless_it_says_otherwise(raw: Raw, name: str) -> None:
    made = raw.made(DRIVERS, {"metadata": {"name": name}, "spec": {}})
    assert made["spec"] == {
        "attachRequired": True,
        "podInfoOnMount": False,
        "volumeLifecycleModes": ["Persistent"],
        "storageCapacity": False,
        "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "requiresRepublish": False,
        "seLinuxMount": False,
    }


WRONG = {
    'volumeLifecycleModes: Unsupported value: "No": supported values: "Persistent", "Ephemeral"': {
        "volumeLifecycleModes": ["No"]
    },
    'fsGroupPolicy: Unsupported value: "x": supported values: "File", "None", "ReadWriteOnceWithFSType"': {
        "fsGroupPolicy": "x"
    },
    'tokenRequests[1].audience: Duplicate value: "a"': {"tokenRequests": [{"audience": "a"}, {"audience": "a"}]},
    "tokenRequests[0].expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes": {
        "tokenRequests": [{"audience": "a", "expirationSeconds": 10}]
    },
}


@source(VALIDATION)
@pytest.mark.parametrize("why", WRONG)
def test_what_no_driver_can_do_is_refused(raw: Raw, name: str, why: str) -> None:
    refused = raw.create(DRIVERS, {"metadata": {"name": name}, "spec": WRONG[why]})
    assert (refused.code, refused.message) == (422, f'CSIDriver.storage.k8s.io "{name}" is invalid: spec.{why}')


@source(VALIDATION)
def test_driver_keeps_how_its_volumes_live(raw: Raw, name: str) -> None:
    raw.made(DRIVERS, {"metadata": {"name": name}, "spec": {}})
    for spec, field in (({"attachRequired": False}, "attachedRequired"),
                        ({"volumeLifecycleModes": ["Ephemeral"]}, "volumeLifecycleModes")):  # fmt: skip
        refused = raw.ask("PATCH", f"{DRIVERS}/{name}", {"spec": spec}, MERGE)
        assert [one["field"] for one in refused.body["details"]["causes"]] == [f"spec.{field}"]
    assert raw.ask("PATCH", f"{DRIVERS}/{name}", {"spec": {"podInfoOnMount": True}}, MERGE).code == 200
