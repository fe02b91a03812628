"""The schema of a custom resource: pruning, defaults, validation and types of one version of its definition. Pure."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from devplane.errors import Cause, go_value
from devplane.schemas.decode import unknown_fields
from devplane.schemas.formats import FORMATS
from devplane.schemas.structure import ABSENT, METADATA, Node, below, build, children, identity
from devplane.schemas.types import Obj, TypeNode
from devplane.schemas.violations import violations

if TYPE_CHECKING:
    from jsonschema_rs import Validator

    from devplane.cel.rules import Rules

IDENTITY = ("apiVersion", "kind", "metadata")
BLOCKING = frozenset({
    "FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid",
})  # fmt: skip
NOT_CHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation"
)


class Structural:
    """One `openAPIV3Schema`. Everything that takes time is done once, when it is first needed."""

    def __init__(self, schema: Obj) -> None:
        self.root = build(schema)
        self._schema = schema

    @cached_property
    def types(self) -> TypeNode:
        """The schema as patches and apply see it; metadata is that of every object."""
        from devplane.schemas.definitions import definition_types

        named = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"$ref": METADATA}}
        properties = {**(self._schema.get("properties") or {}), **named}
        schema = {**self._schema, "properties": properties, "x-go-zero": {"metadata": {}}}
        return TypeNode(schema, definition_types)

    def prune(self, obj: Obj) -> list[str]:
        """Paths of unknown fields, sorted, removed from `obj`."""
        found = [f"metadata.{path}" for path in unknown_fields(obj.get("metadata") or {}, self._metadata)]
        own = {name: value for name, value in obj.items() if name not in IDENTITY}
        prune(own, self.root, "", found)
        for name in [name for name in obj if name not in IDENTITY and name not in own]:
            del obj[name]
        return sorted(found)

    @cached_property
    def _metadata(self) -> TypeNode:
        from devplane.schemas.definitions import definition_types

        return TypeNode({"$ref": METADATA}, definition_types)

    def default(self, obj: Obj) -> None:
        """Defaults set, and nulls gone where the schema does not allow them."""
        _default(obj, self.root)

    def validate(self, new: Obj, old: Obj | None) -> list[Cause]:
        """Causes in `new`; rules that compare with `old` are asked on updates. Metadata is checked elsewhere."""
        before = ABSENT if old is None else old
        found = [] if self._is_valid(new) else list(self._violations(new, before))
        if self.root.has_lists:
            found += _duplicates(new, self.root, "")
        if not self.root.has_rules:
            return found
        if any(cause.reason in BLOCKING for cause in found):
            return [*found, Cause("FieldValueInvalid", f'Invalid value: "null": {NOT_CHECKED}', "<nil>")]
        return [*found, *self._rules.validate(new, before)]

    def _violations(self, new: Obj, before: Any) -> Iterator[Cause]:
        own = {name: value for name, value in new.items() if name != "metadata"}
        old = {name: value for name, value in before.items() if name != "metadata"} if before is not ABSENT else before
        return violations(own, self.root, "", old)

    def _is_valid(self, new: Obj) -> bool:
        """The quick answer. A wrong "no" costs time, never a wrong refusal."""
        own = {name: value for name, value in new.items() if name != "metadata"}
        return bool(self._validator.is_valid(own))

    @cached_property
    def _validator(self) -> Validator:
        import jsonschema_rs

        schema = _json_schema({**self._schema, "required": _without(self._schema.get("required"), "metadata")})
        return jsonschema_rs.Draft4Validator(schema, validate_formats=True, formats=dict(FORMATS))

    @cached_property
    def _rules(self) -> Rules:
        from devplane.cel.rules import Rules

        return Rules(self.root)


def _without(names: list[str] | None, name: str) -> list[str]:
    return [one for one in names or () if one != name]


def _json_schema(schema: Any) -> Any:
    """An OpenAPI v3 schema in the terms of JSON schema draft 4."""
    if not isinstance(schema, dict):
        return schema
    plain = {key: value for key, value in schema.items() if key in _CHECKED}
    if "properties" in schema:
        plain["properties"] = {name: _json_schema(one) for name, one in schema["properties"].items()}
    for key in ("items", "additionalProperties", "not"):
        if key in schema:
            plain[key] = _json_schema(schema[key])
    for key in ("allOf", "anyOf", "oneOf"):
        if key in schema:
            plain[key] = [_json_schema(one) for one in schema[key]]
    return _nullable(_typed(plain, schema)) if schema.get("nullable") else _typed(plain, schema)


def _typed(plain: Obj, schema: Obj) -> Obj:
    if schema.get("x-kubernetes-int-or-string"):
        plain["type"] = ["integer", "string"]
    if schema.get("type") == "integer":
        most = 2**31 if schema.get("format") == "int32" else 2**63
        plain["minimum"] = max(plain.get("minimum", -most), -most)
        plain["maximum"] = min(plain.get("maximum", most - 1), most - 1)
    elif schema.get("format") == "float":
        plain["maximum"] = min(plain.get("maximum", _FLOAT), _FLOAT)
        plain["minimum"] = max(plain.get("minimum", -_FLOAT), -_FLOAT)
    if not plain.get("required"):
        plain.pop("required", None)
    return plain


_FLOAT = 3.4028234663852886e38


def _nullable(plain: Obj) -> Obj:
    return {"anyOf": [{"type": "null"}, plain]}


_CHECKED = frozenset({
    "type", "format", "enum", "required", "pattern", "minLength", "maxLength", "minimum", "maximum", "multipleOf",
    "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "minProperties", "maxProperties",
})  # fmt: skip


def prune(value: Any, node: Node, path: str, found: list[str]) -> None:
    """Take out what the schema does not know; `found` gets the paths."""
    if isinstance(value, dict):
        keeps = node.is_open or node.values is not None or (not node.kind and not node.properties)
        for name in [] if keeps else [name for name in value if name not in node.properties]:
            if not (node.is_embedded and name in IDENTITY):
                found.append(below(path, name))
                del value[name]
    for step, one, child in children(value, node):
        if isinstance(one, dict | list):
            prune(one, child, below(path, step), found)


def _default(value: Any, node: Node) -> None:
    if isinstance(value, dict):
        for name in [name for name, one in value.items() if one is None]:
            child = node.child(name)
            if child is not None and child.kind and not child.is_nullable:
                del value[name]
        if node.has_defaults:
            for name, child in node.properties.items():
                if name not in value and child.default is not ABSENT:
                    value[name] = copy.deepcopy(child.default)
    for _, one, child in children(value, node):
        if isinstance(one, dict | list):
            _default(one, child)


def _duplicates(value: Any, node: Node, path: str) -> Iterator[Cause]:
    """Items that a list set or a list map has twice."""
    if isinstance(value, list) and node.list_type in ("set", "map"):
        seen: list[Any] = []
        for at, item in enumerate(value):
            own = identity(item, node)
            if own in seen:
                yield Cause("FieldValueDuplicate", f"Duplicate value: {_go(own)}", below(path, at))
            seen.append(own)
    for step, one, child in children(value, node):
        if child.has_lists:
            yield from _duplicates(one, child, below(path, step))


def _go(value: Any) -> str:
    if isinstance(value, dict):
        return f"map[string]interface {{}}{{{', '.join(f'{go_value(k)}:{_go(v)}' for k, v in value.items())}}}"
    return go_value(value)
