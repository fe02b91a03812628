"""Defaults of a schema: they hold no unknown fields and satisfy the schema and its rules. Pure."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from devplane.errors import Cause
from devplane.schemas.structure import ABSENT, Node, build
from devplane.schemas.types import Obj
from devplane.schemas.violations import violations

_IDENTITY = ("apiVersion", "kind", "metadata")


def default_errors(schema: Obj, path: str, *, is_root: bool = True) -> Iterator[Cause]:
    """Causes in the defaults of a schema and below; what stands for top-level metadata is refused elsewhere."""
    if schema.get("default") is not None:
        is_embedded = is_root or bool(schema.get("x-kubernetes-embedded-resource"))
        yield from _default(schema, f"{path}.default", is_embedded=is_embedded)
    if isinstance(schema.get("items"), dict):
        yield from default_errors(schema["items"], f"{path}.items", is_root=False)
    for name, child in sorted((schema.get("properties") or {}).items()):
        if not (is_root and name in _IDENTITY):
            yield from default_errors(child, f"{path}.properties[{name}]", is_root=False)


def _default(schema: Obj, path: str, *, is_embedded: bool) -> Iterator[Cause]:
    value, node = schema["default"], build(schema)
    if _pruned(value, node) != value:
        yield Cause.invalid(path, value, "must not have unknown fields")
    if is_embedded and isinstance(value, dict):
        missing = [Cause.required(f"{path}.{name}") for name in ("apiVersion", "kind") if not value.get(name)]
        if missing:
            yield from missing
            return
    found = [_located(cause, path) for cause in violations(value, node, "")]
    yield from found
    if not found and node.has_rules:
        yield from _broken_rules(value, node, path)


def _located(cause: Cause, path: str) -> Cause:
    """What is wrong in it is found by its path after the default's."""
    field = "" if cause.field == "<nil>" else cause.field
    return Cause(cause.reason, cause.message, f"{path}.{field}" if field else path)


def _pruned(value: Any, node: Node) -> Any:
    from devplane.custom.schema import prune

    kept = copy.deepcopy(value)
    prune(kept, node, "", [])
    return kept


def _broken_rules(value: Any, node: Node, path: str) -> Iterator[Cause]:
    """Rules that don't compile are told of where they stand."""
    from devplane.cel.rules import Rules

    try:
        found = Rules(node).validate(value, value) or Rules(node).validate(value, ABSENT)
    except ValueError:
        return
    yield from (_located(cause, path) for cause in found)
