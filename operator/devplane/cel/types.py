"""The types of CEL as the API server gives them to a schema, with the sizes that its cost estimate knows. Pure.

Source of the sizes: k8s.io/apiserver/pkg/cel (common/schemas.go, limits.go).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from devplane.cel.library import escaped
from devplane.schemas.structure import ABSENT, Node

MAX_REQUEST = 3 * 1024 * 1024
_DATE_TIME, _DATE, _DURATION = 32, 12, 32


@dataclass(frozen=True, slots=True, eq=False)
class Type:
    """`kind` is int, double, bool, string, bytes, timestamp, duration, dyn, null, list, map, object, …

    `size` is the largest number of elements or characters; `smallest` the fewest bytes of JSON.
    """

    kind: str
    element: Type | None = None
    fields: dict[str, Type] = field(default_factory=dict)
    size: int = 0
    smallest: int = 1

    def __str__(self) -> str:
        if self.kind == "list":
            return f"list({self.element})"
        if self.kind == "optional":
            return f"optional_type({self.element})"
        return f"map(string, {self.element})" if self.kind == "map" else self.kind


DYN, BOOL, INT, DOUBLE = Type("dyn"), Type("bool", smallest=4), Type("int"), Type("double")
STRING, NULL = Type("string", smallest=2, size=MAX_REQUEST - 2), Type("null")
# The server's estimate gives keys of maps no size, so rules on them cost little.
KEY = Type("string", smallest=2)


def list_of(element: Type, size: int = 0) -> Type:
    return Type("list", element, size=size, smallest=2)


def of_node(node: Node, *, is_root: bool = False) -> Type | None:
    """The type of a schema's values; None for what rules can not reach."""
    if node.kind == "int-or-string":
        return Type("dyn", size=_text_size(node))
    match node.kind:
        case "array":
            return _list(node)
        case "object":
            return _map(node) if node.values is not None else _object(node, is_root=is_root or node.is_embedded)
        case "string":
            return _text(node)
        case "boolean":
            return BOOL
        case "number":
            return DOUBLE
        case "integer":
            return INT
        case _:
            return None


def _list(node: Node) -> Type | None:
    element = of_node(node.items) if node.items is not None else None
    if element is None:
        return None
    return list_of(element, node.schema.get("maxItems", (MAX_REQUEST - 2) // (element.smallest + 1)))


def _map(node: Node) -> Type | None:
    element = of_node(node.values) if node.values is not None else None
    if element is None:
        return None
    size = node.schema.get("maxProperties", (MAX_REQUEST - 2) // (element.smallest + 6))
    return Type("map", element, size=size, smallest=2)


def _object(node: Node, *, is_root: bool) -> Type:
    required = set(node.schema.get("required") or ())
    smallest, fields = 2, {}
    for name, child in node.properties.items():
        kind, short = of_node(child), escaped(name)
        if kind is None:
            continue
        if short is not None:
            fields[short] = kind
        if name in required and child.default is ABSENT:
            smallest += len(name) + kind.smallest + 4
    if is_root:
        fields |= {"apiVersion": STRING, "kind": STRING}
        fields["metadata"] = Type("object", fields={"name": STRING, "generateName": STRING}, smallest=2)
    return Type("object", fields=fields, smallest=smallest)


def _text(node: Node) -> Type:
    match node.schema.get("format"):
        case "byte":
            return Type("bytes", size=node.schema.get("maxLength", MAX_REQUEST - 2), smallest=2)
        case "duration":
            return Type("duration", size=_DURATION, smallest=3)
        case "date":
            return Type("timestamp", size=_DATE, smallest=_DATE)
        case "date-time":
            return Type("timestamp", size=_DATE_TIME, smallest=21)
        case _:
            return Type("string", size=_text_size(node), smallest=2)


def _text_size(node: Node) -> int:
    """Characters at most: four bytes for each of maxLength, the longest choice, or what fits in a request."""
    if "maxLength" in node.schema:
        return int(node.schema["maxLength"]) * 4
    choices = [one for one in node.schema.get("enum") or () if isinstance(one, str)]
    return max(len(one) for one in choices) if choices else MAX_REQUEST - 2
