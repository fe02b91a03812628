"""Schemas of custom resources: words of refusals, ratcheting, pruning, defaults, rules."""

from __future__ import annotations

from typing import Any

import pytest

from devplane.custom.schema import Structural

Obj = dict[str, Any]


def structural(**properties: Any) -> Structural:
    spec = {"type": "object", "properties": properties}
    return Structural({"type": "object", "properties": {"spec": spec}})


def resource(**spec: Any) -> Obj:
    return {"apiVersion": "x.dev/v1", "kind": "X", "metadata": {"name": "x"}, "spec": spec}


def messages(schema: Structural, new: Obj, old: Obj | None = None) -> list[str]:
    return [str(cause) for cause in schema.validate(new, old)]


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        ({"type": "string"}, 1, 'spec.f: Invalid value: "integer": spec.f in body must be of type string: "integer"'),
        (
            {"type": "integer"},
            1.5,
            (
                'spec.f: Invalid value: "number": spec.f in body must be of type integer: "number"\n'
                '<nil>: Invalid value: "": Checked value must be of type integer (default format) in spec.f'
            ),
        ),
        (
            {"type": "integer", "format": "int32"},
            2**31,
            '<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.f',
        ),
        ({"type": "string", "maxLength": 2}, "abc", "spec.f: Too long: may not be more than 2 bytes"),
        (
            {"type": "string", "minLength": 2},
            "a",
            'spec.f: Invalid value: "a": spec.f in body should be at least 2 chars long',
        ),
        (
            {"type": "integer", "maximum": 3},
            4,
            "spec.f: Invalid value: 4: spec.f in body should be less than or equal to 3",
        ),
        (
            {"type": "integer", "minimum": 3, "exclusiveMinimum": True},
            3,
            "spec.f: Invalid value: 3: spec.f in body should be greater than 3",
        ),
        (
            {"type": "number", "multipleOf": 0.5},
            0.7,
            "spec.f: Invalid value: 0.7: spec.f in body should be a multiple of 0.5",
        ),
        (
            {"type": "array", "items": {"type": "string"}, "maxItems": 1},
            ["a", "b"],
            "spec.f: Too many: 2: must have at most 1 item",
        ),
        (
            {"type": "string", "format": "ipv4"},
            "1.2.3",
            'spec.f: Invalid value: "1.2.3": spec.f in body must be of type ipv4: "1.2.3"',
        ),
        (
            {"type": "string", "anyOf": [{"pattern": "^a"}, {"pattern": "^b"}]},
            "c",
            (
                '<nil>: Invalid value: "": "spec.f" must validate at least one schema (anyOf)\n'
                "spec.f: Invalid value: \"c\": spec.f in body should match '^a'"
            ),
        ),
        (
            {"type": "object", "properties": {"a": {"type": "string"}}, "oneOf": [{"required": ["a"]}]},
            {},
            (
                '<nil>: Invalid value: "": "spec.f" must validate one and only one schema (oneOf). Found none valid\n'
                "spec.f.a: Required value"
            ),
        ),
        ({"type": "integer", "enum": [1, 2]}, 3, 'spec.f: Unsupported value: 3: supported values: "1", "2"'),
    ],
)
def test_a_violation_is_told_in_the_servers_words(schema: Obj, value: Any, message: str) -> None:
    assert messages(structural(f=schema), resource(f=value)) == message.split("\n")


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"x-kubernetes-int-or-string": True}, "5%"),
        ({"x-kubernetes-int-or-string": True}, 5),
        ({"type": "string", "nullable": True}, None),
        ({"type": "string", "format": "date-time"}, "2026-11-21T09:44:54Z"),
        ({"type": "string", "format": "no-such-format"}, "anything"),
        ({"type": "number"}, 3),
        ({"type": "string", "pattern": r"^\d+$"}, "12"),
        ({"x-kubernetes-preserve-unknown-fields": True}, {"any": [1]}),
    ],
)
def test_what_the_schema_allows_passes(schema: Obj, value: Any) -> None:
    assert messages(structural(f=schema), resource(f=value)) == []


def test_a_dollar_is_the_very_end() -> None:
    assert messages(structural(f={"type": "string", "pattern": "^a$"}), resource(f="a\n"))


def test_what_was_wrong_before_may_stay_so() -> None:
    schema = structural(f={"type": "string", "maxLength": 1}, g={"type": "string"})
    old = resource(f="long", g="a")
    assert messages(schema, resource(f="long", g="b"), old) == []
    assert messages(schema, resource(f="longer", g="a"), old) == ["spec.f: Too long: may not be more than 1 bytes"]


def test_unknown_fields_go_but_where_the_schema_keeps_them() -> None:
    schema = structural(
        kept={"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"a": {"type": "object"}}},
        items={"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
        pod={"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": {"type": "object"}}},
    )
    obj = resource(kept={"x": 1, "a": {"y": 1}}, items=[{"a": "1", "b": 2}], pod={"kind": "Pod", "z": 1}, top=1)
    obj["metadata"]["shiny"] = True
    assert schema.prune(obj) == ["metadata.shiny", "spec.items[0].b", "spec.kept.a.y", "spec.pod.z", "spec.top"]
    assert obj["spec"] == {"kept": {"x": 1, "a": {}}, "items": [{"a": "1"}], "pod": {"kind": "Pod"}}


def test_defaults_fill_what_is_missing_and_null() -> None:
    schema = structural(
        outer={"type": "object", "default": {}, "properties": {"inner": {"type": "integer", "default": 3}}},
        nullable={"type": "string", "nullable": True, "default": "x"},
        plain={"type": "string", "default": "y"},
        bare={"type": "string"},
    )
    obj = resource(nullable=None, plain=None, bare=None)
    schema.default(obj)
    assert obj["spec"] == {"outer": {"inner": 3}, "nullable": None, "plain": "y"}


def test_a_default_is_not_shared_between_objects() -> None:
    schema = structural(f={"type": "object", "default": {"a": "1"}, "additionalProperties": {"type": "string"}})
    one, other = resource(), resource()
    schema.default(one)
    one["spec"]["f"]["b"] = "2"
    schema.default(other)
    assert other["spec"]["f"] == {"a": "1"}


def ruled(rule: str, old: Obj | None, new: Obj, **more: Any) -> list[str]:
    field = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}}
    field["x-kubernetes-validations"] = [{"rule": rule, **more}]
    schema = structural(f=field)
    return messages(schema, resource(f=new), None if old is None else resource(f=old))


