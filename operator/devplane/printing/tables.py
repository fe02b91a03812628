"""Tables as `kubectl get` prints them: built-in kinds by their printers, custom resources by their printer columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from devplane.printing.jsonpath import find
from devplane.printing.kinds import PRINTERS, Printer
from devplane.printing.times import age
from devplane.resources.registry import Resource
from devplane.wire.negotiation import META, partial

Obj = dict[str, Any]

_NAME_TEXT = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a "
    "client to request the generation of an appropriate name automatically. Name is primarily intended for creation "
    "idempotence and configuration definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
_AGE_TEXT = "The time since the object was created."


def column(name: str, kind: str = "string", *, wide: bool = False, description: str = "") -> Obj:
    described = _NAME_TEXT if name == "Name" else _AGE_TEXT if name == "Age" else description
    shape = "name" if name == "Name" else ""
    return {"name": name, "type": kind, "format": shape, "description": described, "priority": int(wide)}


class Tables:
    """`crd` gives a CustomResourceDefinition by name."""

    def __init__(self, crd: Callable[[str], Obj | None], clock: Callable[[], datetime]) -> None:
        self._crd = crd
        self._clock = clock

    def table(self, resource: Resource, objects: Sequence[Obj], metadata: Obj, include: str) -> Obj:
        """`include` is what each row carries of its object: None, Metadata or Object."""
        columns, cells = self._printer(resource)
        now = self._clock()
        rows = [_row(obj, cells(obj, now), include) for obj in objects if "uid" in obj["metadata"]]
        return {
            "kind": "Table",
            "apiVersion": META,
            "metadata": metadata,
            "columnDefinitions": columns,
            "rows": rows,
        }

    def _printer(self, resource: Resource) -> tuple[list[Obj], Callable[[Obj, datetime], list[Any]]]:
        if resource.crd:
            return self._custom(resource)
        printer = PRINTERS.get(resource.key, _PLAIN)
        columns = [column(name.lstrip("+").partition(":")[0], name.partition(":")[2] or "string", wide=name[0] == "+")
                   for name in printer.columns]  # fmt: skip
        return columns, printer.cells

    def _custom(self, resource: Resource) -> tuple[list[Obj], Callable[[Obj, datetime], list[Any]]]:
        crd = self._crd(resource.crd)
        versions = crd["spec"]["versions"] if crd else []
        version: Obj = next((one for one in versions if one["name"] == resource.version), {})
        declared = version.get("additionalPrinterColumns") or [_AGE_COLUMN]
        columns = [column("Name"), *(_declared(one) for one in declared)]

        def cells(obj: Obj, now: datetime) -> list[Any]:
            return [obj["metadata"]["name"], *(_cell(obj, one, now) for one in declared)]

        return columns, cells


_AGE_COLUMN = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_PLAIN = Printer(("Name", "Age"), lambda obj, now: [obj["metadata"]["name"], age(obj, now)])


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
