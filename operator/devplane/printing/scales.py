"""The Scale of a workload or custom resource as a row of a table."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from devplane.printing.columns import metadata_column
from devplane.printing.times import age
from devplane.resources.registry import Resource

Obj = dict[str, Any]

_OF_BUILT_IN = (
    "replicas is the desired number of instances for the scaled object.",
    "replicas is the actual number of observed instances of the scaled object.",
)
_OF_CUSTOM = ("Number of desired replicas", "Number of actual replicas")


def scale_columns(resource: Resource) -> list[Obj]:
    """Those of a custom resource are declared as its printer columns are, and say the same in other words."""
    name, when = metadata_column("Name"), metadata_column("Age")
    texts = _OF_CUSTOM if resource.crd else _OF_BUILT_IN
    name |= {} if resource.crd else {"format": ""}
    when |= {"type": "date"} if resource.crd else {}
    return [name, *map(_count, ("Desired", "Available"), texts), when]


def _count(name: str, text: str) -> Obj:
    return {"name": name, "type": "integer", "format": "", "description": text, "priority": 0}


def scale_cells(scale: Obj, now: datetime) -> list[Any]:
    wanted, there = scale["spec"].get("replicas", 0), scale["status"].get("replicas", 0)
    return [scale["metadata"]["name"], wanted, there, age(scale, now)]
