"""Watches as the API concepts describe them, event by event."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from apiserver.clients.citing import docs, source
from apiserver.clients.raw import MERGE, PARTIAL, TABLE, Raw

Obj = dict[str, Any]

CONCEPTS = "reference/using-api/api-concepts/"
INITIAL = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}


@pytest.fixture
def secrets(raw: Raw) -> str:
    """A kind of which a new namespace has none."""
    return raw.at("secrets")


def secret(name: str = "one", tier: str = "") -> Obj:
    return {"metadata": {"name": name, **({"labels": {"tier": tier}} if tier else {})}}


def relabel(raw: Raw, path: str, tier: str | None) -> None:
    assert raw.ask("PATCH", path, {"metadata": {"labels": {"tier": tier}}}, MERGE).code == 200


def told(event: Obj) -> tuple[str, str]:
    return event["type"], event["object"]["metadata"]["name"]


@docs(f"{CONCEPTS}#efficient-detection-of-changes")
def test_watch_tells_all_that_happened_since_a_version(raw: Raw, secrets: str) -> None:
    since = raw.get(secrets).body["metadata"]["resourceVersion"]
    raw.made(secrets, secret())
    relabel(raw, f"{secrets}/one", "front")
    raw.ask("DELETE", f"{secrets}/one")
    with raw.watch(secrets, resourceVersion=since) as events:
        seen = list(islice(events, 3))
    assert [told(event) for event in seen] == [("ADDED", "one"), ("MODIFIED", "one"), ("DELETED", "one")]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in seen]
    assert versions == sorted(set(versions))


@docs(f"{CONCEPTS}#semantics-for-watch")
def test_watch_without_a_version_begins_with_what_is_there(raw: Raw, secrets: str) -> None:
    raw.made(secrets, secret("a"))
    raw.made(secrets, secret("b"))
    with raw.watch(secrets) as events:
        assert {told(event) for event in islice(events, 2)} == {("ADDED", "a"), ("ADDED", "b")}


@docs(f"{CONCEPTS}#semantics-for-watch")
def test_watch_from_zero_begins_with_what_is_there(raw: Raw, secrets: str) -> None:
    raw.made(secrets, secret("a"))
    with raw.watch(secrets, resourceVersion="0") as events:
        assert told(next(events)) == ("ADDED", "a")


@docs(f"{CONCEPTS}#streaming-lists")
def test_streamed_list_ends_with_an_annotated_bookmark(raw: Raw, secrets: str) -> None:
    raw.made(secrets, secret("a"))
    with raw.watch(secrets, **INITIAL) as events:
        first, mark = islice(events, 2)
    assert told(first) == ("ADDED", "a")
    assert mark["type"] == "BOOKMARK"
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(mark["object"]["metadata"]["resourceVersion"]) >= int(first["object"]["metadata"]["resourceVersion"])


@docs(f"{CONCEPTS}#streaming-lists")
def test_streamed_list_of_nothing_is_a_bookmark(raw: Raw, secrets: str) -> None:
    with raw.watch(secrets, **INITIAL) as events:
        assert next(events)["type"] == "BOOKMARK"


@docs(f"{CONCEPTS}#streaming-lists")
def test_initial_events_need_a_version_match(raw: Raw, secrets: str) -> None:
    refused = raw.get(secrets, watch="true", sendInitialEvents="true")
    assert (refused.code, refused.reason) == (422, "Invalid")


@docs(
    f"{CONCEPTS}#efficient-detection-of-changes",
    "concepts/overview/working-with-objects/labels/#list-and-watch-filtering",
)
def test_object_that_begins_to_match_is_added_and_one_that_ends_deleted(raw: Raw, secrets: str) -> None:
    since = raw.made(secrets, secret())["metadata"]["resourceVersion"]
    for tier in ("front", "back"):
        relabel(raw, f"{secrets}/one", tier)
    with raw.watch(secrets, resourceVersion=since, labelSelector="tier=front") as events:
        entered, left = islice(events, 2)
    assert (told(entered), told(left)) == (("ADDED", "one"), ("DELETED", "one"))
    assert left["object"]["metadata"]["labels"] == {"tier": "front"}


@docs("concepts/overview/working-with-objects/field-selectors/")
def test_one_object_is_watched_by_its_name(raw: Raw, secrets: str) -> None:
    since = raw.get(secrets).body["metadata"]["resourceVersion"]
    for name in ("a", "b", "c"):
        raw.made(secrets, secret(name))
    with raw.watch(secrets, resourceVersion=since, fieldSelector="metadata.name=b") as events:
        assert told(next(events)) == ("ADDED", "b")


@docs("concepts/overview/working-with-objects/namespaces/")
def test_watch_of_a_namespace_sees_no_other(raw: Raw, secrets: str) -> None:
    since = raw.get(secrets).body["metadata"]["resourceVersion"]
    other = f"/api/v1/namespaces/default/secrets/{raw.namespace}"
    raw.made("/api/v1/namespaces/default/secrets", secret(raw.namespace))
    raw.made(secrets, secret("here"))
    try:
        with raw.watch(secrets, resourceVersion=since) as events:
            assert told(next(events)) == ("ADDED", "here")
    finally:
        raw.ask("DELETE", other)


@docs(f"{CONCEPTS}#410-gone-responses")
def test_version_that_is_too_old_is_gone(raw: Raw, secrets: str) -> None:
    with raw.watch(secrets, resourceVersion="1") as events:
        gone = next(events)
    assert gone["type"] == "ERROR"
    assert (gone["object"]["code"], gone["object"]["reason"]) == (410, "Expired")


@docs(f"{CONCEPTS}#receiving-resources-as-tables")
def test_table_is_watched_row_by_row(raw: Raw, secrets: str) -> None:
    raw.made(secrets, secret("a"))
    raw.made(secrets, secret("b"))
    with raw.watch(secrets, accept=TABLE) as events:
        first, second = islice(events, 2)
    assert [event["object"]["kind"] for event in (first, second)] == ["Table", "Table"]
    assert first["object"]["columnDefinitions"]
    assert not second["object"]["columnDefinitions"]
    assert {event["object"]["rows"][0]["cells"][0] for event in (first, second)} == {"a", "b"}


@docs(f"{CONCEPTS}#metadata-only-fetches")
def test_metadata_is_watched_alone(raw: Raw, secrets: str) -> None:
    raw.made(secrets, {**secret(), "stringData": {"a": "1"}})
    with raw.watch(secrets, accept=PARTIAL) as events:
        seen = next(events)["object"]
    assert (seen["kind"], "data" in seen) == ("PartialObjectMetadata", False)


@docs(f"{CONCEPTS}#efficient-detection-of-changes")
def test_watch_ends_when_its_time_is_over(raw: Raw, secrets: str) -> None:
    with raw.watch(secrets, timeoutSeconds=1) as events:
        assert list(events) == []


def deprecated(path: str) -> str:
    """A path of before there was a parameter; the tests say ``watch=false``, which it does not ask."""
    return path.replace("/v1/", "/v1/watch/", 1)


@docs(f"{CONCEPTS}#efficient-detection-of-changes")
def test_deprecated_path_tells_of_all_objects_of_a_namespace(raw: Raw, secrets: str) -> None:
    raw.made(secrets, secret("one"))
    with raw.watch(deprecated(secrets), watch="false") as events:
        assert told(next(events)) == ("ADDED", "one")
        raw.made(secrets, secret("two"))
        assert told(next(events)) == ("ADDED", "two")


@docs(f"{CONCEPTS}#efficient-detection-of-changes")
def test_deprecated_path_tells_of_one_object_or_of_a_namespace_itself(raw: Raw, secrets: str) -> None:
    for name in ("one", "two"):
        raw.made(secrets, secret(name))
    with raw.watch(deprecated(f"{secrets}/two"), watch="false") as events:
        assert told(next(events)) == ("ADDED", "two")
    with raw.watch(f"/api/v1/watch/namespaces/{raw.namespace}", watch="false") as events:
        assert told(next(events)) == ("ADDED", raw.namespace)


@source("staging/src/k8s.io/apiserver/pkg/endpoints/handlers/get.go")
def test_deprecated_path_is_only_read_and_of_one_name(raw: Raw, secrets: str) -> None:
    path = deprecated(f"{secrets}/one")
    refused = raw.get(path, fieldSelector="metadata.name=two")
    assert (refused.code, refused.message) == (400, "fieldSelector metadata.name doesn't match requested name")
    assert [raw.ask(method, path).code for method in ("DELETE", "HEAD")] == [405, 405]
    assert raw.get("/api/v1/watch/nothings").code == 404
    assert raw.get(deprecated(raw.at("pods", "one", "log"))).code == 404
