"""Which routes claim the same requests, and which of them gets them."""

from __future__ import annotations

from typing import Any

import pytest

from tunebird.traffic.overlap import shadow, shared

Json = dict[str, Any]
PUBLIC = {"name": "public", "namespace": "infra"}


EARLY, LATE = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"


def route(name: str, hosts: tuple[str, ...] = ("chat.example.com",), made: str = EARLY, **more: Any) -> Json:
    """`match` and `parent` are those of the route's one rule."""
    metadata = {"name": name, "namespace": more.get("namespace", "ml"), "creationTimestamp": made}
    rule = {"matches": [more["match"]]} if "match" in more else {}
    spec = {"parentRefs": [more.get("parent", PUBLIC)], "hostnames": list(hosts), "rules": [rule]}
    return {"metadata": metadata, "spec": spec}


def test_older_route_of_the_same_host_gets_the_requests() -> None:
    old, new = route("old"), route("new", made=LATE)
    said = "the route of ModelRollout ml/old is older and gets its requests: hostname chat.example.com with path / on "
    assert shadow(new, [new, old]) == f"{said}Gateway infra/public"
    assert shadow(old, [new, old]) == ""


def test_of_two_of_the_same_second_the_first_by_name_counts_as_older() -> None:
    one, two = route("a"), route("b")
    assert shadow(two, [one, two])
    assert not shadow(one, [one, two])


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({}, {"match": {"path": {"type": "PathPrefix", "value": "/"}}}),
        ({"match": {"path": {"value": "/v1"}}}, {"match": {"path": {"type": "PathPrefix", "value": "/v1/"}}}),
        (
            {"match": {"headers": [{"name": "X-Team", "value": "a"}]}},
            {"match": {"headers": [{"type": "Exact", "name": "x-team", "value": "a"}]}},
        ),
        ({"hosts": ("a.example.com", "b.example.com")}, {"hosts": ("B.example.com",)}),
        ({"parent": {"name": "public"}}, {"parent": {"name": "public", "namespace": "ml"}}),
        ({}, {"parent": {**PUBLIC, "sectionName": "https"}}),
    ],
)
def test_claims_are_the_same_whatever_was_left_out(one: Json, two: Json) -> None:
    assert shared(route("a", **one), route("b", **two))


@pytest.mark.parametrize(
    "other",
    [
        {"hosts": ("other.example.com",)},
        {"hosts": ()},  # a named host goes before every host
        {"match": {"path": {"value": "/v2"}}},
        {"match": {"path": {"type": "Exact", "value": "/"}}},
        {"parent": {"name": "public", "namespace": "other"}},
        {"parent": {**PUBLIC, "sectionName": "https"}},
        {"match": {"method": "POST"}},
    ],
)
def test_what_the_gateway_can_tell_apart_is_no_overlap(other: Json) -> None:
    first = route("a", parent={**PUBLIC, "sectionName": "http"}) if "sectionName" in str(other) else route("a")
    assert shared(first, route("b", **other)) is None
