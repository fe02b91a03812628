"""ResourceQuotas refuse in Kubernetes' words."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from devplane.errors import ApiError
from devplane.machinery.quota import check, text, usage

Obj = dict[str, Any]


def pod(name: str, phase: str = "Running", **requests: str) -> Obj:
    amounts = {key.replace("gpu", "nvidia.com/gpu"): value for key, value in requests.items()}
    container = {"name": "c", "resources": {"requests": amounts}}
    return {"metadata": {"name": name}, "spec": {"containers": [container]}, "status": {"phase": phase}}


def quota(**hard: str) -> Obj:
    return {"metadata": {"name": "team"}, "spec": {"hard": hard}}


def refused(new: Obj, limit: Obj, *held: Obj) -> str:
    with pytest.raises(ApiError) as found:
        check_pod(new, limit, *held)
    assert (found.value.code, found.value.reason) == (403, "Forbidden")
    return found.value.message


def check_pod(new: Obj, limit: Obj, *held: Obj) -> None:
    check("pods", "pods", new, [limit], lambda resource: held if resource == "pods" else ())


def test_pod_too_many_is_refused() -> None:
    assert refused(pod("c"), quota(pods="2"), pod("a"), pod("b")) == (
        'pods "c" is forbidden: exceeded quota: team, requested: pods=1, used: pods=2, limited: pods=2'
    )


def test_ended_pods_take_nothing_but_are_counted() -> None:
    ended = pod("a", "Succeeded")
    check_pod(pod("b"), quota(pods="1"), ended)
    assert "count/pods=1" in refused(pod("b"), quota(**{"count/pods": "1"}), ended)


def test_refusal_names_only_what_there_is_too_much_of() -> None:
    limit = quota(**{"requests.nvidia.com/gpu": "4", "requests.cpu": "1500m", "memory": "4Gi"})
    assert refused(pod("b", cpu="1", memory="2Gi", gpu="2"), limit, pod("a", cpu="1", memory="1Gi", gpu="3")) == (
        'pods "b" is forbidden: exceeded quota: team, requested: requests.cpu=1,requests.nvidia.com/gpu=2, '
        "used: requests.cpu=1,requests.nvidia.com/gpu=3, limited: requests.cpu=1500m,requests.nvidia.com/gpu=4"
    )


def test_pod_that_does_not_say_what_it_needs_is_refused() -> None:
    said = refused(pod("a", cpu="1"), quota(**{"cpu": "2", "memory": "1Gi", "limits.cpu": "3"}))
    assert said == 'pods "a" is forbidden: failed quota: team: must specify limits.cpu for: c; memory for: c'


def test_quota_of_other_resources_leaves_pods_alone() -> None:
    check_pod(pod("a"), quota(**{"count/jobs.batch": "0", "configmaps": "0"}))


def test_usage_is_of_what_is_limited() -> None:
    held = [pod("a", cpu="250m"), pod("b", cpu="500m")]
    found = usage(quota(cpu="1", secrets="3"), lambda resource: held if resource == "pods" else ())
    assert found == {"cpu": Decimal("0.75"), "secrets": Decimal(0)}


@pytest.mark.parametrize(
    ("name", "amount", "shown"),
    [("cpu", "0.5", "500m"), ("memory", "1073741824", "1Gi"), ("memory", "1000", "1000"), ("pods", "3", "3")],
)
def test_quantities_are_written_as_kubernetes_does(name: str, amount: str, shown: str) -> None:
    assert text(name, Decimal(amount)) == shown
