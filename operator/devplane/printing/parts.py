"""What the cells of several kinds are made of. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

Obj = dict[str, Any]
Cells = Callable[[Obj, datetime], list[Any]]

NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"


def name(obj: Obj) -> str:
    found: str = obj["metadata"]["name"]
    return found


def status(obj: Obj) -> Obj:
    found: Obj = obj.get("status") or {}
    return found


def spec(obj: Obj) -> Obj:
    found: Obj = obj.get("spec") or {}
    return found


def created(obj: Obj, _: datetime) -> list[Any]:
    """The cells of a kind that Kubernetes has no printer for."""
    return [name(obj), obj["metadata"].get("creationTimestamp")]


def labels(pairs: Mapping[str, str] | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((pairs or {}).items())) or NONE


def selector(given: Obj | None) -> str:
    """A label selector as its query, by key."""
    given = given or {}
    terms = [(key, f"{key}={value}") for key, value in sorted((given.get("matchLabels") or {}).items())]
    terms += [(one["key"], _term(one)) for one in given.get("matchExpressions") or ()]
    return ",".join(term for _, term in sorted(terms, key=lambda one: one[0])) or NONE


def _term(requirement: Obj) -> str:
    key, values = str(requirement["key"]), ",".join(sorted(requirement.get("values") or ()))
    match requirement["operator"]:
        case "Exists":
            return key
        case "DoesNotExist":
            return f"!{key}"
        case operator:
            return f"{key} {operator.lower()} ({values})"


def containers(template: Obj | None) -> tuple[str, str]:
    """The names and images of a pod template."""
    found = ((template or {}).get("spec") or {}).get("containers") or ()
    return ",".join(one["name"] for one in found), ",".join(one.get("image", "") for one in found)


def first_of(values: Iterable[str], none: str, most: int = 3, between: str = ",") -> str:
    found = list(values)
    more = f" + {len(found) - most} more..." if len(found) > most else ""
    return between.join(found[:most]) + more if found else none
