"""What the recordings do not show: who is let in, restarts, watches that begin late, bodies that make no sense."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from apiserver.api.conftest import serving
from apiserver.api.replay import Replay, Until
from devplane.app import BindError, Devplane, Options
from devplane.storage.store import Store

MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


async def test_without_a_token_nothing_but_health_and_version_is_answered(server: Replay) -> None:
    nobody = {"Authorization": None}
    assert (await server.send("GET", "/readyz", headers=nobody)).status == 200
    assert (await server.send("GET", "/version", headers=nobody)).status == 200
    for path in ("/api", "/apis", "/openapi/v3", MAPS, "/api/v1/secrets", "/nothing"):
        assert (await server.send("GET", path, headers=nobody)).status == 403, path


async def test_a_wrong_token_is_unauthorized(server: Replay) -> None:
    assert (await server.send("GET", MAPS, headers={"Authorization": "Bearer nonsense"})).status == 401


async def test_another_scheme_than_bearer_is_nobody(server: Replay) -> None:
    assert (await server.send("GET", MAPS, headers={"Authorization": "Basic bm86bm8="})).status == 403


async def test_a_browser_is_not_let_in_by_another_name(server: Replay) -> None:
    assert (await server.send("GET", MAPS, headers={"Host": "evil.example"})).status == 403
    assert (await server.send("POST", MAPS, config_map("x"), {"Origin": "https://evil.example"})).status == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "::", "example.com"])
def test_only_loopback_addresses_are_listened_on(tmp_path: Path, host: str) -> None:
    with pytest.raises(BindError, match="not a loopback address"):
        Devplane(Options(tmp_path, host=host))


async def test_keys_and_kubeconfig_are_for_the_owner_alone(tmp_path: Path) -> None:
    async with serving(tmp_path) as (plane, _):
        private = [plane.kubeconfig, plane.credentials.key, plane.credentials.signing_key, tmp_path / "pki/admin.token"]
        assert [path.stat().st_mode & 0o077 for path in private] == [0, 0, 0, 0]


async def test_a_restart_keeps_objects_uids_and_versions_rising(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, client):
        before = (await client.send("POST", MAPS, config_map("kept", a="1"))).body
        await client.send("POST", MAPS, config_map("gone"))
        last = int((await client.send("GET", MAPS)).body["metadata"]["resourceVersion"])
        await client.send("DELETE", f"{MAPS}/gone")
    async with serving(tmp_path) as (_, client):
        assert (await client.send("GET", f"{MAPS}/kept")).body == before
        assert (await client.send("GET", f"{MAPS}/gone")).status == 404
        after = (await client.send("POST", MAPS, config_map("new"))).body
        assert int(after["metadata"]["resourceVersion"]) > last + 1


async def test_definitions_are_served_again_after_a_restart(tmp_path: Path) -> None:
    from apiserver.clients import widgets

    path = "/apis/g.example.com/v1/namespaces/default/widgets"
    async with serving(tmp_path) as (_, client):
        crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        assert (await client.send("POST", crds, widgets.definition("g.example.com"))).status == 201
        assert (await client.send("POST", path, widgets.widget("g.example.com"))).status == 201
    async with serving(tmp_path) as (_, client):
        assert (await client.send("GET", f"{path}/one")).body["spec"]["mode"] == "auto"


async def test_a_watch_list_ends_its_first_events_with_a_bookmark(server: Replay) -> None:
    await server.send("POST", MAPS, config_map("one"))
    query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    events = (await server.send("GET", f"{MAPS}?{query}&timeoutSeconds=1")).body
    assert [event["type"] for event in events[:2]] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_watch_from_a_version_misses_nothing_and_repeats_nothing(server: Replay) -> None:
    version = (await server.send("GET", MAPS)).body["metadata"]["resourceVersion"]
    await server.send("POST", MAPS, config_map("early"))
    until = Until(3)
    watching = asyncio.create_task(server.send("GET", f"{MAPS}?watch=true&resourceVersion={version}", until=until))
    await until.opened.wait()
    for name in ("late", "last"):
        await server.send("POST", MAPS, config_map(name))
    seen = [(event["type"], event["object"]["metadata"]["name"]) for event in (await watching).body]
    assert seen == [("ADDED", "early"), ("ADDED", "late"), ("ADDED", "last")]


async def test_other_namespaces_are_not_seen(server: Replay) -> None:
    until = Until(1)
    watching = asyncio.create_task(server.send("GET", f"{MAPS}?watch=true&resourceVersion=0", until=until))
    await until.opened.wait()
    await server.send("POST", "/api/v1/namespaces/kube-system/configmaps", config_map("other"))
    await server.send("POST", MAPS, config_map("own"))
    names = [event["object"]["metadata"]["name"] for event in (await watching).body]
    assert names == ["own"]


def test_the_ring_of_changes_says_when_it_no_longer_knows() -> None:
    store = Store(ring_size=3)
    first = store.put("configmaps", {"metadata": {"name": "a", "namespace": "x"}})
    begin = int(first["metadata"]["resourceVersion"])
    for _ in range(4):
        store.put("configmaps", {"metadata": {"name": "a", "namespace": "x"}})
    assert store.since(begin, "configmaps") is None
    missed = store.since(begin + 1, "configmaps")
    assert missed is not None
    assert [change.revision for change in missed] == [begin + 2, begin + 3, begin + 4]


async def test_an_old_continue_token_is_gone(server: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        await server.send("POST", MAPS, config_map(name))
    token = (await server.send("GET", f"{MAPS}?limit=1")).body["metadata"]["continue"]
    monkeypatch.setattr("devplane.server.lists._continued", lambda _: (1, ("default", "a")))
    gone = await server.send("GET", f"{MAPS}?limit=1&continue={token}")
    assert (gone.status, gone.body["reason"]) == (410, "Expired")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("[]", "unrecognized"),
        ("null", "unrecognized"),
        ('{"metadata": []}', "metadata"),
        ('{"apiVersion": 1, "kind": "ConfigMap", "metadata": {"name": "x"}}', "cannot be handled"),
        ('{"metadata": {"name": "x", "labels": "no"}}', "cannot unmarshal"),
        ('{"metadata": {"name": 7}}', "cannot unmarshal"),
        ("{", "unexpected end of JSON input"),
    ],
)
async def test_bodies_that_make_no_sense_are_bad_requests(server: Replay, body: str, says: str) -> None:
    answer = await server.send("POST", MAPS, body)
    assert answer.status == 400
    assert says in answer.body["message"]


PROTOBUF = {"Content-Type": "application/vnd.kubernetes.protobuf"}
STRANGE = "k8s\0\x0a\x0d\x0a\x02v1\x12\x07Strange"
SECRET = "k8s\0\x0a\x0c\x0a\x02v1\x12\x06Secret"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "the object provided is unrecognized (must be of type ConfigMap): empty data (<empty>)"),
        ("{}", "expected prefix [107 56 115 0] ({})"),
        ("k8s\0", "the object provided is unrecognized (must be of type ConfigMap): empty body (6b387300)"),
        ("k8s\0\x0a\x7f", "unexpected EOF (6b3873000a7f)"),
        ("k8s\0\x12\x02\x0a\x7f", 'ConfigMap in version "v1" cannot be handled as a ConfigMap: unexpected EOF'),
        ("k8s\0\x12\x02\x08\x01", "proto: wrong wireType = 0 for field ObjectMeta"),
        ("k8s\0\x12\x02\x00\x01", "proto: ConfigMap: illegal tag 0 (wire type 0)"),
        ("k8s\0\x12\x01\x0c", "proto: wiretype end group for non-group"),
        (STRANGE, 'cannot be handled as a ConfigMap: no kind "Strange" is registered for version "v1" in scheme'),
        (SECRET, 'Secret in version "v1" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap)'),
    ],
)
async def test_protobuf_that_is_no_object_of_the_kind_is_a_bad_request(server: Replay, body: str, says: str) -> None:
    """The words of apimachinery's protobuf serializer, and of the decoders that gogo-protobuf generates."""
    answer = await server.send("POST", MAPS, body, PROTOBUF)
    assert answer.status == 400
    assert says in answer.body["message"]


