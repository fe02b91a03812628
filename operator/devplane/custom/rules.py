"""What the API server refuses of a CRD's schemas: not structural, bad defaults, bad rules. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devplane.custom import costs, defaults
from devplane.custom.fields import FieldPathError, field_at
from devplane.custom.structural import structural_errors, unsupported
from devplane.errors import Cause
from devplane.schemas.structure import build
from devplane.schemas.types import Obj

TYPES = ("array", "boolean", "integer", "number", "object", "string")
REFUSED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
# With a status subresource, the root says only this.
AT_ROOT = (
    "Description", "Type", "Format", "Title", "Maximum", "ExclusiveMaximum", "Minimum", "ExclusiveMinimum", "MaxLength",
    "MinLength", "Pattern", "MaxItems", "MinItems", "UniqueItems", "MultipleOf", "Required", "Items", "Properties",
    "ExternalDocs", "Example", "XPreserveUnknownFields", "XValidations",
)  # fmt: skip


def validate_crd(crd: Obj) -> list[Cause]:
    """Causes in the schemas alone, of every version. One schema for all versions is reported once."""
    versions = crd.get("spec", {}).get("versions") or []
    schemas = [(version.get("schema") or {}).get("openAPIV3Schema") for version in versions]
    if schemas and schemas[0] is not None and all(one == schemas[0] for one in schemas):
        return schema_errors(schemas[0], "spec.validation.openAPIV3Schema", has_status=False)
    return [
        cause
        for at, one in enumerate(schemas)
        for cause in schema_errors(one or {}, f"spec.versions[{at}].schema.openAPIV3Schema", has_status=False)
    ]


def schema_errors(schema: Obj, path: str, *, has_status: bool) -> list[Cause]:
    """Causes in one schema; `has_status` where status is a subresource."""
    found = list(_root(schema, path, has_status=has_status))
    whole = unsupported(schema)
    if not whole:
        shape = structural_errors(schema, path) or list(defaults.default_errors(schema, path))
        found += shape
    found += _node(schema, path)
    if found or whole:
        return found or [Cause.invalid(path, "", whole)]
    return costs.validate(build(schema), path)


def _root(schema: Obj, path: str, *, has_status: bool) -> Iterator[Cause]:
    if has_status:
        for key in schema:
            name = f"X{_camel(key.removeprefix('x-kubernetes-'))}" if key.startswith("x-") else key[0].upper() + key[1:]
            if name not in AT_ROOT:
                allowed = f"only [{' '.join(AT_ROOT)}] fields are allowed"
                words = f"{allowed} at the root of the schema if the status subresource is enabled"
                yield Cause.invalid(path, schema, words)
                break
    if schema.get("nullable"):
        yield Cause.forbidden(f"{path}.nullable", "nullable cannot be true at the root")


def _camel(text: str) -> str:
    return "".join(part.capitalize() for part in text.split("-"))


def _node(schema: Obj, path: str, meta: str = "", *, is_root: bool = True) -> Iterator[Cause]:
    """One schema and those below it; `meta` says of which top-level field it is."""
    yield from _own(schema, path, meta)
    extra = schema.get("additionalProperties")
    if schema.get("properties") and extra is not None and extra is not True:
        words = "additionalProperties and properties are mutual exclusive"
        yield Cause.forbidden(f"{path}.additionalProperties", words)
    for step, child in _below(schema):
        name = step[len(".properties[") : -1] if step.startswith(".properties[") else ""
        inside = name if is_root and name in ("metadata", "kind", "apiVersion") else meta
        yield from _node(child, f"{path}{step}", inside, is_root=False)
    yield from _extensions(schema, path)
    yield from _lists(schema, path)
    for at, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        yield from _rule(rule, schema, f"{path}.x-kubernetes-validations[{at}]")


def _below(schema: Obj) -> Iterator[tuple[str, Obj]]:
    if isinstance(schema.get("additionalProperties"), dict):
        yield ".additionalProperties", schema["additionalProperties"]
    for name, child in sorted((schema.get("properties") or {}).items()):
        yield f".properties[{name}]", child
    if isinstance(schema.get("not"), dict):
        yield ".not", schema["not"]
    for key in ("allOf", "oneOf", "anyOf"):
        for at, one in enumerate(schema.get(key) or ()):
            yield f".{key}[{at}]", one
    if isinstance(schema.get("items"), dict):
        yield ".items", schema["items"]


def _own(schema: Obj, path: str, meta: str) -> Iterator[Cause]:
    kind = schema.get("type")
    if kind and kind not in TYPES:
        yield Cause.unsupported(f"{path}.type", kind, TYPES)
    if schema.get("default") is not None and meta:
        yield Cause.forbidden(f"{path}.default", f"must not be set in top-level {meta}")
    for name in REFUSED:
        if schema.get(name):
            yield Cause.forbidden(f"{path}.{name}", f"{name} is not supported")
    if kind == "null":
        yield Cause.forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    if isinstance(schema.get("items"), list):
        yield Cause.forbidden(f"{path}.items", "items must be a schema object and not an array")
    if meta and schema.get("x-kubernetes-embedded-resource"):
        yield Cause.forbidden(f"{path}.x-kubernetes-embedded-resource", "must not be used inside of resource meta")
    if schema.get("uniqueItems"):
        words = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield Cause.forbidden(f"{path}.uniqueItems", words)


def _extensions(schema: Obj, path: str) -> Iterator[Cause]:
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        where = f"{path}.x-kubernetes-preserve-unknown-fields"
        yield Cause.invalid(where, value=False, detail="must be true or undefined")
    yield from _of_type(schema, "x-kubernetes-map-type", "object", path)
    if (map_type := schema.get("x-kubernetes-map-type")) not in (None, "atomic", "granular"):
        yield Cause.unsupported(f"{path}.x-kubernetes-map-type", map_type, ("atomic", "granular"))


def _of_type(schema: Obj, name: str, wanted: str, path: str) -> Iterator[Cause]:
    """A kind of list or map is that of a list or an object."""
    kind = schema.get("type") or ""
    if schema.get(name) is not None and kind != wanted:
        words = f"must be {wanted} if {name} is specified"
        yield Cause.invalid(f"{path}.type", kind, words) if kind else Cause.required(f"{path}.type", words)


def _lists(schema: Obj, path: str) -> Iterator[Cause]:
    list_type, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or []
    items = schema["items"] if isinstance(schema.get("items"), dict) else None
    yield from _of_type(schema, "x-kubernetes-list-type", "array", path)
    if list_type == "set" and schema.get("type") == "array" and items is not None:
        yield from _set_items(items, f"{path}.items")
    if list_type not in (None, "atomic", "set", "map"):
        yield Cause.unsupported(f"{path}.x-kubernetes-list-type", list_type, ("atomic", "set", "map"))
    if keys and list_type != "map":
        words, where = "must be map if x-kubernetes-list-map-keys is non-empty", f"{path}.x-kubernetes-list-type"
        yield Cause.required(where, words) if list_type is None else Cause.invalid(where, list_type, words)
    if list_type == "map":
        yield from _list_map(items, keys, path)
    if list_type in ("map", "set") and items is not None:
        if items.get("nullable"):
            words = f"cannot be nullable when x-kubernetes-list-type is {list_type}"
            yield Cause.forbidden(f"{path}.items.nullable", words)
        if list_type == "map":
            yield from _keys(items, keys, path)


def _set_items(items: Obj, path: str) -> Iterator[Cause]:
    words = "must be atomic as item of a list with x-kubernetes-list-type=set"
    kind = items.get("x-kubernetes-list-type")
    if items.get("type") == "array" and kind not in (None, "atomic"):
        yield Cause.invalid(f"{path}.x-kubernetes-list-type", kind, words)
    if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        yield Cause.invalid(f"{path}.x-kubernetes-map-type", kind, words)


def _list_map(items: Obj | None, keys: list[str], path: str) -> Iterator[Cause]:
    where = f"{path}.x-kubernetes-list-map-keys"
    if not keys:
        yield Cause.required(where, "must not be empty if x-kubernetes-list-type is map")
    if items is None:
        yield Cause.required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")
        return
    if items.get("type") != "object":
        words = "must be object if parent array's x-kubernetes-list-type is map"
        yield Cause.invalid(f"{path}.items.type", items.get("type") or "", words)
        return
    for at, key in enumerate(keys):
        declared = (items.get("properties") or {}).get(key)
        if declared is None:
            yield Cause.invalid(where, keys, "entries must all be names of item properties")
        elif declared.get("type") in ("array", "object"):
            words = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield Cause.invalid(f"{path}.items.properties[{key}].type", "object", words)
        if key in keys[:at]:
            yield Cause.invalid(where, keys, "must not contain duplicate entries")


def _keys(items: Obj, keys: list[str], path: str) -> Iterator[Cause]:
    """A key is there in every item."""
    for key in keys:
        declared = (items.get("properties") or {}).get(key)
        where = f"{path}.items.properties[{key}]"
        name = "this property is in x-kubernetes-list-map-keys, so it"
        if declared is None:
            continue
        if key not in (items.get("required") or ()) and declared.get("default") is None:
            yield Cause.required(f"{where}.default", f"{name} must have a default or be a required property")
        if declared.get("nullable"):
            yield Cause.forbidden(f"{where}.nullable", f"{name} cannot be nullable")


def _rule(rule: Obj, schema: Obj, path: str) -> Iterator[Cause]:
    """What is wrong with a rule before it is compiled."""
    text, message = (rule.get("rule") or "").strip(), rule.get("message") or ""
    if not text:
        yield Cause.required(f"{path}.rule", "rule is not specified")
    elif message and not message.strip():
        yield Cause.invalid(f"{path}.message", message, "must be non-empty if specified")
    elif _has_lines(message.strip()):
        yield Cause.invalid(f"{path}.message", message, "must not contain line breaks")
    elif _has_lines(text) and not message.strip():
        yield Cause.required(f"{path}.message", "message must be specified if rule contains line breaks")
    said: Any = rule.get("messageExpression") or ""
    if said and not said.strip():
        yield Cause.required(f"{path}.messageExpression", "messageExpression must be non-empty if specified")
    if rule.get("reason") is not None and rule["reason"] not in REASONS:
        yield Cause.unsupported(f"{path}.reason", rule["reason"], REASONS)
    yield from _field_path(rule.get("fieldPath") or "", schema, f"{path}.fieldPath")


def _field_path(field: str, schema: Obj, path: str) -> Iterator[Cause]:
    if field and not field.strip():
        yield Cause.invalid(path, field, "must be non-empty if specified")
    if _has_lines(field):
        yield Cause.invalid(path, field, "must not contain line breaks")
    if field:
        try:
            field_at(field, schema)
        except FieldPathError:
            yield Cause.invalid(path, field, "must be a valid path")


def _has_lines(text: str) -> bool:
    return "\n" in text or "\r" in text
