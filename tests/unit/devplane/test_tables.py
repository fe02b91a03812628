"""Every kind that is served has columns and cells. The client suite holds them to those of Kubernetes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from devplane.printing.columns import columns_of, resources_with_columns
from devplane.printing.kinds import CELLS
from devplane.resources.builtin import builtin_resources

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LISTED = sorted({resource.key for resource in builtin_resources() if "list" in resource.verbs})


def cells(resource: str, **content: Any) -> dict[str, Any]:
    metadata = {"name": "n", "creationTimestamp": "2026-01-01T00:00:00Z", **content.pop("metadata", {})}
    row = CELLS[resource]({"metadata": metadata, **content}, NOW)
    return dict(zip((column["name"] for column in columns_of(resource)), row, strict=True))


def test_every_kind_that_can_be_listed_has_columns_and_cells() -> None:
    assert sorted(CELLS) == LISTED
    assert sorted(resources_with_columns()) == LISTED


@pytest.mark.parametrize("resource", LISTED)
def test_object_with_nothing_in_it_has_a_cell_in_each_column(resource: str) -> None:
    assert cells(resource)["Name"] == "n"


@pytest.mark.parametrize("resource", LISTED)
def test_columns_are_described(resource: str) -> None:
    unsaid = [column["name"] for column in columns_of(resource) if not column["description"]]
    assert unsaid == (["Handler"] if resource == "runtimeclasses.node.k8s.io" else [])


def test_clock_of_a_failed_job_runs_on() -> None:
    failed = {"type": "Failed", "status": "True", "lastTransitionTime": "2026-01-01T00:01:00Z"}
    shown = cells("jobs.batch", status={"startTime": "2026-01-01T00:00:00Z", "conditions": [failed]})
    assert (shown["Status"], shown["Duration"]) == ("Failed", "24h")


def test_job_that_is_being_deleted_is_terminating() -> None:
    assert cells("jobs.batch", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})["Status"] == "Terminating"


def test_event_of_a_series_was_last_seen_when_the_series_was() -> None:
    series = {"count": 9, "lastObservedTime": "2026-01-01T23:59:00.000000Z"}
    shown = cells("events", eventTime="2026-01-01T00:00:00.000000Z", series=series)
    assert (shown["Last Seen"], shown["First Seen"], shown["Count"]) == ("60s", "24h", 9)


def test_service_of_a_load_balancer_shows_its_addresses_beside_its_own() -> None:
    given = {"loadBalancer": {"ingress": [{"ip": "10.0.0.2"}, {"hostname": "a.example"}]}}
    spec = {"type": "LoadBalancer", "externalIPs": ["10.0.0.1"], "ports": [{"port": 80, "nodePort": 30080}]}
    shown = cells("services", spec=spec, status=given)
    assert (shown["External-IP"], shown["Port(s)"]) == ("10.0.0.2,a.example,10.0.0.1", "80:30080/TCP")


def test_service_that_no_load_balancer_took_is_pending() -> None:
    assert cells("services", spec={"type": "LoadBalancer"})["External-IP"] == "<pending>"


def test_api_service_says_why_it_is_not_available() -> None:
    down = {"type": "Available", "status": "False", "reason": "MissingEndpoints"}
    spec = {"service": {"namespace": "a", "name": "b"}}
    shown = cells("apiservices.apiregistration.k8s.io", spec=spec, status={"conditions": [down]})
    assert (shown["Service"], shown["Available"]) == ("a/b", "False (MissingEndpoints)")
