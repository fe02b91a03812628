"""The columns of built-in kinds, as `devplane/data/columns.txt` has them: read when a table is first asked for."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from devplane.schemas.definitions import field_text

Obj = dict[str, Any]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_OF_METADATA = {"Name": "name", "Age": "creationTimestamp", "Created At": "creationTimestamp"}
_LINE = re.compile(r"(?P<wide>\+?)(?P<name>[^:=]+?)(:(?P<type>\w+)(?P<named>/?))?( = (?P<text>.+))?")


@cache
def columns_of(resource: str) -> list[Obj]:
    """The columns of a resource, `daemonsets.apps`, with what describes them."""
    return [_column(line) for line in _lines()[resource]]


def resources_with_columns() -> frozenset[str]:
    return frozenset(_lines())


def metadata_column(name: str) -> Obj:
    """`Name`, `Age` or `Created At`."""
    return _column("Created At:date" if name == "Created At" else name)


@cache
def _lines() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in (Path(__file__).parents[1] / "data" / "columns.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            lines.append(line.strip())
        elif line and not line.startswith("#"):
            lines = found[line] = []
    return found


def _column(line: str) -> Obj:
    parts = _LINE.fullmatch(line)
    if parts is None:
        raise ValueError(f"{line}: no column")
    name = parts["name"]
    return {
        "name": name,
        "type": parts["type"] or "string",
        "format": "name" if name == "Name" or parts["named"] else "",
        "description": _described(name, parts["text"]),
        "priority": int(bool(parts["wide"])),
    }


def _described(name: str, text: str | None) -> str:
    if text is None:
        return field_text(_META, _OF_METADATA[name])
    if text.startswith('"'):
        return text.strip('"')
    definition, _, field = text.rpartition(".")
    return field_text(f"io.k8s.api.{definition}", field)
