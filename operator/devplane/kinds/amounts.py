"""Requests and limits of containers: known names, whole devices, no request above its limit. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from devplane.errors import Cause
from devplane.kinds import metadata, rules
from devplane.schemas.quantities import amount
from devplane.schemas.types import Obj

OF_CONTAINERS = ("cpu", "memory", "ephemeral-storage")
STANDARD = frozenset({
    *OF_CONTAINERS, "storage", "requests.cpu", "requests.memory", "requests.storage", "requests.ephemeral-storage",
    "limits.cpu", "limits.memory", "limits.ephemeral-storage", "pods", "resourcequotas", "services",
    "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims", "services.nodeports",
    "services.loadbalancers",
})  # fmt: skip
INTEGER = frozenset({
    "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims",
    "services.nodeports", "services.loadbalancers",
})  # fmt: skip
NOT_WHOLE = "must be an integer"


def validate(asked: Obj, path: str) -> Iterator[Cause]:
    """Causes in the `resources` of a container."""
    limits, requests = asked.get("limits") or {}, asked.get("requests") or {}
    for name, value in limits.items():
        yield from _amount(name, value, f"{path}.limits")
    for name, value in requests.items():
        yield from _amount(name, value, f"{path}.requests")
        yield from _request(name, value, limits, path)
    names = {*limits, *requests}
    if any(is_huge(name) for name in names) and not names & {"cpu", "memory"}:
        yield Cause.forbidden(path, "HugePages require cpu or memory")


def _request(name: str, value: Any, limits: Obj, path: str) -> Iterator[Cause]:
    is_fixed = is_huge(name) or is_extended(name)
    if name not in limits:
        if is_fixed:
            yield Cause.required(f"{path}.limits", "Limit must be set for non overcommitable resources")
    elif is_fixed and amount(value) != amount(limits[name]):
        yield Cause.invalid(f"{path}.requests", str(value), f"must be equal to {name} limit of {limits[name]}")
    elif amount(value) > amount(limits[name]):
        detail = f"must be less than or equal to {name} limit of {limits[name]}"
        yield Cause.invalid(f"{path}.requests", str(value), detail)


def _amount(name: str, value: Any, path: str) -> Iterator[Cause]:
    where = f"{path}[{name}]"
    yield from container_name(name, where)
    yield from whole(name, value, where)
    if is_huge(name) and (not amount(value) or amount(value) % _page(name)):
        yield Cause.invalid(where, str(value), f"{value} is not positive integer multiple of {name}")


def whole(name: str, value: Any, path: str) -> Iterator[Cause]:
    """An amount of anything is not negative; devices and objects are counted in whole numbers."""
    if amount(value) < 0:
        yield Cause.invalid(path, str(value), rules.NOT_NEGATIVE)
    if (is_extended(name) or name in INTEGER) and amount(value) % 1:
        yield Cause.invalid(path, str(value), NOT_WHOLE)


def resource_name(name: str, path: str) -> Iterator[Cause]:
    """The name of anything that is counted."""
    problems = metadata.qualified_name(name)
    yield from (Cause.invalid(path, name, problem) for problem in problems)
    if not problems and "/" not in name and name not in STANDARD and not is_huge(name):
        yield Cause.invalid(path, name, "must be a standard resource type or fully qualified")


def container_name(name: str, path: str) -> Iterator[Cause]:
    """The name of what a container asks for."""
    yield from resource_name(name, path)
    if "/" not in name and name not in OF_CONTAINERS and not is_huge(name):
        yield Cause.invalid(path, name, "must be a standard resource for containers")
    elif "/" in name and not _is_native(name) and not is_extended(name):
        yield Cause.invalid(path, name, "doesn't follow extended resource name standard")


def is_huge(name: str) -> bool:
    return name.startswith("hugepages-")


def _is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """A device, of a domain that is not Kubernetes' own."""
    if _is_native(name) or name.startswith("requests."):
        return False
    return not metadata.qualified_name(f"requests.{name}")


def _page(name: str) -> Any:
    return amount(name.removeprefix("hugepages-")) or 1


def quota_name(name: str, path: str) -> Iterator[Cause]:
    """The name of what a ResourceQuota limits."""
    problems = metadata.qualified_name(name)
    yield from (Cause.invalid(path, name, problem) for problem in problems)
    if problems or "/" in name or name in STANDARD or is_huge(name):
        return
    if not re.fullmatch(r"(requests|limits)\.hugepages-.+", name):
        yield Cause.invalid(path, name, "must be a standard resource for quota")
