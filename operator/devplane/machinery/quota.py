"""ResourceQuotas: what the objects of a namespace use, and whether one more may come. Pure.

Quotas with scopes are stored and limit nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from devplane.errors import ApiError
from devplane.objects import Obj, is_terminal, name_of, quantity

Items = Callable[[str], Iterable[Obj]]
"""The objects of a resource in the quota's namespace."""

COMPUTE = ("cpu", "memory", "ephemeral-storage")
COUNTED = frozenset({"pods", "services", "configmaps", "secrets", "persistentvolumeclaims", "resourcequotas"})
_BINARY = (("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10))


def is_enforced(quota: Mapping[str, Any]) -> bool:
    return not quota["spec"].get("scopes") and not quota["spec"].get("scopeSelector")


def cost(resource: str, obj: Obj) -> dict[str, Decimal]:
    """What an object uses, under each name that a quota may limit it by; `resource` as in ``jobs.batch``."""
    found = {f"count/{resource}": Decimal(1)}
    if resource in COUNTED and not (resource == "pods" and is_terminal(obj)):
        found[resource] = Decimal(1)
    if resource == "pods" and not is_terminal(obj):
        found |= _amounts(obj, "requests") | _amounts(obj, "limits")
    if resource == "persistentvolumeclaims":
        asked = (obj["spec"].get("resources") or {}).get("requests") or {}
        found["requests.storage"] = quantity(asked.get("storage", 0))
    return found


def _amounts(pod: Obj, kind: str) -> dict[str, Decimal]:
    """``requests.cpu`` and, the same by an older name, ``cpu``; init containers count by their largest."""
    total: dict[str, Decimal] = {}
    for container in pod["spec"]["containers"]:
        for name, amount in ((container.get("resources") or {}).get(kind) or {}).items():
            total[name] = total.get(name, Decimal(0)) + quantity(amount)
    for container in pod["spec"].get("initContainers") or ():
        for name, amount in ((container.get("resources") or {}).get(kind) or {}).items():
            total[name] = max(total.get(name, Decimal(0)), quantity(amount))
    found = {f"{kind}.{name}": amount for name, amount in total.items()}
    plain = {name: total[name] for name in COMPUTE if kind == "requests" and name in total}
    return found | plain


def usage(quota: Mapping[str, Any], items: Items) -> dict[str, Decimal]:
    """How much is used of everything that the quota limits."""
    limited = quota["spec"].get("hard") or {}
    used = dict.fromkeys(limited, Decimal(0))
    for resource in {_resource_of(name) for name in limited}:
        for obj in items(resource):
            for name, amount in cost(resource, obj).items():
                if name in used:
                    used[name] += amount
    return used


def _resource_of(limit: str) -> str:
    if limit.startswith("count/"):
        return limit.removeprefix("count/")
    if limit == "requests.storage":
        return "persistentvolumeclaims"
    return limit if limit in COUNTED else "pods"


def check(resource: str, qualified: str, new: Obj, quotas: Iterable[Obj], items: Items) -> None:
    """Raises 403 when `new` is more than a quota allows, or does not say how much it needs."""
    wanted = cost(resource, new)
    for quota in quotas:
        hard = quota["spec"].get("hard") or {}
        if not is_enforced(quota) or not ({_resource_of(name) for name in hard} & {resource}):
            continue
        if resource == "pods" and (missing := unsaid(new, hard)):
            why = f"failed quota: {name_of(quota)}: must specify {missing}"
            raise ApiError.forbidden(qualified, name_of(new), why)
        if why := excess(quota, wanted, usage(quota, items)):
            raise ApiError.forbidden(qualified, name_of(new), why)


def excess(quota: Mapping[str, Any], wanted: Mapping[str, Decimal], used: Mapping[str, Decimal]) -> str:
    """The quota's refusal, naming only what there is too much of; or nothing."""
    hard = {name: quantity(amount) for name, amount in quota["spec"]["hard"].items()}
    over = sorted(name for name in hard if wanted.get(name) and used[name] + wanted[name] > hard[name])
    if not over:
        return ""
    shown = (",".join(f"{name}={text(name, amounts[name])}" for name in over) for amounts in (wanted, used, hard))
    requested, taken, limited = shown
    return f"exceeded quota: {name_of(quota)}, requested: {requested}, used: {taken}, limited: {limited}"


def unsaid(pod: Obj, hard: Iterable[str]) -> str:
    """Which limited amounts of CPU and memory which containers do not name: ``cpu for: a,b; memory for: a``."""
    found = []
    for limit in sorted(hard):
        kind, _, name = limit.rpartition(".")
        if name not in COMPUTE or kind not in ("", "requests", "limits"):
            continue
        silent = [
            one["name"]
            for one in pod["spec"]["containers"]
            if name not in ((one.get("resources") or {}).get(kind or "requests") or {})
        ]
        if silent:
            found.append(f"{limit} for: {','.join(silent)}")
    return "; ".join(found)


def text(name: str, amount: Decimal) -> str:
    """As Kubernetes writes a quantity: memory with binary suffixes, parts of a CPU in thousandths."""
    if amount != amount.to_integral_value():
        return f"{int(amount * 1000)}m"
    if name.rpartition(".")[2] in ("memory", "storage", "ephemeral-storage") and amount:
        for suffix, size in _BINARY:
            if amount % size == 0:
                return f"{int(amount) // size}{suffix}"
    return str(int(amount))
