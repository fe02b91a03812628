"""What the API server refuses of a CRD's schemas: not structural, bad defaults, bad rules. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devplane.custom import costs
from devplane.errors import Cause
from devplane.schemas.structure import build
from devplane.schemas.types import Obj
from devplane.schemas.violations import expression, violations

UNSUPPORTED = ("$ref", "additionalItems", "definitions", "dependencies", "id", "patternProperties")
VALUE_ONLY = ("type", "default", "additionalProperties", "nullable", "description", "title", "x-kubernetes-list-type")
LIST_TYPES = ("atomic", "map", "set")


def validate_crd(crd: Obj) -> list[Cause]:
    """Causes in the schemas of every version. One schema for all versions is reported once."""
    versions = crd.get("spec", {}).get("versions") or []
    schemas = [(version.get("schema") or {}).get("openAPIV3Schema") for version in versions]
    if schemas and all(one == schemas[0] for one in schemas) and schemas[0]:
        return _schema(schemas[0], "spec.validation.openAPIV3Schema")
    found = []
    for at, one in enumerate(schemas):
        path = f"spec.versions[{at}].schema.openAPIV3Schema"
        found += _schema(one, path) if one else [Cause.required(path, "schemas are required")]
    return found


def _schema(schema: Obj, path: str) -> list[Cause]:
    found = [*_root(schema, path), *_node(schema, path)]
    return found or costs.validate(build(schema), path)


def _root(schema: Obj, path: str) -> Iterator[Cause]:
    kind = schema.get("type")
    if not kind:
        yield Cause.required(f"{path}.type", "must not be empty at the root")
    elif kind != "object":
        yield Cause.invalid(f"{path}.type", kind, "must be object at the root")
    metadata = (schema.get("properties") or {}).get("metadata") or {}
    if set(metadata.get("properties") or ()) - {"name", "generateName"}:
        words = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield Cause.forbidden(f"{path}.properties[metadata]", words)


def _node(schema: Obj, path: str) -> Iterator[Cause]:
    """One schema and those below it."""
    yield from _forbidden(schema, path)
    yield from _kind(schema, path)
    yield from _extensions(schema, path)
    yield from _default(schema, path)
    yield from _combinations(schema, path)
    for where, child, words in _below(schema, path):
        if not child.get("type") and not _is_untyped(child):
            yield Cause.required(f"{where}.type", f"must not be empty for specified {words}")
        yield from _node(child, where)


def _below(schema: Obj, path: str) -> Iterator[tuple[str, Obj, str]]:
    for name, child in sorted((schema.get("properties") or {}).items()):
        yield f"{path}.properties[{name}]", child, "object fields"
    if isinstance(schema.get("items"), dict):
        yield f"{path}.items", schema["items"], "array items"
    if isinstance(schema.get("additionalProperties"), dict):
        yield f"{path}.additionalProperties", schema["additionalProperties"], "object fields"


def _is_untyped(schema: Obj) -> bool:
    return bool(schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields"))


def _forbidden(schema: Obj, path: str) -> Iterator[Cause]:
    if schema.get("additionalProperties") and schema.get("properties"):
        words = "additionalProperties and properties are mutual exclusive"
        yield Cause.forbidden(f"{path}.additionalProperties", words)
    if schema.get("additionalProperties") is False:
        yield Cause.forbidden(f"{path}.additionalProperties", "additionalProperties cannot be set to false")
    if schema.get("uniqueItems"):
        words = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield Cause.forbidden(f"{path}.uniqueItems", words)
    for name in UNSUPPORTED:
        if name in schema:
            yield Cause.forbidden(f"{path}.{name}", f"{name} is not supported")


def _kind(schema: Obj, path: str) -> Iterator[Cause]:
    kind = schema.get("type")
    known = ("array", "boolean", "integer", "number", "object", "string")
    if kind is not None and kind not in known:
        yield Cause.unsupported(f"{path}.type", kind, known)
    if kind == "array" and not schema.get("items"):
        yield Cause.required(f"{path}.items", "must be specified")
    if isinstance(schema.get("items"), list):
        yield Cause.forbidden(f"{path}.items", "items must be a schema object and not an array")
    if schema.get("x-kubernetes-int-or-string") and kind:
        yield Cause.forbidden(f"{path}.type", "must be empty if x-kubernetes-int-or-string is true")
    if pattern := schema.get("pattern"):
        try:
            expression(pattern)
        except ValueError as error:
            yield Cause.invalid(f"{path}.pattern", pattern, f"must be a valid regular expression, but isn't: {error}")


def _extensions(schema: Obj, path: str) -> Iterator[Cause]:
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        where = f"{path}.x-kubernetes-preserve-unknown-fields"
        yield Cause.invalid(where, value=False, detail="must be true or undefined")
    if schema.get("x-kubernetes-embedded-resource"):
        if schema.get("type") != "object":
            yield Cause.invalid(
                f"{path}.type", schema.get("type", ""), "must be object if x-kubernetes-embedded-resource is true"
            )
        if not schema.get("properties") and not schema.get("x-kubernetes-preserve-unknown-fields"):
            marks = "x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
            words = f"must not be empty if {marks}"
            yield Cause.required(f"{path}.properties", words)
    list_type = schema.get("x-kubernetes-list-type")
    if list_type is None:
        return
    if list_type not in LIST_TYPES:
        yield Cause.unsupported(f"{path}.x-kubernetes-list-type", list_type, LIST_TYPES)
    if schema.get("type") != "array":
        words = "must be array if x-kubernetes-list-type is specified"
        yield Cause.invalid(f"{path}.type", schema.get("type", ""), words)
    if list_type == "map":
        yield from _list_map(schema, path)


def _list_map(schema: Obj, path: str) -> Iterator[Cause]:
    given = schema.get("items")
    items: Obj = given if isinstance(given, dict) else {}
    keys = schema.get("x-kubernetes-list-map-keys") or []
    if not keys:
        words = "must not be empty if x-kubernetes-list-type is map"
        yield Cause.required(f"{path}.x-kubernetes-list-map-keys", words)
    if items.get("type") != "object":
        words = "must be object if parent array's x-kubernetes-list-type is map"
        yield Cause.invalid(f"{path}.items.type", items.get("type", ""), words)
    for at, key in enumerate(keys):
        declared = (items.get("properties") or {}).get(key)
        if declared is None:
            words = "entries must all be names of item properties"
            yield Cause.invalid(f"{path}.x-kubernetes-list-map-keys[{at}]", key, words)
        elif key not in (items.get("required") or ()) and "default" not in declared:
            words = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            )
            yield Cause.required(f"{path}.items.properties[{key}].default", words)


def _default(schema: Obj, path: str) -> Iterator[Cause]:
    """A default must satisfy its own schema; the path of what is wrong in it follows the default's."""
    if schema.get("default") is None:
        return
    for cause in violations(schema["default"], build(schema), ""):
        field = f"{path}.default.{cause.field}" if cause.field else f"{path}.default"
        yield Cause(cause.reason, cause.message, field)


def _combinations(schema: Obj, path: str) -> Iterator[Cause]:
    """allOf, anyOf, oneOf and not only test values: what a field is, is said outside of them."""
    if schema.get("x-kubernetes-int-or-string"):
        return
    branches = [
        (f"{path}.{key}[{at}]", one)
        for key in ("allOf", "anyOf", "oneOf")
        for at, one in enumerate(schema.get(key) or ())
    ]
    if isinstance(schema.get("not"), dict):
        branches.append((f"{path}.not", schema["not"]))
    for where, branch in branches:
        yield from _branch(branch, schema, where)


def _branch(branch: Obj, outside: Obj, path: str) -> Iterator[Cause]:
    for name in VALUE_ONLY:
        if branch.get(name) not in (None, False, ""):
            yield Cause.forbidden(f"{path}.{name}", "must be empty to be structural")
    declared: dict[str, Any] = outside.get("properties") or {}
    for name, child in (branch.get("properties") or {}).items():
        if name not in declared:
            where = f"{path}.properties[{name}]"
            yield Cause.required(f"{path.rpartition('.')[0]}.properties[{name}]", f"because it is defined in {where}")
        else:
            yield from _branch(child, declared[name], f"{path}.properties[{name}]")
