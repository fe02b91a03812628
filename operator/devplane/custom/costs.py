"""Rules of a CRD as the API server compiles them: they must have types, and cost little enough in the worst case. Pure.

Limits: 10 million units for one rule times how often it may be asked, 100 million for a schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from devplane.cel.checker import Checked, check
from devplane.cel.cost import TOP, most_expensive
from devplane.cel.rules import compiled
from devplane.cel.syntax import CelError
from devplane.cel.types import MAX_REQUEST, Type, of_node
from devplane.errors import Cause, go_quote
from devplane.schemas.structure import Node
from devplane.schemas.types import Obj

RULE_LIMIT = 10_000_000
SCHEMA_LIMIT = 100_000_000
SHOWN = 4
ADVICE = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared)"
)


@dataclass(slots=True)
class Budget:
    """What the rules of a schema cost together, and which of them at least a hundredth of what is allowed."""

    total: int = 0
    rules: list[tuple[int, str]] = field(default_factory=list)

    def spend(self, cost: int, path: str) -> None:
        self.total = min(self.total + cost, TOP)
        if cost >= SCHEMA_LIMIT // 100:
            self.rules = sorted([*self.rules, (cost, path)], key=lambda one: -one[0])[:SHOWN]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a schema stands: how often it may occur in an object (None: no limit), and if its old value is known."""

    path: str
    cardinality: int | None = 1
    uncorrelated: str = ""
    is_root: bool = False


def validate(root: Node, path: str) -> list[Cause]:
    """Causes in the rules of a schema."""
    budget = Budget()
    found = list(_node(root, Place(path, is_root=True), budget))
    if budget.total > SCHEMA_LIMIT:
        words = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        found += [Cause.forbidden(where, words) for _, where in budget.rules]
        subject = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        found.append(Cause.forbidden(path, _over_budget(subject, budget.total, SCHEMA_LIMIT)))
    return found


def cost_of(root: Node) -> dict[str, int]:
    """The estimated cost of every rule, by path: for checks of a project's own definitions."""
    budget = Budget()
    found: dict[str, int] = {}
    for node, place in _places(root, Place("", is_root=True)):
        for at, rule in enumerate(node.rules):
            where = f"{place.path}.x-kubernetes-validations[{at}]"
            before = budget.total
            list(_rule(rule, (node, place), where, budget))
            found[where] = budget.total - before
    return found


def _places(node: Node, place: Place) -> Iterator[tuple[Node, Place]]:
    """What is below a node first, as the server goes."""
    for child, where in _below(node, place):
        if child.has_rules:
            yield from _places(child, where)
    yield node, place


def _node(root: Node, place: Place, budget: Budget) -> Iterator[Cause]:
    for node, where in _places(root, place):
        if node.rules and of_node(node, is_root=where.is_root) is None:
            words = "failed to construct type information for x-kubernetes-validations rules"
            why = f"Internal error: internal error: {words}: unable to convert structural schema to CEL declarations"
            yield Cause("InternalError", why, f"{where.path}.x-kubernetes-validations")
            continue
        for at, rule in enumerate(node.rules):
            yield from _rule(rule, (node, where), f"{where.path}.x-kubernetes-validations[{at}]", budget)


def _below(node: Node, place: Place) -> Iterator[tuple[Node, Place]]:
    """Children in the order of the server: additional properties, properties by name, items."""
    if node.values is not None:
        times = _times(place.cardinality, node.schema.get("maxProperties"))
        yield node.values, Place(f"{place.path}.additionalProperties", times, place.uncorrelated)
    is_atomic = node.schema.get("x-kubernetes-map-type") == "atomic"
    for name in sorted(node.properties):
        where = f"{place.path}.properties[{name}]"
        uncorrelated = place.uncorrelated or (place.path if is_atomic else "")
        yield node.properties[name], Place(where, place.cardinality, uncorrelated)
    if node.items is not None:
        uncorrelated = place.uncorrelated or ("" if node.list_type == "map" else place.path)
        times = _times(place.cardinality, node.schema.get("maxItems"))
        yield node.items, Place(f"{place.path}.items", times, uncorrelated)


