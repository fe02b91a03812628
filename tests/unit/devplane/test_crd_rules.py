"""Definitions: structural rules, types of rules, and what rules may cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from devplane.custom.costs import RULE_LIMIT, SCHEMA_LIMIT, cost_of
from devplane.custom.rules import validate_crd
from devplane.schemas.structure import build

Obj = dict[str, Any]
ROOT = Path(__file__).parents[3]
TEXT = {"type": "string"}
QUADRATIC = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
UNDEFAULTED_KEY = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
NUMBERED = {"type": "object", "properties": {"a": {"type": "integer"}}}


def definition(**properties: Any) -> Obj:
    spec = {"type": "object", "properties": properties}
    schema = {"type": "object", "properties": {"spec": spec}}
    return {"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}}


def refusals(**properties: Any) -> list[str]:
    start = "spec.validation.openAPIV3Schema.properties[spec].properties"
    return [str(cause).replace(start, "") for cause in validate_crd(definition(**properties))]


def ruled(rule: str, schema: Obj, **more: Any) -> Obj:
    return {**schema, "x-kubernetes-validations": [{"rule": rule, **more}]}


@pytest.mark.parametrize(
    ("schema", "refusal"),
    [
        ({}, "[f].type: Required value: must not be empty for specified object fields"),
        ({"type": "array"}, "[f].items: Required value: must be specified"),
        (
            {"type": "array", "items": {"properties": {}}},
            "[f].items.type: Required value: must not be empty for specified array items",
        ),
        (
            {"type": "array", "items": TEXT, "uniqueItems": True},
            f"[f].uniqueItems: Forbidden: {QUADRATIC}",
        ),
        ({"type": "object", "$ref": "#/x"}, "[f].$ref: Forbidden: $ref is not supported"),
        (
            {"type": "string", "anyOf": [{"type": "string"}]},
            "[f].anyOf[0].type: Forbidden: must be empty to be structural",
        ),
        (
            {"type": "object", "x-kubernetes-list-type": "set"},
            '[f].type: Invalid value: "object": must be array if x-kubernetes-list-type is specified',
        ),
        (
            {"type": "array", "items": TEXT, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"]},
            '[f].items.type: Invalid value: "string": must be object if parent array\'s x-kubernetes-list-type is map',
        ),
        (
            {
                "type": "array",
                "items": {"type": "object", "properties": {"a": TEXT}},
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["a"],
            },
            f"[f].items.properties[a].default: Required value: {UNDEFAULTED_KEY}",
        ),
        (
            {"type": "integer", "minimum": 2, "default": 1},
            "[f].default: Invalid value: 1:  in body should be greater than or equal to 2",
        ),
    ],
)
def test_a_schema_that_is_not_structural_is_refused(schema: Obj, refusal: str) -> None:
    assert refusal in refusals(f=schema)


def test_versions_with_different_schemas_are_named_by_their_place() -> None:
    crd = definition(f=TEXT)
    crd["spec"]["versions"].append({"name": "v2"})
    path = "spec.versions[1].schema.openAPIV3Schema"
    assert [str(cause) for cause in validate_crd(crd)] == [
        f"{path}.type: Required value: must not be empty at the root"
    ]


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("self.nope > 1", "<input>:1:5: undefined field 'nope'\n | self.nope > 1\n | ....^"),
        ("other == 1", "<input>:1:1: undeclared reference to 'other' (in container '')\n | other == 1\n | ^"),
        (
            "self.text > 1",
            "<input>:1:11: found no matching overload for '_>_' applied to '(string, int)'\n | self.text > 1\n",
        ),
        (
            "self.text.trimLeft()",
            "<input>:1:19: undeclared reference to 'trimLeft' (in container '')",
        ),
        (
            "self.count.startsWith('a')",
            "<input>:1:22: found no matching overload for 'startsWith' applied to 'int.(string)'",
        ),
        ("self.text", "cel expression must evaluate to a bool"),
        ("first > last", "<input>:1:9: undeclared reference to 'last' (in container '')"),
        ("self.count != null", "<input>:1:12: found no matching overload for '_!=_' applied to '(int, null)'"),
        ("self.count > 0 && self.text", "<input>:1:23: expected type 'bool' but found 'string'"),
        ("[1, 'a'].size() > 1", "<input>:1:5: expected type 'int' but found 'string'"),
        ("self.text.matches('[')", "<input>:1:19: invalid matches argument"),
        ("self.list.all(x, x)", "<input>:1:18: expected type 'bool' but found 'string'"),
        ("self.text ==", "<input>:1:13: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '('"),
        ("self.text == 'a", "Syntax error: token recognition error at: '''"),
        ("self.?text.hasValue()", "<input>:1:5: unsupported syntax '.?'"),
    ],
)
def test_a_rule_without_types_does_not_compile(rule: str, problem: str) -> None:
    fields = {"text": TEXT, "count": {"type": "integer"}, "list": {"type": "array", "items": TEXT}}
    found = refusals(f=ruled(rule, {"type": "object", "properties": fields}))
    assert len(found) == 1
    assert problem in found[0]


def test_old_values_are_out_of_reach_in_lists_without_keys() -> None:
    item = ruled("self == oldSelf", TEXT)
    found = refusals(f={"type": "array", "maxItems": 2, "items": item})
    assert "oldSelf cannot be used on the uncorrelatable portion of the schema within" in found[0]


def test_a_message_expression_must_give_text() -> None:
    found = refusals(f=ruled("self.size() > 0", {**TEXT, "maxLength": 5}, messageExpression="1"))
    assert found[0].endswith("messageExpression must evaluate to a string")
    assert refusals(f=ruled("self.size() > 0", {**TEXT, "maxLength": 5}, messageExpression="'no ' + self")) == []


def cost(rule: str, schema: Obj) -> int:
    return sum(cost_of(build(ruled(rule, schema))).values())


@pytest.mark.parametrize(
    ("rule", "schema", "units"),
    [
        # One field of an object and a comparison of numbers: name 1, field 1, and numbers of a schema have no size.
        ("self.a > 1", NUMBERED, 3),
        # A presence test costs its operand alone.
        ("has(self.a)", {"type": "object", "properties": {"a": TEXT}}, 1),
        # Equality of texts: a tenth of the shorter one's characters.
        ("self == 'abcdefghijklmnopqrstuvwxyz'", {**TEXT, "maxLength": 10}, 1 + 3),
        # A pattern of 8 characters (2) over 10 characters of 4 bytes (4.1, so 5).
        ("self.matches('^[a-z]+$')", {**TEXT, "maxLength": 10}, 1 + 5 * 2),
        # all: range 1, result 1, and for each of 5 items 3 and the body (name 1, comparison 0 + 1 at least).
        ("self.all(x, x > 0)", {"type": "array", "maxItems": 5, "items": {"type": "integer"}}, 2 + 5 * (3 + 2)),
        # exists costs one more for each item: its condition is negated.
        ("self.exists(x, x > 0)", {"type": "array", "maxItems": 5, "items": {"type": "integer"}}, 2 + 5 * (4 + 2)),
        # A list search costs its length.
        ("self.a in self.b", {
            "type": "object",
            "properties": {"a": TEXT, "b": {"type": "array", "maxItems": 7, "items": TEXT}},
        }, 4 + 7),
        # Both sides of && may be needed, the dearer branch of ?: counts.
        ("true && (has(self.a) ? self.a > 1 : false)", NUMBERED, 1 + 3),
    ],
)  # fmt: skip
def test_a_rule_costs_what_its_worst_case_costs(rule: str, schema: Obj, units: int) -> None:
    assert cost(rule, schema) == units


def test_a_rule_is_paid_for_every_item_that_may_be_there() -> None:
    inner = ruled("self > 1", {"type": "integer"})
    assert sum(cost_of(build({"type": "array", "maxItems": 10, "items": inner})).values()) == 10 * 2
    unbounded = sum(cost_of(build({"type": "array", "items": inner})).values())
    assert unbounded == 2 * (3 * 1024 * 1024 // 2)


def test_two_nested_unbounded_lists_are_over_the_budget_and_bounds_bring_them_under_it() -> None:
    def nested(**bounds: int) -> Obj:
        inner = {"type": "array", "items": {**TEXT, **({"maxLength": 20} if bounds else {})}, **bounds}
        return ruled("self.all(a, a.all(b, b.matches('^a+$')))", {"type": "array", "items": inner, **bounds})

    assert "exceeds budget by factor of more than 100x" in refusals(f=nested())[0]
    assert refusals(f=nested(maxItems=20)) == []


def test_a_small_excess_is_told_exactly() -> None:
    schema = {"type": "array", "maxItems": 2_400_000, "items": {"type": "integer"}}
    assert "exceeds budget by factor of 1.200000x" in refusals(f=ruled("self.all(x, x > 0)", schema))[0]


def own_definitions() -> list[Path]:
    return sorted((ROOT / "crds").glob("*.yaml"))


@pytest.mark.parametrize("path", own_definitions(), ids=lambda path: path.stem)
def test_the_projects_definitions_are_accepted_and_cheap(path: Path) -> None:
    crd = yaml.safe_load(path.read_text())
    assert validate_crd(crd) == []
    for version in crd["spec"]["versions"]:
        costs = cost_of(build(version["schema"]["openAPIV3Schema"]))
        assert costs
        assert max(costs.values()) < RULE_LIMIT / 10
        assert sum(costs.values()) < SCHEMA_LIMIT / 10
