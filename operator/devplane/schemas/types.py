"""A light view of a schema: what patches and server-side apply must know of a field. Pure.

The same view serves built-in kinds (definitions with `$ref`) and custom resources (one self-contained schema).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from typing import Any

Obj = dict[str, Any]
Resolve = Callable[[str], Obj]

_SCALARS = frozenset({"string", "integer", "number", "boolean"})


class TypeNode:
    """One field's type. Children are built when first asked for, so recursive schemas cost nothing.

    `shape` is ``scalar``, ``list``, ``map`` (an object, with declared fields or not) or ``any`` (not described:
    objects merge by key, lists are atomic, as the API server deduces it). `name` is the definition's, if it has one.
    `is_text` says that any string will do and nothing else, `is_quantity` that it is an amount.
    """

    def __init__(self, schema: Obj, resolve: Resolve) -> None:
        self.name: str = schema.get("$ref", "")
        self.schema = _flattened(schema, resolve)
        self._resolve = resolve
        self._children: dict[str, TypeNode] = {}
        self.shape = _shape(self.schema)
        self.list_type = self.schema.get("x-kubernetes-list-type", "atomic")
        self.keys = tuple(self.schema.get("x-kubernetes-list-map-keys", ())) if self.list_type == "map" else ()
        self.open = bool(self.schema.get("x-kubernetes-preserve-unknown-fields"))
        self.is_text = _is_text(self.schema)
        self.is_quantity = self.schema.get("format") == "quantity"
        self.atomic = self.shape == "scalar" or _is_atomic(self.schema, self.shape, self.list_type)

    @property
    def merge_key(self) -> str | None:
        """The key by which a strategic merge patch finds an item of this list."""
        return self.schema.get("x-kubernetes-patch-merge-key")

    @property
    def strategies(self) -> frozenset[str]:
        """``merge`` and ``retainKeys``, as the Go struct's tag says."""
        return frozenset(self.schema.get("x-kubernetes-patch-strategy", "").split(",")) - {""}

    def declares(self, name: str) -> bool:
        """A named field of this struct, not a key of a map."""
        return name in self.schema.get("properties", ())

    def child(self, name: str) -> TypeNode | None:
        """The type of a field or of a map's value; None for a field that the schema doesn't know."""
        found = self._children.get(name)
        if found is None and self.declares(name):
            found = self._children[name] = TypeNode(self.schema["properties"][name], self._resolve)
        return self._others if found is None else found

    @cached_property
    def _others(self) -> TypeNode | None:
        """The type of what is not declared by name."""
        values = self.schema.get("additionalProperties")
        if isinstance(values, dict):
            return TypeNode(values, self._resolve)
        return ANY if values is True or self.open or self.shape == "any" else None

    @cached_property
    def element(self) -> TypeNode:
        """The type of a list's items."""
        items = self.schema.get("items")
        return TypeNode(items, self._resolve) if isinstance(items, dict) else ANY

    @cached_property
    def union(self) -> TypeNode | None:
        """What an object must be where the type is a JSON schema or else a list or a boolean; None anywhere else."""
        package, named, _ = self.name.partition("JSONSchemaPropsOr")
        return TypeNode({"$ref": f"{package}JSONSchemaProps"}, self._resolve) if named else None

    def key_default(self, key: str) -> Any:
        """What a list-map key is when an item leaves it out (the protocol of a port), or None."""
        declared = self.element.child(key)
        return declared.schema.get("default") if declared is not None else None

    def zero(self) -> Obj:
        """The empty object of this kind as a Go server writes it: value structs are there, pointers are not."""
        zeros: Obj = {}
        for name, value in self.schema.get("x-go-zero", {}).items():
            child = self.child(name)
            zeros[name] = child.zero() if value == {} and child is not None else copy.deepcopy(value)
        return zeros


def _no_references(name: str) -> Obj:
    raise KeyError(name)


def of_schema(schema: Obj) -> TypeNode:
    """The type of a schema without references, e.g. a CRD's `openAPIV3Schema`."""
    return TypeNode(schema, _no_references)


def _flattened(schema: Obj, resolve: Resolve) -> Obj:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return {**resolve(reference), **beside}


def _is_text(schema: Obj) -> bool:
    return schema.get("type") == "string" and not (schema.get("format") or schema.get("x-kubernetes-int-or-string"))


def _shape(schema: Obj) -> str:
    kind = schema.get("type")
    if kind in _SCALARS or schema.get("x-kubernetes-int-or-string"):
        return "scalar"
    if kind == "array":
        return "list"
    if kind == "object" and ("properties" in schema or "additionalProperties" in schema):
        return "map"
    return "any"


def _is_atomic(schema: Obj, shape: str, list_type: str) -> bool:
    if shape == "list":
        return bool(list_type == "atomic")
    return bool(schema.get("x-kubernetes-map-type") == "atomic")


ANY = TypeNode({}, _no_references)