def _times(cardinality: int | None, most: int | None) -> int | None:
    return None if cardinality is None or most is None else min(cardinality * most, TOP)


def _rule(rule: Obj, at: tuple[Node, Place], path: str, budget: Budget) -> Iterator[Cause]:
    node, place = at
    text, kind = rule.get("rule") or "", of_node(node, is_root=place.is_root)
    if kind is None:
        return
    checked = _compiled(text, kind, rule, "bool")
    if isinstance(checked, str):
        yield Cause("FieldValueInvalid", f"Invalid value: {_go_rule(rule)}: {checked}", f"{path}.rule")
        uses_old = False
    else:
        yield from _spent(checked, (kind, place), ("rule", f"{path}.rule"), budget)
        uses_old = "oldSelf" in checked.names
    if said := rule.get("messageExpression"):
        yield from _message(said, rule, (kind, place), path, budget)
    if uses_old and place.uncorrelated:
        words = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {place.uncorrelated}"
        yield Cause.invalid(f"{path}.rule", text, words)
    elif not uses_old and rule.get("optionalOldSelf") is not None:
        words = "may not be set if oldSelf is not used in rule"
        yield Cause.invalid(f"{path}.optionalOldSelf", rule["optionalOldSelf"], words)


def _compiled(text: str, kind: Type, rule: Obj, wanted: str) -> Checked | str:
    """The typed rule, or why it has none."""
    before = Type("optional", kind) if rule.get("optionalOldSelf") else kind
    try:
        checked = check(text, {"self": kind, "oldSelf": before})
    except CelError as error:
        return f"compilation failed: {error.shown(text)}"
    if checked.result.kind != wanted:
        article = "cel expression must evaluate to a bool"
        return article if wanted == "bool" else "messageExpression must evaluate to a string"
    try:
        compiled((("rule", text),))
    except ValueError as error:
        return f"compilation failed: {error}"
    return checked


def _spent(checked: Checked, at: tuple[Type, Place], of: tuple[str, str], budget: Budget) -> Iterator[Cause]:
    kind, place = at
    name, path = of
    times = place.cardinality if place.cardinality is not None else MAX_REQUEST // (kind.smallest + 1)
    cost = min(most_expensive(checked) * times, TOP)
    budget.spend(cost, path)
    if cost > RULE_LIMIT:
        yield Cause.forbidden(path, _over_budget(f"estimated {name} cost", cost, RULE_LIMIT))


def _message(said: str, rule: Obj, at: tuple[Type, Place], path: str, budget: Budget) -> Iterator[Cause]:
    where = f"{path}.messageExpression"
    checked = _compiled(said, at[0], rule, "string")
    if isinstance(checked, str):
        why = checked.replace("compilation failed", "messageExpression compilation failed", 1)
        yield Cause("FieldValueInvalid", f"Invalid value: {_go_rule(rule)}: {why}", where)
        return
    yield from _spent(checked, at, ("messageExpression", where), budget)


def _over_budget(subject: str, cost: int, limit: int) -> str:
    factor = cost / limit
    exactly = f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return f"{subject} exceeds budget by factor of {'more than 100x' if factor > 100 else exactly} {ADVICE}"


def _go_rule(rule: Obj) -> str:
    """A rule as Go prints it."""
    reason = f"(*apiextensions.FieldValueErrorReason)({'0xc000000000' if 'reason' in rule else 'nil'})"
    optional = f"(*bool)({'0xc000000000' if 'optionalOldSelf' in rule else 'nil'})"
    texts = (("Rule", "rule"), ("Message", "message"), ("MessageExpression", "messageExpression"))
    shown = ", ".join(f"{name}:{go_quote(rule.get(key) or '')}" for name, key in texts)
    where = go_quote(rule.get("fieldPath") or "")
    return f"apiextensions.ValidationRule{{{shown}, Reason:{reason}, FieldPath:{where}, OptionalOldSelf:{optional}}}"
