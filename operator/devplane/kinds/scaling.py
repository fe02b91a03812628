"""HorizontalPodAutoscalers: defaults and validation, as autoscaling/v2 has them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from devplane.errors import Cause
from devplane.kinds import metadata, rules
from devplane.schemas.quantities import amount
from devplane.schemas.types import Obj

SOURCES = {
    "ContainerResource": "containerResource", "External": "external", "Object": "object", "Pods": "pods",
    "Resource": "resource",
}  # fmt: skip
_UP: Obj = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_DOWN: Obj = {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}
_SOURCE = "must populate information for the given metric source"


def default(autoscaler: Obj) -> None:
    spec = autoscaler["spec"]
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    if (behavior := spec.get("behavior")) is not None:
        for direction, usual in (("scaleUp", _UP), ("scaleDown", _DOWN)):
            behavior[direction] = {**_copied(usual), **(behavior.get(direction) or {})}


def _copied(usual: Obj) -> Obj:
    return {**usual, "policies": [dict(one) for one in usual["policies"]]}


def validate(new: Obj, _: Obj | None) -> list[Cause]:
    spec = new["spec"]
    low, high = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
    found: list[Cause] = []
    if low < 1:
        found.append(Cause.invalid("spec.minReplicas", low, "must be greater than or equal to 1"))
    if high < 1:
        found.append(Cause.required("spec.maxReplicas", "must be set and greater than 0"))
    if high < low:
        found.append(Cause.invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`"))
    found += _reference(spec["scaleTargetRef"], "spec.scaleTargetRef")
    if not spec["scaleTargetRef"].get("apiVersion"):
        detail = "apiVersion must specify API group"
        found.append(Cause.invalid("spec.scaleTargetRef.apiVersion", "", detail))
    for at, metric in enumerate(spec.get("metrics") or ()):
        found += _metric(metric, f"spec.metrics[{at}]")
    if low == 0 and not any(one.get("type") in ("Object", "External") for one in spec.get("metrics") or ()):
        detail = "must specify at least one Object or External metric to support scaling to zero replicas"
        found.append(Cause.forbidden("spec.metrics", detail))
    for direction in ("scaleUp", "scaleDown"):
        if direction in (spec.get("behavior") or {}):
            found += _rules(spec["behavior"][direction], f"spec.behavior.{direction}")
    return found


def _reference(reference: Obj, path: str) -> Iterator[Cause]:
    for field in ("kind", "name"):
        if not reference.get(field):
            yield Cause.required(f"{path}.{field}")
        else:
            yield from rules.named(reference[field], metadata.path_segment, f"{path}.{field}")


def _metric(metric: Obj, path: str) -> Iterator[Cause]:
    kind = metric.get("type", "")
    if not kind:
        yield Cause.required(f"{path}.type", "must specify a metric source type")
    if kind not in SOURCES:
        yield Cause.unsupported(f"{path}.type", kind, tuple(SOURCES))
        return
    field = SOURCES[kind]
    where, source = f"{path}.{field}", metric.get(field)
    if source is None:
        yield Cause.required(where, _SOURCE)
        return
    if kind == "Object":
        yield from _reference(source.get("describedObject") or {}, f"{where}.describedObject")
    if kind in ("Resource", "ContainerResource"):
        if not source.get("name"):
            yield Cause.required(f"{where}.name", "must specify a resource name")
    elif not (source.get("metric") or {}).get("name"):
        yield Cause.required(f"{where}.metric.name", "must specify a metric name")
    yield from _target(source.get("target") or {}, f"{where}.target")
    yield from _wanted(source.get("target") or {}, kind, f"{where}.target")


def _target(target: Obj, path: str) -> Iterator[Cause]:
    kind = target.get("type", "")
    if not kind:
        yield Cause.required(f"{path}.type", "must specify a metric target type")
    if kind not in ("Utilization", "Value", "AverageValue"):
        yield Cause.invalid(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue")
    if (share := target.get("averageUtilization")) is not None and share < 1:
        yield Cause.invalid(f"{path}.averageUtilization", share, "must be greater than 0")
    for field in ("value", "averageValue"):
        if field in target and amount(target[field]) <= 0:
            yield Cause.invalid(f"{path}.{field}", str(target[field]), "must be positive")


def _wanted(target: Obj, kind: str, path: str) -> Iterator[Cause]:
    """Which of its values a target of a source must have."""
    match kind:
        case "Pods":
            if "averageValue" not in target:
                yield Cause.required(f"{path}.averageValue", "must specify a positive target averageValue")
        case "Resource" | "ContainerResource":
            if "averageUtilization" not in target and "averageValue" not in target:
                detail = "must set either a target raw value or a target utilization"
                yield Cause.required(f"{path}.averageUtilization", detail)
            elif "averageUtilization" in target and "averageValue" in target:
                detail = "may not set both a target raw value and a target utilization"
                yield Cause.forbidden(f"{path}.averageValue", detail)
        case _:
            if "value" not in target and "averageValue" not in target:
                detail = "must set either a target value for metric or a per-pod target"
                yield Cause.required(f"{path}.averageValue", detail)


def _rules(scaling: Obj, path: str) -> Iterator[Cause]:
    window = scaling.get("stabilizationWindowSeconds")
    if window is not None and window < 0:
        yield Cause.invalid(f"{path}.stabilizationWindowSeconds", window, "must be greater than or equal to zero")
    if window is not None and window > 3600:
        yield Cause.invalid(f"{path}.stabilizationWindowSeconds", window, "must be less than or equal to 3600")
    yield from rules.one_of(scaling.get("selectPolicy"), ("Disabled", "Max", "Min"), f"{path}.selectPolicy")
    if not scaling.get("policies"):
        yield Cause.required(f"{path}.policies", "must specify at least one Policy")
    for at, policy in enumerate(scaling.get("policies") or ()):
        where = f"{path}.policies[{at}]"
        yield from rules.one_of(policy.get("type"), ("Percent", "Pods"), f"{where}.type")
        for field in ("value", "periodSeconds"):
            if policy.get(field, 0) <= 0:
                yield Cause.invalid(f"{where}.{field}", policy.get(field, 0), "must be greater than zero")
        if policy.get("periodSeconds", 0) > 1800:
            detail = "must be less than or equal to 1800"
            yield Cause.invalid(f"{where}.periodSeconds", policy["periodSeconds"], detail)
