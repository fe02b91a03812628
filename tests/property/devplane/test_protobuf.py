"""An object of any served kind is the same in protobuf; and so it is with all the zeros that Go writes beside it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiserver.fuzz import protobufs
from devplane.errors import ApiError
from devplane.resources.builtin import builtin_resources
from devplane.schemas.definitions import definition_types, names
from devplane.wire import protobuf
from devplane.wire.protobuf_messages import Field, definitions, fields_of

Obj = dict[str, Any]
Kind = tuple[str, str]

REVIEWED = [("autoscaling/v1", "Scale"), ("policy/v1", "Eviction"), ("authentication.k8s.io/v1", "TokenRequest")]
READ = sorted({*((one.api_version, one.kind) for one in builtin_resources()), *REVIEWED, ("v1", "DeleteOptions")})
RAW: tuple[Any, ...] = ({"a": [1, None, "x"], "b": {}}, {}, [0.5], "x", 0, False)


@dataclass
class Maker:
    """Objects of a schema: with every field where there is no `random`, else with some of them, to some depth."""

    random: Random | None
    depth: int

    def one_of(self, *choices: Any) -> Any:
        return self.random.choice(choices) if self.random else choices[0]

    def object(self, definition: str, level: int = 0) -> Obj:
        properties = definition_types(definition).get("properties", {})
        if level == self.depth:
            return {}
        chosen = [one for one in fields_of(definition) if self.random is None or self.random.random() < 0.4]
        found = {one.name: self.value(properties[one.name], level, one) for one in chosen}
        return {name: value for name, value in found.items() if value not in ([], {}) or "$ref" in properties[name]}

    def value(self, schema: Obj, level: int, field: Field | None = None) -> Any:
        if schema.get("type") == "array":
            return [self.value(schema["items"], level) for _ in range(self.one_of(2, 1))]
        if "additionalProperties" in schema:
            return {key: self.value(schema["additionalProperties"], level) for key in self.one_of(("a", "é/b"), ("",))}
        reference = schema.get("$ref", "")
        if reference in definitions():
            return self.object(reference, level + 1)
        if reference.startswith(protobufs.PROPS):
            return self.alternative(reference, level)
        if reference.rpartition(".")[2] in protobufs.WRAPPED:
            return self.one_of(*RAW)
        return self.scalar(definition_types(reference) if reference else schema, is_kept=not field or field.keeps_zero)

    def alternative(self, reference: str, level: int) -> Any:
        schema = self.object(protobufs.PROPS, level + 1)
        match reference.removeprefix(f"{protobufs.PROPS}Or"):
            case "Array":
                return self.one_of(schema, [schema, {}])
            case "Bool":
                return self.one_of(schema, True)
            case _:
                return self.one_of(schema, ["a", ""])

    def scalar(self, schema: Obj, *, is_kept: bool) -> Any:
        if schema.get("x-kubernetes-int-or-string"):
            return self.one_of(80, "50%", 0, "", -1)
        zero = schema["type"] in ("string", "integer", "boolean", "number") and is_kept and not schema.get("format")
        match schema["type"], schema.get("format"):
            case "string", None:
                return self.one_of("x", "ünï \x00💥", *[""] * zero)
            case "string", form:
                return self.one_of(*TEXTS[str(form)])
            case "integer", form:
                return self.one_of(7, -1, 2**31 - 1 if form == "int32" else 2**63 - 1, *[0] * is_kept)
            case "boolean", _:
                return self.one_of(True, *[False] * zero)
            case _:
                return self.one_of(0.5, -3, 1e300)


TEXTS = {
    "byte": ("AP8=", "MQ=="),
    "date-time": ("2023-11-14T22:13:20Z", "1970-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
    "date-time-micro": ("2023-11-14T22:13:20.123456Z", "1969-12-31T23:59:59.000001Z"),
    "quantity": ("500m", "1.5Gi", "0"),
}


def decoded(kind: Kind, content: Obj) -> Obj:
    raw = protobufs.envelope(*kind, protobufs.message(names()[kind], content))
    found = protobuf.decode(raw, *kind)
    assert (found.pop("apiVersion"), found.pop("kind")) == kind
    return found


def with_zeros(definition: str, content: Obj) -> Obj:
    """The same as Go writes it: what is no pointer and not set is there, as the zero of its type."""
    properties = definition_types(definition).get("properties", {})
    found = {name: _zeros_within(properties[name], value) for name, value in content.items()}
    for one in fields_of(definition):
        zero = ZEROS.get(properties[one.name].get("type", ""))
        if one.name not in content and not one.keeps_zero and zero is not None:
            found[one.name] = zero
    return found


ZEROS: Obj = {"string": "", "integer": 0, "boolean": False}


def _zeros_within(schema: Obj, value: Any) -> Any:
    if schema.get("type") == "array":
        return [_zeros_within(schema["items"], one) for one in value]
    if "additionalProperties" in schema:
        return {key: _zeros_within(schema["additionalProperties"], one) for key, one in value.items()}
    return with_zeros(schema["$ref"], value) if schema.get("$ref", "") in definitions() else value


@pytest.mark.parametrize("kind", READ, ids="/".join)
def test_an_object_with_every_field_is_the_same_in_protobuf(kind: Kind) -> None:
    depth = 6 if kind[1] == "CustomResourceDefinition" else 99
    content = Maker(None, depth).object(names()[kind])
    assert set(content) >= {one.name for one in fields_of(names()[kind])}
    assert decoded(kind, content) == content


@given(kind=st.sampled_from(READ), random=st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=200)
def test_any_object_is_the_same_in_protobuf_with_and_without_zeros(kind: Kind, random: Random) -> None:
    definition = names()[kind]
    content = Maker(random, 7).object(definition)
    assert decoded(kind, content) == content
    assert decoded(kind, with_zeros(definition, content)) == content


@given(kind=st.sampled_from(READ), raw=protobufs.rubbish)
@settings(deadline=None, max_examples=200)
def test_fields_that_a_message_does_not_have_are_skipped(kind: Kind, raw: bytes) -> None:
    definition = names()[kind]
    known = protobufs.message(definition, Maker(None, 3).object(definition))
    unknown = protobufs.block(2**20, raw) + protobufs.count(2**21, 1) + b"\xcb\x3e\x0a\x01x\x0b\x0c\xcc\x3e"
    one = protobuf.decode(protobufs.envelope(*kind, known), *kind)
    assert protobuf.decode(protobufs.envelope(*kind, unknown + known + unknown), *kind) == one


@given(kind=st.sampled_from(READ), raw=protobufs.rubbish | st.binary(max_size=60))
@settings(deadline=None, max_examples=300)
def test_any_bytes_are_an_object_or_a_bad_request(kind: Kind, raw: bytes) -> None:
    assert outcome(protobufs.envelope(*kind, raw), kind) in (kind[1], 400)


def outcome(body: bytes, kind: Kind) -> str | int:
    """The kind that was read, or the code of the refusal."""
    try:
        found: str = protobuf.decode(body, *kind)["kind"]
    except ApiError as error:
        return error.code
    return found
