"""CustomResourceDefinitions and their objects: schemas, defaults, rules, versions, subresources."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apiserver.clients import widgets
from apiserver.clients.citing import docs
from apiserver.clients.raw import MERGE, TABLE, Raw

Obj = dict[str, Any]
Define = Callable[..., "Kind"]

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
EXTEND = "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/"
VERSIONING = "tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/"


class Kind:
    """Widgets of a group of the test's own, in one namespace."""

    def __init__(self, raw: Raw, group: str) -> None:
        self.raw, self.group = raw, group
        self.path = raw.at("widgets", group=f"{group}/v1")

    def body(self, name: str = "w", **spec: Any) -> Obj:
        return {"apiVersion": f"{self.group}/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec}

    def made(self, name: str = "w", **spec: Any) -> Obj:
        return self.raw.made(self.path, self.body(name, **spec))

    def refused(self, **spec: Any) -> tuple[int, list[str]]:
        """The code, and what the causes say of which field."""
        answer = self.raw.create(self.path, self.body(**spec))
        causes = (answer.body.get("details") or {}).get("causes") or ()
        return answer.code, [f"{cause['field']}: {cause['message']}" for cause in causes]

    def patch(self, spec: Obj, name: str = "w") -> Any:
        return self.raw.ask("PATCH", f"{self.path}/{name}", {"spec": spec}, MERGE)


@pytest.fixture
def define(raw: Raw) -> Iterator[Define]:
    """define(size={…}, rules=[…], **version): a CRD whose spec has these properties, established."""
    made: list[str] = []

    def defined(rules: list[Obj] | None = None, version: Obj | None = None, **properties: Obj) -> Kind:
        group = widgets.group()
        spec: Obj = {"type": "object", "properties": properties}
        if rules:
            spec["x-kubernetes-validations"] = rules
        status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}}
        body = widgets.definition(group, schema=schema, additionalPrinterColumns=[], subresources={"status": {}})
        body["spec"]["versions"][0].update(version or {})
        raw.made(CRDS, body)
        made.append(f"{CRDS}/widgets.{group}")
        established(raw, made[-1])
        return Kind(raw, group)

    yield defined
    for path in made:
        raw.ask("DELETE", path)


