"""The table of protobuf numbers, held to the schemas of the kinds that are served."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest

from devplane.resources.builtin import builtin_resources
from devplane.schemas.definitions import definition_types, names
from devplane.wire.protobuf_messages import definitions, fields_of

Obj = dict[str, Any]

PROPS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
BY_ITSELF = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    f"{PROPS.removesuffix('SchemaProps')}",
    f"{PROPS}OrArray",
    f"{PROPS}OrBool",
    f"{PROPS}OrStringArray",
}
"""What Kubernetes reads with code of its own, and so does devplane/wire/protobuf_values.py."""


def bodies() -> Iterator[tuple[str, str]]:
    """The kinds of bodies that are taken; options of streams are queries."""
    yield "v1", "DeleteOptions"
    for resource in builtin_resources():
        yield resource.api_version, resource.kind
        for sub in resource.subresources:
            if not sub.kind.endswith("Options"):
                yield f"{sub.group}/{sub.version}" if sub.group else resource.api_version, sub.kind


SERVED = sorted(set(bodies()))


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for one in node.values():
            yield from references(one)


@pytest.mark.parametrize("served", SERVED, ids="/".join)
def test_every_served_kind_has_its_message(served: tuple[str, str]) -> None:
    assert names()[served] in definitions()


@pytest.mark.parametrize("definition", sorted(definitions()))
def test_a_message_has_the_fields_of_its_schema_each_under_a_number_of_its_own(definition: str) -> None:
    schema = definition_types(definition)
    of_the_envelope = {"apiVersion", "kind"} if "x-kubernetes-group-version-kind" in schema else set()
    declared = fields_of(definition)
    assert sorted(one.name for one in declared) == sorted(schema.get("properties", {}).keys() - of_the_envelope)
    for one, other in combinations([field.path for field in declared], 2):
        assert one[: len(other)] != other[: len(one)], (one, other)


@pytest.mark.parametrize("definition", sorted(definitions()))
def test_what_a_message_refers_to_is_read(definition: str) -> None:
    assert set(references(definition_types(definition).get("properties", {}))) <= definitions() | BY_ITSELF


def test_the_table_has_nothing_that_no_body_reaches() -> None:
    reached: set[str] = set()
    waiting = [names()[one] for one in SERVED]
    while waiting:
        definition = waiting.pop()
        if definition not in reached:
            reached.add(definition)
            waiting += [*references(definition_types(definition).get("properties", {}))]
            waiting += [PROPS] if definition.startswith(PROPS) else []
    assert definitions() == reached - BY_ITSELF
