"""ResourceQuotas, LimitRanges and PriorityClasses: defaults and validation. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devplane.errors import Cause, go_quote
from devplane.kinds import amounts, metadata, rules
from devplane.schemas.quantities import amount
from devplane.schemas.types import Obj

SCOPES = ("BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating")
HIGHEST = 1_000_000_000
SYSTEM_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
_CONFLICTS = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_OF_PODS = frozenset({
    "pods", "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage",
    "limits.cpu", "limits.memory", "limits.ephemeral-storage",
})  # fmt: skip
_EXISTS = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)
_LIMITS = ("min", "max", "defaultRequest", "default", "maxLimitRequestRatio")


def validate_quota(new: Obj, _: Obj | None) -> list[Cause]:
    spec = new["spec"]
    found: list[Cause] = []
    for name, value in (spec.get("hard") or {}).items():
        found += amounts.quota_name(name, f"spec.hard[{name}]")
        found += amounts.whole(name, value, f"spec.hard[{name}]")
    found += _scopes(spec.get("scopes") or [], spec.get("hard") or {})
    expressions = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    return [*found, *(cause for one in expressions for cause in _scope_term(one))]


def _scopes(scopes: list[str], hard: Obj) -> Iterator[Cause]:
    path, shown = "spec.scopes", f"[]core.ResourceQuotaScope{{{', '.join(go_quote(one) for one in scopes)}}}"
    if any(one not in SCOPES for one in scopes):
        yield rules.invalid_go(path, shown, "unsupported scope")
    for scope in scopes:
        if any(scope in SCOPES and not _counts(scope, name) for name in hard):
            yield rules.invalid_go(path, shown, "unsupported scope applied to resource")
    for both in _CONFLICTS:
        if both <= set(scopes):
            yield rules.invalid_go(path, shown, "conflicting scopes")


def _counts(scope: str, name: str) -> bool:
    """Whether a scope says anything about a resource; of those that are not Kubernetes' own nothing is known."""
    if name not in amounts.STANDARD:
        return True
    return name == "pods" if scope == "BestEffort" else name in _OF_PODS


def _scope_term(one: Obj) -> Iterator[Cause]:
    path, scope, operator = "spec.scopeSelector.matchExpressions", one.get("scopeName", ""), one.get("operator", "")
    if scope not in SCOPES:
        yield Cause.invalid(f"{path}.scopeName", scope, "unsupported scope")
    elif scope != "PriorityClass" and operator != "Exists":
        yield Cause.invalid(f"{path}.operator", operator, _EXISTS)
    values = one.get("values")
    if operator in ("In", "NotIn") and not values:
        detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
        yield Cause.required(f"{path}.values", detail)
    elif operator in ("Exists", "DoesNotExist") and values:
        detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
        yield Cause.invalid(f"{path}.values", values, detail)
    elif operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
        yield Cause.invalid(f"{path}.operator", operator, "not a valid selector operator")


def default_range(limit_range: Obj) -> None:
    """A container's default is its maximum, what it asks for its default, or else the minimum."""
    for one in limit_range["spec"].get("limits") or ():
        if one.get("type") != "Container":
            continue
        for target, sources in (("default", ("max",)), ("defaultRequest", ("default", "min"))):
            for source in sources:
                for name, value in (one.get(source) or {}).items():
                    one.setdefault(target, {}).setdefault(name, value)


def validate_range(new: Obj, _: Obj | None) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for at, one in enumerate(new["spec"].get("limits") or ()):
        kind, path = one.get("type", ""), f"spec.limits[{at}]"
        found += _limit_type(kind, f"{path}.type")
        if kind in seen:
            found.append(Cause.duplicate(f"{path}.type", kind))
        seen.add(kind)
        found += _limit(one, kind, path)
    return found


