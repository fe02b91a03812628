"""Objects of a resource in the form that a client wants."""

from __future__ import annotations

from typing import Any

from devplane.printing.tables import Tables
from devplane.resources.registry import Resource
from devplane.wire.negotiation import META, Form, partial

Obj = dict[str, Any]


class Shaper:
    """Objects of a resource in a form; knows tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def one(self, resource: Resource, obj: Obj, form: Form) -> Obj:
        match form.shape:
            case "Table":
                version = obj["metadata"].get("resourceVersion", "")
                return self._tables.table(resource, [obj], {"resourceVersion": version}, form.include)
            case "PartialObjectMetadata" | "PartialObjectMetadataList":
                return partial(obj)
            case _:
                return obj

    def many(self, resource: Resource, objects: list[Obj], metadata: Obj, form: Form) -> Obj:
        match form.shape:
            case "Table":
                return self._tables.table(resource, objects, metadata, form.include)
            case "PartialObjectMetadata" | "PartialObjectMetadataList":
                return {
                    "kind": "PartialObjectMetadataList",
                    "apiVersion": META,
                    "metadata": metadata,
                    "items": [partial(obj) for obj in objects],
                }
            case _:
                items = objects if resource.crd else [_without_kind(obj) for obj in objects]
                if resource.crd:
                    metadata = {"continue": "", **metadata}
                return {
                    "kind": resource.list_of,
                    "apiVersion": resource.api_version,
                    "metadata": metadata,
                    "items": items,
                }


def _without_kind(obj: Obj) -> Obj:
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
