"""The JSONPath of printer columns: names, quoted names, indexes, ``[*]`` and ``[?(@.type=="Ready")]``. Pure."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

_STEP = re.compile(
    r"""\.?\[\?\(\s*@(?P<filter>[^=!<>]*?)\s*(?P<operator>==|!=)\s*(?P<operand>"[^"]*"|'[^']*'|[^)\s]+)\s*\)\]"""
    r"""|\.?\[(?P<index>-?\d+)\]"""
    r"""|\.?\[(?P<all>\*)\]"""
    r"""|\.?\[(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)")\]"""
    r"""|\.(?P<name>(?:\\.|[^.\[\\])+)"""
)
Step = tuple[str, Any]


def find(obj: Any, path: str) -> list[Any]:
    """Every value at `path`; empty where there is none or the path can not be read."""
    values = [obj]
    for step in _steps(path.strip().removeprefix("{").removesuffix("}")):
        values = [found for value in values for found in _follow(value, step)]
    return values


@lru_cache(maxsize=512)
def _steps(path: str) -> tuple[Step, ...]:
    text = path.removeprefix("$")
    steps: list[Step] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            return (("never", None),)
        steps.append(_step(match))
        at = match.end()
    return tuple(steps)


def _step(match: re.Match[str]) -> Step:
    if match["operand"] is not None:
        return "filter", (_steps(match["filter"]), match["operator"], _literal(match["operand"]))
    if match["index"] is not None:
        return "index", int(match["index"])
    if match["all"] is not None or match["name"] == "*":
        return "all", None
    quoted = match["single"] if match["single"] is not None else match["double"]
    return "name", quoted if quoted is not None else re.sub(r"\\(.)", r"\1", match["name"])


def _literal(text: str) -> Any:
    if text[0] in "\"'":
        return text[1:-1]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _follow(value: Any, step: Step) -> list[Any]:
    kind, operand = step
    match kind:
        case "name":
            return [value[operand]] if isinstance(value, dict) and operand in value else []
        case "index":
            in_range = isinstance(value, list) and -len(value) <= operand < len(value)
            return [value[operand]] if in_range else []
        case "all":
            return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
        case "filter":
            return [item for item in value if _holds(item, operand)] if isinstance(value, list) else []
        case _:
            return []


def _holds(item: Any, condition: tuple[tuple[Step, ...], str, Any]) -> bool:
    steps, operator, wanted = condition
    values = [item]
    for step in steps:
        values = [found for value in values for found in _follow(value, step)]
    return (wanted in values) == (operator == "==") if values else False