def _limit_type(kind: str, path: str) -> Iterator[Cause]:
    problems = metadata.qualified_name(kind)
    yield from (Cause.invalid(path, kind, problem) for problem in problems)
    if not problems and "/" not in kind and kind not in ("Pod", "Container", "PersistentVolumeClaim"):
        yield Cause.invalid(path, kind, "must be a standard limit type or fully qualified")


def _limit(one: Obj, kind: str, path: str) -> Iterator[Cause]:
    for field in ("max", "min"):
        for name in one.get(field) or ():
            yield from _limited(kind, name, f"{path}.{field}[{name}]")
    for field in ("default", "defaultRequest"):
        if kind == "Pod" and one.get(field):
            yield Cause.forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'")
            continue
        for name in one.get(field) or ():
            yield from _limited(kind, name, f"{path}.{field}[{name}]")
    if kind == "PersistentVolumeClaim" and not any("storage" in (one.get(field) or {}) for field in ("min", "max")):
        detail = "either minimum or maximum storage value is required, but neither was provided"
        yield Cause.required(f"{path}.limits", detail)
    names = dict.fromkeys(name for field in _LIMITS for name in one.get(field) or ())
    for name in names:
        yield from _order({field: one[field][name] for field in _LIMITS if name in (one.get(field) or {})}, name, path)


def _limited(kind: str, name: str, path: str) -> Iterator[Cause]:
    yield from (amounts.container_name if kind == "Container" else amounts.resource_name)(name, path)


def _order(of: Obj, name: str, path: str) -> Iterator[Cause]:
    """The amounts of one resource: min, default request, default and max, in this order at most."""
    low, request, default, high = (of.get(field) for field in ("min", "defaultRequest", "default", "max"))
    request_path, default_path = f"{path}.defaultRequest[{name}]", f"{path}.default[{name}]"
    yield from _above(low, high, f"{path}.min[{name}]", low, f"min value {low} is greater than max value {high}")
    words = f"min value {low} is greater than default request value {request}"
    yield from _above(low, request, request_path, request, words)
    words = f"default request value {request} is greater than max value {high}"
    yield from _above(request, high, request_path, request, words)
    words = f"default request value {request} is greater than default limit value {default}"
    yield from _above(request, default, request_path, request, words)
    words = f"min value {low} is greater than default value {default}"
    yield from _above(low, default, default_path, low, words)
    words = f"default value {default} is greater than max value {high}"
    yield from _above(default, high, default_path, high, words)
    ratio = of.get("maxLimitRequestRatio")
    if ratio is not None and amount(ratio) < 1:
        yield Cause.invalid(f"{path}.maxLimitRequestRatio[{name}]", str(ratio), f"ratio {ratio} is less than 1")


def _above(less: Any, more: Any, path: str, shown: Any, words: str) -> Iterator[Cause]:
    if less is not None and more is not None and amount(less) > amount(more):
        yield Cause.invalid(path, str(shown), words)


def default_priority(priority: Obj) -> None:
    priority.setdefault("preemptionPolicy", "PreemptLowerPriority")
    priority.setdefault("value", 0)


def validate_priority(new: Obj, old: Obj | None) -> list[Cause]:
    name, value, policy = new["metadata"].get("name", ""), new["value"], new.get("preemptionPolicy")
    found: list[Cause] = []
    if name.startswith("system-"):
        if SYSTEM_CLASSES.get(name) != value:
            why = "priority class names with 'system-' prefix are reserved for system use only. error: "
            found.append(Cause.forbidden("metadata.name", f"{why}{name} is not a known system priority class"))
    elif value > HIGHEST:
        detail = f"maximum allowed value of a user defined priority is {HIGHEST}"
        found.append(Cause.forbidden("value", detail))
    found += rules.one_of(policy, ("PreemptLowerPriority", "Never"), "preemptionPolicy")
    if old is not None and value != old.get("value", 0):
        found.append(Cause.forbidden("value", "may not be changed in an update."))
    if old is not None and policy != old.get("preemptionPolicy"):
        found.append(Cause.invalid("preemptionPolicy", policy, rules.IMMUTABLE))
    return found
