"""A structural schema as a tree of nodes, built once per version of a CustomResourceDefinition. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from devplane.schemas.types import Obj

_ABSENT = object()
METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


@dataclass(frozen=True, slots=True)
class Node:
    """One schema. The flags say whether anything below (or the node itself) has list types, rules or defaults."""

    schema: Obj
    kind: str
    properties: dict[str, Node] = field(default_factory=dict)
    items: Node | None = None
    values: Node | None = None
    is_nullable: bool = False
    is_open: bool = False
    is_embedded: bool = False
    list_type: str = "atomic"
    keys: tuple[str, ...] = ()
    rules: tuple[Obj, ...] = ()
    has_lists: bool = False
    has_rules: bool = False
    has_defaults: bool = False

    @property
    def default(self) -> Any:
        """The default, or ABSENT."""
        return self.schema.get("default", _ABSENT)

    def child(self, name: str) -> Node | None:
        return self.properties.get(name, self.values)


ABSENT = _ABSENT


def build(schema: Obj) -> Node:
    """The tree of an `openAPIV3Schema`."""
    properties = {name: build(one) for name, one in (schema.get("properties") or {}).items()}
    items = build(schema["items"]) if isinstance(schema.get("items"), dict) else None
    extra = schema.get("additionalProperties")
    values = (
        build(extra if isinstance(extra, dict) else {"x-kubernetes-preserve-unknown-fields": True}) if extra else None
    )
    below = [one for one in (*properties.values(), items, values) if one is not None]
    list_type = schema.get("x-kubernetes-list-type", "atomic")
    rules = tuple(schema.get("x-kubernetes-validations") or ())
    return Node(
        schema=schema,
        kind=_kind(schema),
        properties=properties,
        items=items,
        values=values,
        is_nullable=bool(schema.get("nullable")),
        is_open=bool(schema.get("x-kubernetes-preserve-unknown-fields")),
        is_embedded=bool(schema.get("x-kubernetes-embedded-resource")),
        list_type=list_type,
        keys=tuple(schema.get("x-kubernetes-list-map-keys") or ()) if list_type == "map" else (),
        rules=rules,
        has_lists=list_type in ("set", "map") or any(one.has_lists for one in below),
        has_rules=bool(rules) or any(one.has_rules for one in below),
        has_defaults="default" in schema or any(one.has_defaults for one in below),
    )


def _kind(schema: Obj) -> str:
    return "int-or-string" if schema.get("x-kubernetes-int-or-string") else str(schema.get("type") or "")


def children(value: Any, node: Node) -> Iterator[tuple[str | int, Any, Node]]:
    """(name or index, value, node) of what the schema describes in an object or a list."""
    if isinstance(value, dict):
        for name, one in value.items():
            child = node.child(name)
            if child is not None:
                yield name, one, child
    elif isinstance(value, list) and node.items is not None:
        for at, one in enumerate(value):
            yield at, one, node.items


def below(path: str, step: str | int) -> str:
    """The path of a child: ``spec.items[0].id``."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    return f"{path}.{step}" if path else step


def correlated(old: Any, value: Any, step: str | int, node: Node) -> Any:
    """What the child at `step` was before, or ABSENT: by name, by the keys of a list map, by value in a list set."""
    if isinstance(step, str):
        return old.get(step, _ABSENT) if isinstance(old, dict) else _ABSENT
    if not isinstance(old, list) or node.list_type not in ("map", "set"):
        return _ABSENT
    wanted = identity(value[step], node)
    return next((one for one in old if identity(one, node) == wanted), _ABSENT)


def identity(item: Any, node: Node) -> Any:
    """What makes an item of a set or a list map that item."""
    if node.list_type == "map" and isinstance(item, dict):
        return {key: item[key] for key in node.keys if key in item}
    return item
