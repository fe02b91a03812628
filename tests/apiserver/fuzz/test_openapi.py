"""schemathesis on the documents that devplane publishes of itself: what they allow is taken, or refused in a Status."""

from __future__ import annotations

import random
from functools import cache
from typing import Any
from urllib.parse import urlencode

import pytest
import schemathesis
from hypothesis import strategies as st

from apiserver.fuzz.budget import SIZES, explore
from apiserver.fuzz.mutations import encoded
from apiserver.fuzz.verdict import judged
from apiserver.fuzz.wire import APPLY, JSON, JSON_PATCH, MERGE, STRATEGIC, Answer, Wire
from apiserver.fuzz.worlds import GROUP, STORED

DISCOVERY = "application/json;v=v2;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList"
FAMILIES = ("api/v1", "apis/apps/v1", "apis/batch/v1", f"apis/{GROUP}/v1", "apis")


def documents(wire: Wire) -> dict[str, Any]:
    """Every document of the index, by its path."""
    index = judged(wire.ask("GET", "/openapi/v3")).body["paths"]
    return {path: judged(wire.ask("GET", one["serverRelativeURL"])).body for path, one in index.items()}


def operations(document: Any) -> list[Any]:
    schema = schemathesis.openapi.from_dict(document)
    return [found.ok() for found in schema.get_all_operations()]


def test_every_document_is_openapi_and_names_each_resource_of_discovery(wire: Wire) -> None:
    found = documents(wire)
    assert len(found) > 15
    for path, document in found.items():
        assert operations(document), path
        served = judged(wire.ask("GET", f"/{path}")).body["resources"]
        plurals = {one["name"] for one in served if "/" not in one["name"]}
        described = {part for one in document["paths"] for part in one.split("/")}
        assert plurals <= described, path


def test_every_reference_in_a_document_leads_somewhere(wire: Wire) -> None:
    for path, document in documents(wire).items():
        known = document["components"]["schemas"]
        wanted = {one.rpartition("/")[2] for one in _references(document)}
        assert wanted <= set(known), path


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [found for one in value for found in _references(one)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    return own + [found for one in value.values() for found in _references(one)]


@SIZES
@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_document_allows_is_taken_or_refused(wire: Wire, size: int, family: str) -> None:
    """Objects as their schemas describe them, names that exist and names that don't; nothing is stored."""
    chosen = documents(wire)
    chosen = {
        path: one for path, one in chosen.items() if path == family or (family == "apis" and path not in FAMILIES)
    }
    found = [one for document in chosen.values() for one in operations(document)]
    some = found if size > 1 else random.Random(family).sample(found, min(4, len(found)))
    for operation in some:
        try_operation(wire, operation, max(2, size // 5))


def try_operation(wire: Wire, operation: Any, examples: int) -> None:
    def check(case: Any, name: str, space: str) -> None:
        case.path_parameters = {"namespace": space, "name": name}
        judged(sent(wire, case))

    names = st.sampled_from(["one", "one", "none", "default", "", "a/b"])
    spaces = st.sampled_from(["default", "default", "none"])
    explore(check, examples, 1, case=operation.as_strategy(), name=names, space=spaces)


@cache
def home(plural: str) -> str:
    return next((path for path in STORED if path.endswith(f"/{plural}")), "")


def sent(wire: Wire, case: Any) -> Answer:
    """A case as a request; its body is of the right kind and has a name, so that it gets beyond decoding."""
    query = urlencode({**(case.query or {}), "dryRun": "All"})
    body, kind = case.body, JSON
    if isinstance(body, dict):
        plural = case.path.rstrip("/").removesuffix("/{name}").rpartition("/")[2]
        real = STORED.get(home(plural), {})
        body = {**body, **{key: real[key] for key in ("kind", "apiVersion") if key in real}}
        if isinstance(body.get("metadata"), dict):
            body["metadata"] = {**body["metadata"], "name": case.path_parameters["name"] or "fresh"}
    if case.method.upper() == "PATCH":
        kind = [MERGE, STRATEGIC, APPLY, JSON_PATCH][len(query) % 4]
        query += "&fieldManager=schemathesis"
    has_body = case.method.upper() in ("POST", "PUT", "PATCH")
    data = encoded(body) if has_body and isinstance(body, dict | list) else None
    return wire.send(case.method.upper(), f"{case.formatted_path}?{query}", data, {"Content-Type": kind})


@SIZES
def test_discovery_is_answered_in_the_form_that_was_asked_for(wire: Wire, size: int) -> None:
    marks = st.sampled_from([
        DISCOVERY, "application/json", "*/*", "application/*", "text/plain", "application/yaml", "",
        "application/json;v=v2beta1;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList", "application/json;v=v2",
        "application/json;q=0.5", "application/vnd.kubernetes.protobuf", "application/json;as=Table;g=meta.k8s.io;v=v1",
    ])  # fmt: skip
    paths = st.sampled_from(["/api", "/apis", "/apis/apps", "/api/v1", "/apis/batch/v1", f"/apis/{GROUP}/v1",
    "/apis/none",
                             "/apis/none/v1", "/openapi/v3", "/openapi/v3/api/v1", "/openapi/v2",
                             "/version"])  # fmt: skip

    def check(path: str, accepted: list[str]) -> None:
        answer = judged(wire.ask("GET", path, accept=",".join(accepted)))
        if answer.code == 200:
            assert answer.kind.split(";")[0] == "application/json", answer
            is_aggregated = "as=APIGroupDiscoveryList" in answer.kind
            assert is_aggregated == (answer.body.get("kind") == "APIGroupDiscoveryList"), answer

    explore(check, 60, size, path=paths, accepted=st.lists(marks, min_size=1, max_size=3))


def test_aggregated_discovery_names_what_the_plain_one_names(wire: Wire) -> None:
    for root in ("/api", "/apis"):
        for group in judged(wire.ask("GET", root, accept=DISCOVERY)).body["items"]:
            name = group["metadata"].get("name", "")
            for version in group["versions"]:
                path = f"{root}/{name}/{version['version']}".replace("//", "/")
                plain = {one["name"] for one in judged(wire.ask("GET", path)).body["resources"]}
                assert {one["resource"] for one in version["resources"]} == {one for one in plain if "/" not in one}