def test_a_rule_that_fails_says_its_message_at_its_field() -> None:
    assert ruled("self.a > 1", None, {"a": 1}) == ['spec.f: Invalid value: "object": failed rule: self.a > 1']
    told = ruled("self.a > 1", None, {"a": 1}, message="too small", fieldPath=".a", reason="FieldValueForbidden")
    assert told == ["spec.f.a: Forbidden: too small"]
    told = ruled("self.a > 1", None, {"a": 1}, messageExpression="'got ' + string(self.a)")
    assert told == ['spec.f: Invalid value: "object": got 1']


def test_a_transition_rule_is_asked_only_of_changes() -> None:
    rule = "self.a >= oldSelf.a"
    assert ruled(rule, None, {"a": 1}) == []
    assert ruled(rule, {"a": 1}, {"a": 2}) == []
    assert ruled(rule, {"a": 3}, {"a": 2}) == [f'spec.f: Invalid value: "object": failed rule: {rule}']


def test_an_optional_old_value_lets_a_transition_rule_see_creates() -> None:
    rule = "oldSelf.hasValue() ? self.a >= oldSelf.value().a : self.a == 1"
    assert ruled(rule, None, {"a": 1}, optionalOldSelf=True) == []
    assert ruled(rule, None, {"a": 2}, optionalOldSelf=True)
    assert ruled(rule, {"a": 3}, {"a": 2}, optionalOldSelf=True)


def test_a_rule_that_can_not_be_evaluated_refuses() -> None:
    told = ruled("self.a > 1", None, {"b": "x"})
    assert told == ['spec.f: Invalid value: "object": no such key: a evaluating rule: self.a > 1']
    assert "division by zero" in ruled("1 / self.a == 1", None, {"a": 0})[0]


def test_rules_wait_for_a_valid_object() -> None:
    told = ruled("self.a > 1", None, {"a": "x"})
    assert told[0].startswith('spec.f.a: Invalid value: "string"')
    assert told[1].startswith('<nil>: Invalid value: "null": some validation rules were not checked')


def test_names_that_are_no_identifiers_are_escaped_in_rules() -> None:
    field = {
        "type": "object",
        "properties": {"a-b": {"type": "integer"}, "namespace": {"type": "string"}},
        "x-kubernetes-validations": [{"rule": "self.a__dash__b == 1 && self.__namespace__ == 'x'"}],
    }
    assert messages(structural(f=field), resource(f={"a-b": 1, "namespace": "x"})) == []
    assert messages(structural(f=field), resource(f={"a-b": 2, "namespace": "x"})) != []


@pytest.mark.parametrize(
    "rule",
    [
        "self.list.all(x, x.startsWith('a')) && self.list.exists(x, x == 'ab')",
        "self.list.map(x, size(x)).sum() == 4 && self.list.isSorted()",
        "self.map.all(k, self.map[k] != '')",
        "quantity(self.amount).isGreaterThan(quantity('1Gi'))",
        "self.took > duration('30m') && self.when < timestamp('2030-01-01T00:00:00Z')",
        "self.text.lowerAscii().split('-').join('+') == 'a+b'",
        "self.text.replace('A', 'c').indexOf('B') == 2",
        "'%s is %d'.format([self.text, 3]) == 'A-B is 3'",
        "self.text.find('[A-Z]$') == 'B' && self.text.matches('^A')",
        "type(self.mixed) == int ? self.mixed < 5 : self.mixed.endsWith('%')",
        "self.ratio >= 1.0 && self.ratio < 1.5",
        "url('https://a.dev:1/x').getHostname() == 'a.dev' && isURL('http://b')",
        "isIP('10.0.0.1') && !isIP('x') && cidr('10.0.0.0/8').containsIP('10.1.2.3') && ip('::1').family() == 6",
        "'a' in self.map && !('z' in self.map) && 'ab' in self.list",
    ],
)
def test_rules_know_the_functions_of_kubernetes(rule: str) -> None:
    text = {"type": "string"}
    field = {
        "type": "object",
        "properties": {
            "list": {"type": "array", "items": text},
            "map": {"type": "object", "additionalProperties": text},
            "amount": text,
            "text": text,
            "took": {"type": "string", "format": "duration"},
            "when": {"type": "string", "format": "date-time"},
            "mixed": {"x-kubernetes-int-or-string": True},
            "ratio": {"type": "number"},
        },
        "x-kubernetes-validations": [{"rule": rule}],
    }
    value = {
        "list": ["aa", "ab"],
        "map": {"a": "1"},
        "amount": "2Gi",
        "text": "A-B",
        "took": "1h",
        "when": "2026-11-21T09:44:54Z",
        "mixed": "5%",
        "ratio": 1,
    }
    assert messages(structural(f=field), resource(f=value)) == []
