"""Where a pod may run, as its spec says it: tolerations, affinity, spreading, gates. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from devplane.errors import Cause
from devplane.kinds import metadata, rules
from devplane.schemas.types import Obj

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_SPREADS = ("DoNotSchedule", "ScheduleAnyway")
_OPERATOR = "not a valid selector operator"


def validate(spec: Obj, path: str) -> Iterator[Cause]:
    """Causes in the parts of a PodSpec that a scheduler reads, but for its node selector."""
    yield from affinity(spec.get("affinity") or {}, f"{path}.affinity")
    yield from _gates(spec, path)
    yield from _spreads(spec.get("topologySpreadConstraints") or [], f"{path}.topologySpreadConstraints")
    yield from tolerations(spec.get("tolerations") or (), f"{path}.tolerations")


def affinity(found: Obj, path: str) -> Iterator[Cause]:
    node = found.get("nodeAffinity") or {}
    if (required := node.get(REQUIRED)) is not None:
        yield from node_selector(required, f"{path}.nodeAffinity.{REQUIRED}")
    for at, one in enumerate(node.get(PREFERRED) or ()):
        where = f"{path}.nodeAffinity.{PREFERRED}[{at}]"
        yield from _weight(one, where)
        yield from _node_term(one.get("preference") or {}, f"{where}.preference")
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = found.get(kind) or {}
        for at, one in enumerate(terms.get(REQUIRED) or ()):
            yield from _pod_term(one, f"{path}.{kind}.{REQUIRED}[{at}]")
        for at, one in enumerate(terms.get(PREFERRED) or ()):
            where = f"{path}.{kind}.{PREFERRED}[{at}]"
            yield from _weight(one, where)
            yield from _pod_term(one.get("podAffinityTerm") or {}, f"{where}.podAffinityTerm")


def _weight(one: Obj, path: str) -> Iterator[Cause]:
    weight = one.get("weight", 0)
    if not 1 <= weight <= 100:
        yield Cause.invalid(f"{path}.weight", weight, "must be in the range 1-100")


def node_selector(found: Obj, path: str) -> Iterator[Cause]:
    """A required selector of nodes, in a pod's affinity or a volume's."""
    terms = found.get("nodeSelectorTerms") or ()
    if not terms:
        yield Cause.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")
    for at, term in enumerate(terms):
        yield from _node_term(term, f"{path}.nodeSelectorTerms[{at}]")


def _node_term(term: Obj, path: str) -> Iterator[Cause]:
    for at, one in enumerate(term.get("matchExpressions") or ()):
        yield from _node_expression(one, f"{path}.matchExpressions[{at}]")
    for at, one in enumerate(term.get("matchFields") or ()):
        where, values = f"{path}.matchFields[{at}]", one.get("values") or ()
        if one.get("operator") not in ("In", "NotIn"):
            yield Cause.invalid(f"{where}.operator", one.get("operator", ""), _OPERATOR)
        elif len(values) != 1:
            detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            yield Cause.required(f"{where}.values", detail)
        if one.get("key") != "metadata.name":
            yield Cause.invalid(f"{where}.key", one.get("key", ""), "not a valid field selector key")


def _node_expression(one: Obj, path: str) -> Iterator[Cause]:
    operator, values = one.get("operator", ""), one.get("values") or ()
    if operator in ("In", "NotIn") and not values:
        yield Cause.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist") and values:
        yield Cause.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    elif operator in ("Gt", "Lt") and len(values) != 1:
        yield Cause.required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    elif operator not in ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"):
        yield Cause.invalid(f"{path}.operator", operator, _OPERATOR)
    yield from metadata.label_key(one.get("key", ""), f"{path}.key")


def _pod_term(term: Obj, path: str) -> Iterator[Cause]:
    yield from rules.selector(term.get("labelSelector"), f"{path}.labelSelector")
    yield from rules.selector(term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for name in term.get("namespaces") or ():
        yield from rules.named(name, metadata.label, f"{path}.namespace")
    key = term.get("topologyKey") or ""
    if not key:
        yield Cause.required(f"{path}.topologyKey", "can not be empty")
    yield from metadata.label_key(key, f"{path}.topologyKey")


def _gates(spec: Obj, path: str) -> Iterator[Cause]:
    for at, one in enumerate(spec.get("readinessGates") or ()):
        where = f"{path}.readinessGates[{at}].conditionType"
        yield from metadata.label_key(one.get("conditionType", ""), where)
    seen: set[str] = set()
    for at, one in enumerate(spec.get("schedulingGates") or ()):
        name, where = one.get("name", ""), f"{path}.schedulingGates[{at}]"
        yield from metadata.label_key(name, where)
        if name in seen:
            yield Cause.duplicate(where, name)
        seen.add(name)


def _spreads(found: list[Obj], path: str) -> Iterator[Cause]:
    for at, one in enumerate(found):
        yield from _spread(one, found[at + 1 :], f"{path}[{at}]")


def _spread(one: Obj, later: Iterable[Obj], path: str) -> Iterator[Cause]:
    skew, key, when = one.get("maxSkew", 0), one.get("topologyKey", ""), one.get("whenUnsatisfiable", "")
    if skew <= 0:
        yield Cause.invalid(f"{path}.maxSkew", skew, "must be greater than zero")
    if not key:
        yield Cause.required(f"{path}.topologyKey", "can not be empty")
    yield from rules.one_of(when, _SPREADS, f"{path}.whenUnsatisfiable")
    if any((other.get("topologyKey"), other.get("whenUnsatisfiable")) == (key, when) for other in later):
        yield Cause.duplicate(f"{path}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {when}}}")
    least = one.get("minDomains")
    if least is not None and least <= 0:
        yield Cause.invalid(f"{path}.minDomains", least, "must be greater than zero")
    if least is not None and when != "DoNotSchedule":
        detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}"
        yield Cause.invalid(f"{path}.minDomains", least, detail)
    for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        yield from rules.one_of(one.get(field), ("Honor", "Ignore"), f"{path}.{field}")
    yield from rules.selector(one.get("labelSelector"), f"{path}.labelSelector")


def tolerations(found: Any, path: str) -> Iterator[Cause]:
    for at, one in enumerate(found):
        yield from _toleration(one, f"{path}[{at}]")


def _toleration(one: Obj, path: str) -> Iterator[Cause]:
    key, operator, effect = one.get("key"), one.get("operator") or "Equal", one.get("effect") or ""
    if key:
        yield from metadata.label_key(key, f"{path}.key")
    elif operator != "Exists":
        words = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield Cause.invalid(f"{path}.operator", one.get("operator") or "", words)
    if one.get("tolerationSeconds") is not None and effect != "NoExecute":
        yield Cause.invalid(f"{path}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
    value = one.get("value") or ""
    if operator == "Equal":
        yield from (Cause.invalid(f"{path}.operator", value, problem) for problem in metadata.label_value(value))
    elif operator == "Exists" and value:
        yield Cause.invalid(f"{path}.operator", value, "value must be empty when `operator` is 'Exists'")
    elif operator != "Exists":
        yield Cause.unsupported(f"{path}.operator", operator, ("Equal", "Exists"))
    yield from rules.one_of(effect or None, EFFECTS, f"{path}.effect")
