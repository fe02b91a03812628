"""What evictions do to the budget of their pods."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.clients.citing import docs, source
from apiserver.clients.raw import Raw
from apiserver.clients.stories import at, becomes, is_running, pod, script, told
from apiserver.clients.waiting import until

Obj = dict[str, Any]

EVICTION = "pkg/registry/core/pod/storage/eviction.go"
STUBBORN = "trap '' TERM; while :; do sleep 0.1; done"


def evict(raw: Raw, name: str, body_of: str = "", **query: Any) -> Any:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": body_of or name}}
    return raw.create(raw.at("pods", name, "eviction"), eviction, **query)


def budget() -> Obj:
    return {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}}}


@pytest.fixture
def two(raw: Raw) -> None:
    """Two pods of which one may go."""
    for name in ("p1", "p2"):
        one = pod(script(STUBBORN), name=name, labels={"app": "p"}, terminationGracePeriodSeconds=3)
        raw.made(raw.at("pods"), one)
    for name in ("p1", "p2"):
        becomes(raw, "pods", name, is_running())


@docs("concepts/scheduling-eviction/api-eviction/#how-api-initiated-eviction-works")
@source(EVICTION, "pkg/controller/disruption/disruption.go")
def test_budget_names_an_evicted_pod_until_its_deletion_is_seen(raw: Raw, two: None) -> None:
    with told(raw, "poddisruptionbudgets", budget()) as story:
        story.until(lambda one: one["status"].get("disruptionsAllowed") == 1)
        assert evict(raw, "p1", dryRun="All").code == 201
        assert evict(raw, "p1").code == 201
        spent = story.until(lambda one: one["status"]["disruptionsAllowed"] == 0)["status"]
        assert (list(spent["disruptedPods"]), spent["currentHealthy"]) == (["p1"], 2)
        assert [(one["status"], one["reason"]) for one in spent["conditions"]] == [("False", "InsufficientPods")]
        seen = story.until(lambda one: "disruptedPods" not in one["status"])["status"]
        assert (seen["currentHealthy"], seen["disruptionsAllowed"]) == (1, 0)
    refused = evict(raw, "p2")
    assert (refused.code, refused.reason) == (429, "TooManyRequests")
    assert [one["message"] for one in refused.body["details"]["causes"]] == [
        "The disruption budget b needs 1 healthy pods and has 1 currently"
    ]


@source(EVICTION)
def test_eviction_is_of_the_pod_that_it_names(raw: Raw, two: None) -> None:
    refused = evict(raw, "p1", body_of="p2")
    assert (refused.code, refused.message) == (400, "name in URL does not match name in Eviction object")


@source("pkg/controller/disruption/disruption.go")
def test_pod_that_is_evicted_and_stays_counts_no_more(raw: Raw, two: None) -> None:
    path = at(raw, "poddisruptionbudgets", "b")
    raw.made(at(raw, "poddisruptionbudgets"), budget())
    until(lambda: raw.get(path).body["status"].get("disruptionsAllowed") == 1, "a budget that is counted")
    now = raw.get(path).body["metadata"]["creationTimestamp"]
    change = {"status": {"disruptedPods": {"p1": now, "gone": now}}}
    assert raw.ask("PATCH", f"{path}/status", change, "application/merge-patch+json").code == 200

    def counted() -> Any:
        status = raw.get(path).body["status"]
        return (status.get("disruptedPods"), status["currentHealthy"]) == ({"p1": now}, 1)

    until(counted, "one pod fewer")
