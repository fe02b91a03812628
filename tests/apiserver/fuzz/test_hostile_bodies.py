"""Bodies that no client means: real ones with something wrong, as JSON, as YAML, as protobuf, and plain rubbish."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from hypothesis import strategies as st

from apiserver.fuzz import protobufs
from apiserver.fuzz.budget import SIZES, explore
from apiserver.fuzz.mutations import damaged, encoded, mutated, values
from apiserver.fuzz.verdict import judged
from apiserver.fuzz.wire import APPLY, JSON, JSON_PATCH, MERGE, PROTOBUF, STRATEGIC, YAML, Answer, Wire
from apiserver.fuzz.worlds import ASKED, DELETE_OPTIONS, GROUP, SCALE, SPACE, STORED, UNSTORED

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
BODIES = {**STORED, **{f"{path}?dryRun=All": body for path, body in {**UNSTORED, **ASKED}.items()}}
SCALED = [path for path in STORED if path.rsplit("/", 1)[1] in ("deployments", "replicasets", "things", "rules")]


def post(wire: Wire, path: str, data: bytes, kind: str = JSON) -> None:
    """Create it, look at it in every way, and take it away."""
    answer = judged(wire.send("POST", path, data, {"Content-Type": kind}))
    if path not in STORED or answer.code != 201:
        return
    name = answer.body["metadata"]["name"]
    where = f"{path}/{quote(name, safe='')}"
    looked_at(wire, path, where)
    for _ in range(2):
        judged(wire.ask("PATCH", where, {"metadata": {"finalizers": None}}, MERGE))
        judged(wire.ask("DELETE", where, {"gracePeriodSeconds": 0}))
    if name == "one":
        wire.made(path, STORED[path])


def looked_at(wire: Wire, path: str, where: str) -> None:
    for one in (path, where):
        assert judged(wire.ask("GET", one, accept=TABLE)).code == 200
        assert judged(wire.ask("GET", one, accept=YAML)).code == 200
    judged(wire.ask("GET", f"{where}/scale"))
    judged(wire.ask("GET", path, labelSelector="app", fieldSelector="metadata.name!=x"))


@SIZES
def test_a_real_body_with_something_wrong_is_taken_or_refused(wire: Wire, size: int) -> None:
    @st.composite
    def requests(draw: st.DrawFn) -> tuple[str, Any]:
        path = draw(st.sampled_from(sorted(BODIES)))
        body = {**BODIES[path]}
        if path in STORED:
            body["metadata"] = {**body["metadata"], "name": draw(st.sampled_from(["fresh", "one"]))}
        return path, draw(mutated(st.just(body)))

    def check(request: tuple[str, Any]) -> None:
        post(wire, request[0], encoded(request[1]))

    explore(check, 100, size, request=requests())


@SIZES
def test_an_update_with_something_wrong_is_taken_or_refused(wire: Wire, size: int) -> None:
    def check(path: str, sub: str, body: Any) -> None:
        where = f"{path}/one/{sub}".rstrip("/")
        judged(wire.send("PUT", f"{where}?dryRun=All", encoded(body), {"Content-Type": JSON}))

    bodies = st.sampled_from(sorted(STORED)).flatmap(
        lambda path: st.tuples(st.just(path), st.sampled_from(["", "status", "scale"]), mutated(st.just(STORED[path])))
    )
    explore(lambda one: check(*one), 80, size, one=bodies)
    scales = st.tuples(st.sampled_from(SCALED), st.just("scale"), mutated(st.just(SCALE)))
    explore(lambda one: check(*one), 30, size, one=scales)


PATCHES: dict[str, list[Any]] = {
    MERGE: [{"metadata": {"labels": {"a": None}}, "spec": {"replicas": 1}}],
    STRATEGIC: [
        {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "x"}], "$setElementOrder/containers": [
            {"name": "main"}]}}}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["b"]},
        "data": {"$patch": "replace"}},
        {"spec": {"volumes": [{"name": "scratch", "$patch": "delete"}], "$retainKeys": ["volumes", "containers"]}},
        {"spec": {"ports": [{"port": 80, "name": "x"}], "$setElementOrder/ports": [{"port": 80}]}},
    ],
    JSON_PATCH: [
        [{"op": "test", "path": "/metadata/name", "value": "one"}, {"op": "add", "path": "/metadata/labels",
        "value": {}}],
        [{"op": "move", "from": "/spec", "path": "/data"}, {"op": "copy", "from": "/metadata", "path": "/metadata/x"}],
        [{"op": "remove", "path": "/spec/containers/0/env/-"}, {"op": "replace", "path": "", "value": {}}],
        [{"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "x"}}],
    ],
    APPLY: [*STORED.values()],
}  # fmt: skip


@SIZES
@pytest.mark.parametrize("kind", PATCHES)
def test_a_patch_with_something_wrong_is_taken_or_refused(wire: Wire, size: int, kind: str) -> None:
    def check(path: str, sub: str, patch: Any) -> None:
        where = f"{path}/one{sub}?dryRun=All&force=true&fieldManager=fuzz"
        judged(wire.send("PATCH", where, encoded(patch), {"Content-Type": kind}))

    paths = st.sampled_from(sorted(STORED))
    subs = st.sampled_from(["", "", "", "/status", "/scale"])
    patches = mutated(st.sampled_from(PATCHES[kind])) | values
    explore(check, 60, size, path=paths, sub=subs, patch=patches)


@SIZES
def test_delete_options_with_something_wrong_are_taken_or_refused(wire: Wire, size: int) -> None:
    def check(path: str, name: str, body: Any) -> None:
        judged(wire.send("DELETE", f"{path}{name}?dryRun=All", encoded(body), {"Content-Type": JSON}))

    explore(
        check, 60, size, path=st.sampled_from(sorted(STORED)), name=st.sampled_from(["", "/one", "/none"]),
        body=mutated(st.just(DELETE_OPTIONS)),
    )  # fmt: skip


@SIZES
@pytest.mark.parametrize("kind", [JSON, YAML])
def test_damaged_text_is_taken_or_refused(wire: Wire, size: int, kind: str) -> None:
    written = {path: encoded(body) if kind == JSON else yaml.safe_dump(body).encode() for path, body in STORED.items()}
    texts = st.sampled_from(sorted(STORED)).flatmap(
        lambda path: st.tuples(st.just(path), damaged(st.just(written[path])))
    )
    explore(lambda one: post(wire, *one, kind), 60, size, one=texts)


def test_yaml_that_is_small_and_means_a_lot_is_refused(wire: Wire) -> None:
    laughs = "".join(f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]\n" for at in range(1, 12))
    for text in (
        f"a0: &a0 x\n{laughs}",
        "&a [*a]",
        "a: &a {b: *a}",
        "? {a: b}\n: c",
        "? [a]\n: b",
        "!!python/none",
        "<<: *x",
    ):
        for method, path, kind in (("POST", SPACE + "/configmaps", YAML), ("PATCH", SPACE + "/configmaps/one", APPLY)):
            answer = judged(
                wire.send(method, f"{path}?fieldManager=f&dryRun=All", text.encode(), {"Content-Type": kind})
            )
            assert answer.code in (400, 422), answer


@SIZES
def test_damaged_protobuf_is_taken_or_refused(wire: Wire, size: int) -> None:
    known = {path: found for path, body in BODIES.items() if (found := protobufs.encoded(body))}
    messages = st.sampled_from(sorted(known)).flatmap(
        lambda path: st.tuples(st.just(path), damaged(st.just(known[path])) | damaged(damaged(st.just(known[path]))))
    )
    explore(lambda one: post(wire, *one, PROTOBUF), 100, size, one=messages)
    options = damaged(st.just(protobufs.encoded(DELETE_OPTIONS)))
    headers = {"Content-Type": PROTOBUF}
    target = f"{SPACE}/configmaps/one?dryRun=All"
    explore(lambda raw: _judged(wire.send("DELETE", target, raw, headers)), 20, size, raw=options)


@SIZES
def test_any_bytes_in_a_protobuf_envelope_are_taken_or_refused(wire: Wire, size: int) -> None:
    def check(path: str, raw: bytes) -> None:
        body = BODIES[path]
        post(wire, path, protobufs.envelope(body["apiVersion"], body["kind"], raw), PROTOBUF)
        post(wire, path, b"k8s\0" + raw, PROTOBUF)

    explore(check, 60, size, path=st.sampled_from(sorted(BODIES)), raw=st.binary(max_size=60) | protobufs.rubbish)


@pytest.mark.parametrize("path", [path for path, body in STORED.items() if protobufs.encoded(body)])
def test_protobuf_and_json_of_an_object_make_the_same_object(wire: Wire, path: str) -> None:
    body = {**STORED[path], "metadata": {**STORED[path]["metadata"], "name": "same"}}
    raw = protobufs.encoded(body)
    one = judged(wire.ask("POST", f"{path}?dryRun=All", body))
    two = judged(wire.send("POST", f"{path}?dryRun=All", raw, {"Content-Type": PROTOBUF}))
    assert (one.code, two.code) == (201, 201), two
    assert timeless(two) == timeless(one)


def test_protobuf_is_tried_on_every_built_in_kind() -> None:
    assert {path for path, body in BODIES.items() if not protobufs.encoded(body)} == {
        path for path in BODIES if GROUP in path
    }


def test_protobuf_is_no_form_of_a_custom_resource(wire: Wire) -> None:
    path = next(path for path in STORED if GROUP in path)
    raw = protobufs.envelope(f"{GROUP}/v1", "Thing", b"")
    answer = judged(wire.send("POST", path, raw, {"Content-Type": PROTOBUF}))
    assert (answer.code, answer.body["reason"]) == (415, "UnsupportedMediaType")
    assert answer.body["message"].endswith("accepted media types include: application/json, application/yaml")


def timeless(answer: Answer) -> Any:
    """The object without what is made up at each creation."""
    text = answer.raw.decode()
    body = json.loads(re.sub("kube-api-access-[a-z0-9]{5}", "", text.replace(answer.body["metadata"]["uid"], "")))
    for key in ("uid", "creationTimestamp", "managedFields"):
        body["metadata"].pop(key, None)
    for key in ("clusterIP", "clusterIPs"):
        body.get("spec", {}).pop(key, None)
    return body


def _judged(answer: Answer) -> None:
    judged(answer)
