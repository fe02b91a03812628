"""Tables as `kubectl get` prints them: built-in kinds by their printers, custom resources by their printer columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from devplane.printing.columns import columns_of, metadata_column
from devplane.printing.jsonpath import find
from devplane.printing.kinds import CELLS
from devplane.printing.parts import Cells, created
from devplane.printing.scales import scale_cells, scale_columns
from devplane.printing.times import age
from devplane.resources.registry import Resource
from devplane.wire.negotiation import META, partial

Obj = dict[str, Any]


class Tables:
    """`crd` gives a CustomResourceDefinition by name."""

    def __init__(self, crd: Callable[[str], Obj | None], clock: Callable[[], datetime]) -> None:
        self._crd = crd
        self._clock = clock

    def table(self, resource: Resource, objects: Sequence[Obj], metadata: Obj, include: str) -> Obj:
        """`include` is what each row carries of its object: None, Metadata or Object."""
        columns, cells = self._printer(resource) if not _is_scale(objects) else (scale_columns(resource), scale_cells)
        now = self._clock()
        rows = [_row(obj, cells(obj, now), include) for obj in objects if "uid" in obj["metadata"]]
        return {
            "kind": "Table",
            "apiVersion": META,
            "metadata": metadata,
            "columnDefinitions": columns,
            "rows": rows,
        }

    def _printer(self, resource: Resource) -> tuple[list[Obj], Cells]:
        if resource.crd:
            return self._custom(resource)
        if resource.key in CELLS:
            return columns_of(resource.key), CELLS[resource.key]
        return [metadata_column("Name"), metadata_column("Created At")], created

    def _custom(self, resource: Resource) -> tuple[list[Obj], Cells]:
        crd = self._crd(resource.crd)
        versions = crd["spec"]["versions"] if crd else []
        version: Obj = next((one for one in versions if one["name"] == resource.version), {})
        declared = version.get("additionalPrinterColumns") or [_age_column()]
        columns = [metadata_column("Name"), *(_declared(one) for one in declared)]

        def cells(obj: Obj, now: datetime) -> list[Any]:
            return [obj["metadata"]["name"], *(_cell(obj, one, now) for one in declared)]

        return columns, cells


def _is_scale(objects: Sequence[Obj]) -> bool:
    """A Scale is shown at the path of what it scales, and by itself."""
    return any(one.get("kind") == "Scale" for one in objects)


def _age_column() -> Obj:
    return {**metadata_column("Age"), "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def _row(obj: Obj, cells: list[Any], include: str) -> Obj:
    row: Obj = {"cells": cells}
    if include == "Object":
        row["object"] = obj
    elif include != "None":
        row["object"] = partial(obj)
    return row


def _declared(one: Obj) -> Obj:
    path = one["jsonPath"]
    text = one.get("description") or f"Custom resource definition column (in JSONPath format): {path}"
    return {
        "name": one["name"],
        "type": one["type"],
        "format": one.get("format", ""),
        "description": text,
        "priority": one.get("priority", 0),
    }


def _cell(obj: Obj, one: Obj, now: datetime) -> Any:
    found = find(obj, one["jsonPath"])
    if not found:
        return None
    value = found[0]
    match one["type"]:
        case "date":
            return age({"metadata": {"creationTimestamp": value}}, now) if isinstance(value, str) else None
        case "string":
            return _text(value)
        case "integer":
            return value if isinstance(value, int) and not isinstance(value, bool) else None
        case "number":
            return value if isinstance(value, int | float) and not isinstance(value, bool) else None
        case _:
            return value if isinstance(value, bool) else None


def _text(value: Any) -> str:
    import json

    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"))