async def test_yaml_bodies_are_read(server: Replay) -> None:
    text = "metadata:\n  name: y\ndata:\n  a: '1'\n"
    answer = await server.send("POST", MAPS, text, {"Content-Type": "application/yaml"})
    assert (answer.status, answer.body["data"]) == (201, {"a": "1"})


async def test_methods_that_a_resource_does_not_have_are_refused(server: Replay) -> None:
    assert (await server.send("DELETE", "/api/v1/namespaces")).status == 405
    assert (await server.send("PUT", MAPS, config_map("x"))).status == 405
    assert (await server.send("GET", "/apis/authentication.k8s.io/v1/tokenreviews")).status == 405
    assert (await server.send("HEAD", "/api/v1/namespaces")).status == 405
    assert (await server.send("HEAD", "/api/v1/namespaces/default?resourceVersion=-1")).status == 405


async def test_unknown_resources_and_groups_are_not_found(server: Replay) -> None:
    assert (await server.send("GET", "/api/v1/namespaces/default/unicorns")).body["reason"] == "NotFound"
    assert (await server.send("GET", "/apis/none.example/v1/things")).status == 404
    assert (await server.send("GET", "/api/v1/namespaces/default/nodes")).status == 404


async def test_events_are_one_story_in_both_groups(server: Replay) -> None:
    about = {"kind": "Pod", "name": "p", "namespace": "default"}
    old = {"metadata": {"name": "p.1"}, "involvedObject": about, "reason": "Told", "message": "m", "type": "Normal"}
    assert (await server.send("POST", "/api/v1/namespaces/default/events", old)).status == 201
    new = (await server.send("GET", "/apis/events.k8s.io/v1/namespaces/default/events/p.1")).body
    assert (new["apiVersion"], new["note"], new["regarding"]["name"]) == ("events.k8s.io/v1", "m", "p")


@pytest.mark.parametrize(
    "value",
    ["a b", "=", ",", "a in", "a in (", "a in (b", "!", "a=b,,c", "a in b"],
)
async def test_selectors_that_make_no_sense_are_bad_requests(server: Replay, value: str) -> None:
    answer = await server.send("GET", f"{MAPS}?labelSelector={value.replace(' ', '%20')}")
    assert answer.status == 400