def established(raw: Raw, path: str) -> None:
    """Served, which takes a moment on a cluster of several servers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        crd = raw.get(path).body
        conditions = {one["type"]: one["status"] for one in (crd.get("status") or {}).get("conditions") or ()}
        where = raw.at("widgets", group=f"{crd['spec']['group']}/{crd['spec']['versions'][0]['name']}")
        if conditions.get("Established") == "True" and raw.get(where).code == 200:
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} is not established")


@docs(f"{EXTEND}#field-pruning")
def test_fields_that_no_schema_names_are_pruned(define: Define) -> None:
    kind = define(size={"type": "integer"})
    assert kind.made(size=1, other="x")["spec"] == {"size": 1}


@docs(f"{EXTEND}#controlling-pruning")
def test_fields_are_kept_where_the_schema_says_so(define: Define) -> None:
    kind = define(free={"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    assert kind.made(free={"a": {"b": 1}})["spec"] == {"free": {"a": {"b": 1}}}


@docs(f"{EXTEND}#defaulting")
def test_defaults_fill_what_is_missing_and_nested(define: Define) -> None:
    inner = {"type": "object", "default": {}, "properties": {"mode": {"type": "string", "default": "auto"}}}
    kind = define(size={"type": "integer", "default": 3}, inner=inner)
    assert kind.made()["spec"] == {"size": 3, "inner": {"mode": "auto"}}


@docs(f"{EXTEND}#defaulting-and-nullable")
def test_null_is_pruned_before_the_default_or_kept_where_nullable(define: Define) -> None:
    kind = define(
        plain={"type": "string", "default": "d"}, nullable={"type": "string", "default": "d", "nullable": True}
    )
    assert kind.made(plain=None, nullable=None)["spec"] == {"plain": "d", "nullable": None}


@docs(f"{EXTEND}#validation")
@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        ({"type": "integer"}, "x", 'spec.x: Invalid value: "string": spec.x in body must be of type integer: "string"'),
        ({"type": "integer", "minimum": 1}, 0, "Invalid value: 0: spec.x in body should be greater than or equal to 1"),
        ({"type": "string", "enum": ["a", "b"]}, "c", 'spec.x: Unsupported value: "c": supported values: "a", "b"'),
        ({"type": "string", "pattern": "^a+$"}, "b", "Invalid value: \"b\": spec.x in body should match '^a+$'"),
        ({"type": "string", "maxLength": 2}, "abc", "spec.x: Too long: may not be "),
        ({"type": "array", "maxItems": 1, "items": {"type": "string"}}, ["a", "b"], "Too many: 2: must have at most 1"),
    ],
    ids=["type", "minimum", "enum", "pattern", "maxLength", "maxItems"],
)  # fmt: skip
def test_value_that_the_schema_forbids_is_refused(define: Define, schema: Obj, value: Any, said: str) -> None:
    kind = define(x=schema)
    answer = kind.raw.create(kind.path, kind.body(x=value))
    assert (answer.code, answer.reason) == (422, "Invalid")
    assert said in answer.message


@docs(f"{EXTEND}#validation")
def test_required_field_must_be_there(define: Define) -> None:
    kind = define(inner={"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}})
    assert kind.refused(inner={}) == (422, ["spec.inner.a: Required value"])


@docs(f"{EXTEND}#specifying-a-structural-schema")
def test_schema_that_is_not_structural_is_refused(raw: Raw) -> None:
    group = widgets.group()
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"properties": {"a": {"type": "string"}}}}}}
    refused = raw.create(CRDS, widgets.definition(group, schema=schema))
    assert (refused.code, refused.reason) == (422, "Invalid")
    assert "type: Required value: must not be empty for specified object fields" in refused.message


@docs(f"{EXTEND}#intorstring")
@pytest.mark.parametrize(("value", "code"), [(1, 201), ("50%", 201), (True, 422)])
def test_int_or_string_is_either(define: Define, value: Any, code: int) -> None:
    kind = define(x={"x-kubernetes-int-or-string": True})
    assert kind.raw.create(kind.path, kind.body(x=value)).code == code


@docs("reference/using-api/server-side-apply/#merge-strategy")
def test_keys_of_a_list_map_are_unique(define: Define) -> None:
    item = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    kind = define(
        x={"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    )
    code, said = kind.refused(x=[{"name": "a"}, {"name": "a"}])
    assert code == 422
    assert said[0].startswith("spec.x[1]: Duplicate value: ")


@docs(f"{EXTEND}#validation-rules")
def test_rule_is_held_with_its_message(define: Define) -> None:
    rules = [{"rule": "self.low <= self.high", "message": "low is above high"}]
    kind = define(rules, low={"type": "integer"}, high={"type": "integer"})
    assert kind.made(low=1, high=2)
    code, said = kind.refused(low=3, high=2)
    assert (code, len(said)) == (422, 1)
    assert "low is above high" in said[0]


@docs(f"{EXTEND}#validation-rules")
def test_rule_that_does_not_compile_is_refused(raw: Raw) -> None:
    body = widgets.definition(widgets.group())
    spec = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["x-kubernetes-validations"] = [{"rule": "self.nothing > 1"}]
    refused = raw.create(CRDS, body)
    assert refused.code == 422
    assert "compilation failed" in refused.message
    assert "undefined field 'nothing'" in refused.message


@docs(f"{EXTEND}#transition-rules")
def test_transition_rule_makes_a_field_immutable(define: Define) -> None:
    kind = define(
        [{"rule": "self.x == oldSelf.x", "message": "x is immutable"}], x={"type": "integer"}, y={"type": "integer"}
    )
    kind.made(x=1)
    assert kind.patch({"y": 1}).code == 200
    refused = kind.patch({"x": 2})
    assert (refused.code, "x is immutable" in refused.message) == (422, True)


@docs(f"{EXTEND}#status-subresource")
def test_generation_counts_changes_of_the_spec_alone(define: Define) -> None:
    kind = define(x={"type": "integer"})
    assert kind.made(x=1)["metadata"]["generation"] == 1
    path = f"{kind.path}/w"
    status = kind.raw.ask("PATCH", f"{path}/status", {"status": {"a": 1}, "spec": {"x": 9}}, MERGE).body
    assert (status["spec"], status["status"], status["metadata"]["generation"]) == ({"x": 1}, {"a": 1}, 1)
    assert kind.raw.ask("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, MERGE).body["metadata"]["generation"] == 1
    assert kind.patch({"x": 2}).body["metadata"]["generation"] == 2


@docs(f"{EXTEND}#status-subresource")
def test_status_can_not_be_written_through_the_object(define: Define) -> None:
    kind = define(x={"type": "integer"})
    made = kind.raw.made(kind.path, {**kind.body(x=1), "status": {"a": 1}})
    assert "status" not in made


@docs(f"{EXTEND}#scale-subresource")
def test_scale_reads_and_writes_the_paths_of_the_definition(define: Define) -> None:
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}
    kind = define(version={"subresources": {"status": {}, "scale": scale}}, size={"type": "integer"})
    kind.made(size=1)
    path = f"{kind.path}/w/scale"
    read = kind.raw.get(path).body
    assert (read["kind"], read["apiVersion"], read["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 1})
    assert kind.raw.ask("PATCH", path, {"spec": {"replicas": 4}}, MERGE).code == 200
    assert kind.raw.get(f"{kind.path}/w").body["spec"]["size"] == 4


@docs(f"{EXTEND}#additional-printer-columns")
def test_printer_columns_are_columns_of_the_table(define: Define) -> None:
    columns = [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]
    kind = define(version={"additionalPrinterColumns": columns}, size={"type": "integer"})
    kind.made(size=7)
    table = kind.raw.get(kind.path, accept=TABLE).body
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Size"]
    assert table["rows"][0]["cells"] == ["w", 7]


@docs(f"{EXTEND}#crd-selectable-fields")
def test_selectable_fields_select(define: Define) -> None:
    kind = define(version={"selectableFields": [{"jsonPath": ".spec.color"}]}, color={"type": "string"})
    for name, color in (("a", "red"), ("b", "blue")):
        kind.made(name, color=color)
    chosen = kind.raw.get(kind.path, fieldSelector="spec.color=blue").body["items"]
    assert [item["metadata"]["name"] for item in chosen] == ["b"]


@docs(VERSIONING)
def test_object_is_served_in_each_version(raw: Raw) -> None:
    body = widgets.definition(widgets.group())
    first = body["spec"]["versions"][0]
    body["spec"]["versions"].append({**first, "name": "v2", "storage": False})
    group = body["spec"]["group"]
    raw.made(CRDS, body)
    try:
        established(raw, f"{CRDS}/widgets.{group}")
        raw.made(raw.at("widgets", group=f"{group}/v1"), widgets.widget(group))
        other = raw.get(raw.at("widgets", "one", group=f"{group}/v2")).body
        assert (other["apiVersion"], other["spec"]["size"]) == (f"{group}/v2", 3)
    finally:
        raw.ask("DELETE", f"{CRDS}/widgets.{group}")


@docs(f"{EXTEND}#create-a-customresourcedefinition")
def test_definition_is_named_after_its_plural_and_group(raw: Raw) -> None:
    body = widgets.definition(widgets.group())
    body["metadata"]["name"] = "other"
    refused = raw.create(CRDS, body)
    assert (refused.code, refused.reason) == (422, "Invalid")
    assert "must be spec.names.plural+" in refused.message


@docs(f"{EXTEND}#delete-a-customresourcedefinition")
def test_group_is_discovered_while_its_definition_is_there(define: Define) -> None:
    kind = define(x={"type": "integer"})
    found = kind.raw.get(f"/apis/{kind.group}/v1").body
    assert {one["name"]: one["kind"] for one in found["resources"]}["widgets"] == "Widget"
    kind.raw.ask("DELETE", f"{CRDS}/widgets.{kind.group}")
    deadline = time.monotonic() + 60
    while kind.raw.get(kind.path).code != 404:
        assert time.monotonic() < deadline
        time.sleep(0.05)
