"""What fuzzing found, as it was found: each of these ended the process, or was answered by a 500."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from apiserver.fuzz import protobufs
from apiserver.fuzz.mutations import encoded
from apiserver.fuzz.verdict import judged
from apiserver.fuzz.wire import APPLY, JSON, JSON_PATCH, MERGE, PROTOBUF, STRATEGIC, YAML, Wire
from apiserver.fuzz.worlds import ASKED, AUTHORIZATION, GROUP, SPACE

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MAPS, PODS = f"{SPACE}/configmaps", f"{SPACE}/pods"
THINGS = f"/apis/{GROUP}/v1/namespaces/default/things"
MANAGED = "fieldManager=found&dryRun=All"
COPIES = [{"op": "copy", "from": "/spec/any", "path": f"/spec/any/{at}"} for at in range(60)]
CONTAINER: Any = {"name": "a", "image": "x", "resources": {"requests": {"cpu": "1m"}}}
WEBHOOK: Any = {
    "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
    "clientConfig": {"url": "https://[::1"},
}  # fmt: skip
KEYED: Any = {"type": "array", "items": [], "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"]}


def definition(spec: Any) -> bytes:
    schema = {"type": "object", "properties": {"spec": spec}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "founds", "kind": "Found"}
    found = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    return encoded({"metadata": {"name": "founds.example.com"}, "spec": found})


LAUGHS = "a0: &a0 x\n" + "".join(f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]\n" for at in range(1, 12))


def nested(opening: str, closing: str, depth: int) -> bytes:
    return (opening * depth + "1" + closing * depth).encode()


def token(**content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps({"v": "meta.k8s.io/v1", **content}).encode()).decode()


def pod(**spec: Any) -> bytes:
    return encoded({"metadata": {"name": "found"}, "spec": spec})


def deep(levels: int) -> bytes:
    raw = b""
    for _ in range(levels):
        raw = protobufs.block(29, protobufs.block(1, b"a") + protobufs.block(2, raw))
    spec = protobufs.block(7, protobufs.block(4, protobufs.block(1, raw)))
    return protobufs.envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", protobufs.block(2, spec))


LATE = protobufs.envelope("v1", "Event", protobufs.block(10, protobufs.count(1, 2**62)))
BODIES = {
    "YAML that is nested too deeply for a parser that recurses": ("POST", MAPS, YAML, nested("[", "]", 200_000), 400),
    "YAML blocks that are": ("POST", MAPS, YAML, b"- " * 200_000, 400),
    "an apply that is": ("PATCH", f"{MAPS}/one?{MANAGED}", APPLY, nested("{a: ", "}", 200_000), 400),
    "YAML whose aliases unfold": ("POST", MAPS, YAML, LAUGHS.encode(), 400),
    "YAML that contains itself": ("POST", MAPS, YAML, b"&a [*a]", 400),
    "JSON that is nested too deeply to be encoded again": ("POST", THINGS, JSON, nested('{"a":', "}", 400), 400),
    "JSON that is nested too deeply to be decoded": ("POST", THINGS, JSON, nested("[", "]", 3000), 400),
    "copies of copies": ("PATCH", f"{THINGS}/one?dryRun=All", JSON_PATCH, encoded(COPIES), 413),
    "more operations than are allowed": ("PATCH", f"{THINGS}/one", JSON_PATCH, encoded([{"op": "x"}] * 10_001), 413),
    "a review that is null": ("POST", f"{AUTHORIZATION}/subjectaccessreviews", JSON, b"null", 400),
    "a review that is a list": ("POST", f"{AUTHORIZATION}/selfsubjectaccessreviews", JSON, b"[1]", 400),
    "a review of a list": ("POST", f"{AUTHORIZATION}/subjectaccessreviews", JSON, b'{"spec": [1]}', 400),
    "audiences that are lists": ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", JSON,
                                 b'{"spec": {"audiences": [[]]}}', 400),
    "a time to live that is a list": ("POST", f"{SPACE}/serviceaccounts/one/token", JSON,
                                      b'{"spec": {"expirationSeconds": []}}', 400),
    "a bound object of another type": ("POST", f"{SPACE}/serviceaccounts/one/token", JSON,
                                       b'{"spec": {"boundObjectRef": {"kind": [], "name": []}}}', 400),
    "a binding without a name": ("POST", f"{SPACE}/bindings", JSON, b"{}", 404),
    "an eviction that is a number": ("POST", f"{PODS}/one/eviction", JSON, b"1", 400),
    "a Scale that is a list": ("PUT", f"{THINGS}/one/scale", JSON, b"[]", 400),
    "a Scale whose spec is a list": ("PATCH", f"{THINGS}/one/scale", MERGE, b'{"spec": [1]}', 400),
    "DeleteOptions that are a number": ("DELETE", f"{MAPS}/one?dryRun=All", JSON, b"1.5", 400),
    "preconditions that are a list": ("DELETE", f"{MAPS}?dryRun=All", JSON, b'{"preconditions": [1]}', 400),
    "an apply whose metadata is a number": ("PATCH", f"{MAPS}/one?{MANAGED}", APPLY, b'{"metadata": 1}', 400),
    "a custom resource whose name is a list": ("POST", THINGS, JSON, b'{"metadata": {"name": ["a"]}}', 400),
    "finalizers that are a number": ("POST", THINGS, JSON, b'{"metadata": {"name": "a", "finalizers": 1}}', 400),
    "a pod without containers": ("POST", f"{PODS}?dryRun=All", JSON, pod(), 422),
    "a container that is null": ("POST", f"{PODS}?dryRun=All", JSON, pod(containers=[None]), 422),
    "mounts that are null": ("POST", f"{PODS}?dryRun=All", JSON,
                             pod(containers=[{**CONTAINER, "volumeMounts": None}]), 201),
    "a number that its type does not hold": ("PATCH", f"{PODS}/one?dryRun=All", MERGE,
                                             b'{"spec": {"priority": 9999999999}}', 422),
    "a mount without a place": ("POST", f"{PODS}?dryRun=All", JSON,
                                pod(containers=[{**CONTAINER, "volumeMounts": [{"name": "a"}]}]), 422),
    "a webhook's address that is none": (
        "POST", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations?dryRun=All", JSON,
        encoded({"metadata": {"name": "found"}, "webhooks": [WEBHOOK]}), 422),
    "a list of items where one schema is meant": (
        "POST", f"{DEFINITIONS}?dryRun=All", JSON, definition(KEYED), 422),
    "properties of items that are a list": (
        "POST", f"{DEFINITIONS}?dryRun=All", JSON, definition({**KEYED, "items": {"properties": [1]}}), 400),
    "properties of a map's values that are a list": (
        "POST", f"{DEFINITIONS}?dryRun=All", JSON, definition({"additionalProperties": {"properties": [1]}}), 400),
    "keys to retain that are no list": ("PATCH", f"{PODS}/one?dryRun=All", STRATEGIC,
                                        b'{"spec": {"$retainKeys": true}}', 400),
    "primitives to delete that are no list": ("PATCH", f"{MAPS}/one?dryRun=All", STRATEGIC,
                                              b'{"metadata": {"$deleteFromPrimitiveList/finalizers": 1}}', 400),
    "a pod that is empty protobuf": ("POST", PODS, PROTOBUF, protobufs.envelope("v1", "Pod", b""), 422),
    "protobuf of the year 146 billion": ("POST", f"{SPACE}/events", PROTOBUF, LATE, 400),
    "schemas in schemas of protobuf": ("POST", DEFINITIONS, PROTOBUF, deep(3000), 400),
    "a field that the schema does not know, with a line break": (
        "POST", f"{MAPS}?dryRun=All", JSON, b'{"metadata": {"name": "a"}, "x\\r\\ny: z": 1}', 201),
}  # fmt: skip


@pytest.mark.parametrize("found", BODIES)
def test_bodies_that_were_found(wire: Wire, found: str) -> None:
    method, path, kind, data, code = BODIES[found]
    answer = judged(wire.send(method, path, data, {"Content-Type": kind}))
    assert answer.code == code, answer


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"{MAPS}?limit=abc", 400), (f"{MAPS}?limit=-1", 200), (f"{MAPS}?limit=1e3", 400),
        (f"{MAPS}?limit={'9' * 30}", 400),
        (f"{MAPS}?watch=true&timeoutSeconds=nan", 400), (f"{MAPS}?labelSelector=a>{'9' * 5000}", 400),
        (f"{MAPS}?continue={token(rv='1', start=None)}", 400), (f"{MAPS}?continue={token(rv=1.5, start='a')}", 400),
        (f"{MAPS}?resourceVersion=%C2%B2", 500), (f"{PODS}/one/portforward?ports=x", 400), ("/api/%0a/v1", 404),
    ],
)  # fmt: skip
def test_reads_that_were_found(wire: Wire, path: str, code: int) -> None:
    """A resourceVersion that is no number is a plain 500 in Kubernetes too, with these words."""
    assert judged(wire.ask("GET", path)).code == code


def test_a_negative_limit_is_none(wire: Wire) -> None:
    assert len(wire.ask("GET", MAPS, limit=-1).body["items"]) == len(wire.ask("GET", MAPS).body["items"])


@pytest.mark.parametrize(
    ("headers", "query", "code"),
    [
        ({"User-Agent": b"\xe9\xff/1"}, "", 201),
        ({}, "&fieldManager=%00", 422),
        ({}, f"&fieldManager={'a' * 129}", 422),
        ({"Content-Encoding": b"gzip"}, "", 201),
        ({"Host": b"[::1"}, "", 403),
        ({"Impersonate-User": b"\xe9"}, "", 403),
        ({"Origin": b"http://[::1"}, "", 403),
        ({"Expect": b"\xe9"}, "", 417),
    ],
)
def test_headers_that_were_found(wire: Wire, headers: Any, query: str, code: int) -> None:
    body = encoded({"metadata": {"name": "found"}})
    answer = judged(wire.send("POST", f"{MAPS}?dryRun=All{query}", body, {"Content-Type": JSON, **headers}))
    assert answer.code == code, answer


def test_a_list_of_ones_that_becomes_true_is_a_change(wire: Wire) -> None:
    """To Python 1 is true; an update from one to the other was taken for none."""
    for value in ([1, 1], [True, True], [0]):
        whole = [{"op": "add", "path": "/spec", "value": {"any": value}}]
        judged(wire.ask("PATCH", f"{THINGS}/one", whole, JSON_PATCH))
        assert encoded(judged(wire.ask("GET", f"{THINGS}/one")).body["spec"]["any"]) == encoded(value)


def test_compressed_bodies_do_not_unfold(wire: Wire) -> None:
    """Kubernetes does not look at Content-Encoding; what would unfold to gigabytes is a body of strange characters."""
    bomb = gzip.compress(b" " * (64 << 20))
    answer = judged(wire.send("POST", MAPS, bomb, {"Content-Type": JSON, "Content-Encoding": "gzip"}))
    assert answer.code == 400, answer


def test_a_scale_counts_what_is_no_number_as_none(wire: Wire) -> None:
    changed = judged(wire.ask("PATCH", f"{THINGS}/one/status", {"status": {"size": "many"}}, MERGE))
    assert changed.code == 200, changed
    assert judged(wire.ask("GET", f"{THINGS}/one/scale")).body["status"] == {"replicas": 0}


def test_a_grace_period_beyond_all_dates_is_taken(wire: Wire) -> None:
    body = {"metadata": {"name": "patient"}, "spec": {"nodeName": "n", "containers": [CONTAINER]}}
    wire.made(PODS, body)
    answer = judged(wire.ask("DELETE", f"{PODS}/patient", {"gracePeriodSeconds": 2**62}))
    assert answer.code == 200, answer
    assert judged(wire.ask("DELETE", f"{PODS}/patient", {"gracePeriodSeconds": 0})).code == 200


def test_microseconds_of_protobuf_are_written_like_those_of_json(wire: Wire) -> None:
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    spec = protobufs.block(2, protobufs.block(4, protobufs.count(1, 1_700_000_000)))
    raw = protobufs.envelope("coordination.k8s.io/v1", "Lease", protobufs.block(1, protobufs.block(1, b"micro")) + spec)
    answer = judged(wire.send("POST", f"{leases}?dryRun=All", raw, {"Content-Type": PROTOBUF}))
    assert answer.body["spec"]["renewTime"] == "2023-11-14T22:13:20.000000Z", answer


def test_every_kind_that_is_posted_and_not_stored_is_of_its_types(wire: Wire) -> None:
    for path in ASKED:
        for body in (None, [], 1, "x", {"spec": 1}, {"metadata": 1}, {"deleteOptions": 1, "target": 1}):
            answer = judged(wire.send("POST", path, encoded(body), {"Content-Type": JSON}))
            assert answer.code < 500, answer
