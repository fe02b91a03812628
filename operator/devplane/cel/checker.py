"""Types of a rule's parts: what the API server's compiler refuses, and what the cost estimate must know. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from devplane.cel.overloads import Overload, declared, matching
from devplane.cel.syntax import (
    Call,
    CelError,
    Expr,
    Ident,
    ListOf,
    Literal,
    Macro,
    MapOf,
    Select,
    Unsigned,
    all_of,
    parse,
)
from devplane.cel.types import BOOL, DOUBLE, DYN, INT, KEY, NULL, Type, list_of
from devplane.schemas.formats import FORMATS
from devplane.schemas.violations import expression

TYPE_NAMES = frozenset({"int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type"})


@dataclass(slots=True)
class Checked:
    """A rule's tree with the type of each node and the overloads of each call."""

    root: Expr
    types: dict[Expr, Type] = field(default_factory=dict)
    overloads: dict[Expr, list[Overload]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    @property
    def result(self) -> Type:
        return self.types[self.root]


def check(text: str, variables: Mapping[str, Type]) -> Checked:
    """Parse and type a rule; CelError for all that is wrong with its types, or for where it does not parse."""
    checked = Checked(parse(text))
    checker = _Checker(checked)
    checker.type_of(checked.root, dict(variables))
    if checker.errors:
        raise all_of(checker.errors)
    return checked


class _Checker:
    def __init__(self, checked: Checked) -> None:
        self._checked = checked
        self.errors: list[CelError] = []

    def type_of(self, expr: Expr, scope: dict[str, Type]) -> Type:
        """What has no type counts as dynamic, so that the rest of the rule is looked at too."""
        try:
            found = self._type_of(expr, scope)
        except CelError as error:
            self.errors.append(error)
            found = DYN
        self._checked.types[expr] = found
        return found

    def _type_of(self, expr: Expr, scope: dict[str, Type]) -> Type:
        match expr:
            case Literal():
                return _literal(expr.value)
            case Ident():
                return self._ident(expr, scope)
            case Select():
                return self._select(expr, scope)
            case ListOf():
                return list_of(self._common(expr.items, scope), len(expr.items))
            case MapOf():
                self._common([key for key, _ in expr.entries], scope)
                values = self._common([value for _, value in expr.entries], scope)
                return Type("map", values, size=len(expr.entries))
            case Macro():
                return self._macro(expr, scope)
            case Call():
                return self._call(expr, scope)
            case _:
                raise TypeError(f"{type(expr).__name__} is no expression")

    def _common(self, items: Sequence[Expr], scope: dict[str, Type]) -> Type:
        """The one type of all items, as the API server wants it of literals."""
        kinds = [self.type_of(item, scope) for item in items]
        for item, kind in zip(items[1:], kinds[1:], strict=True):
            if "dyn" not in (kind.kind, kinds[0].kind) and str(kind) != str(kinds[0]):
                self.errors.append(CelError(item.at, f"expected type '{kinds[0]}' but found '{kind}'"))
        return _joined(kinds)

    def _ident(self, expr: Ident, scope: dict[str, Type]) -> Type:
        if expr.name in scope:
            self._checked.names.add(expr.name)
            return scope[expr.name]
        if expr.name in TYPE_NAMES:
            return Type("type")
        raise CelError(expr.at, f"undeclared reference to '{expr.name}' (in container '')")

    def _select(self, expr: Select, scope: dict[str, Type]) -> Type:
        operand = self.type_of(expr.operand, scope)
        match operand.kind:
            case "dyn":
                found: Type | None = DYN
            case "object":
                found = operand.fields.get(expr.field)
            case "map":
                found = operand.element
            case _:
                raise CelError(expr.at, f"type '{operand}' does not support field selection")
        if found is None:
            raise CelError(expr.at, f"undefined field '{expr.field}'")
        return BOOL if expr.is_test else found

    def _macro(self, expr: Macro, scope: dict[str, Type]) -> Type:
        over = self.type_of(expr.over, scope)
        if over.kind not in ("list", "map", "dyn"):
            raise CelError(
                expr.over.at,
                f"expression of type '{over}' cannot be range of a comprehension (must be list, map, or dynamic)",
            )
        variable = KEY if over.kind == "map" else over.element or DYN
        inner = {**scope, expr.variable: variable}
        bodies = [self.type_of(body, inner) for body in expr.bodies]
        conditions = bodies[:-1] if expr.name == "map" else bodies
        for body, kind in zip(expr.bodies, conditions, strict=False):
            if kind.kind not in ("bool", "dyn"):
                raise CelError(body.at, f"expected type 'bool' but found '{kind}'")
        if expr.name == "map":
            return list_of(bodies[-1], over.size)
        return list_of(variable, over.size) if expr.name == "filter" else BOOL

    def _call(self, expr: Call, scope: dict[str, Type]) -> Type:
        is_method = expr.target is not None
        operands = [expr.target, *expr.args] if expr.target is not None else list(expr.args)
        kinds = [self._operand(operand, scope, expr.function) for operand in operands]
        if not declared(expr.function, is_method=is_method):
            raise CelError(expr.at, f"undeclared reference to '{expr.function}' (in container '')")
        if expr.function in ("_&&_", "_||_"):
            return self._both(operands, kinds)
        found = list(matching(expr.function, kinds, is_method=is_method))
        if not found:
            shown = _shown(kinds, is_method=is_method)
            raise CelError(expr.at, f"found no matching overload for '{expr.function}' applied to '{shown}'")
        self._check_literals(expr)
        self._checked.overloads[expr] = [overload for overload, _ in found]
        results = [result for _, result in found]
        return results[0] if len({str(one) for one in results}) == 1 else DYN

    def _operand(self, operand: Expr, scope: dict[str, Type], function: str) -> Type:
        """What is formatted may be of any types, also in one list."""
        if function != "format" or not isinstance(operand, ListOf):
            return self.type_of(operand, scope)
        found = list_of(_joined([self.type_of(item, scope) for item in operand.items]), len(operand.items))
        self._checked.types[operand] = found
        return found

    def _both(self, operands: Sequence[Expr], kinds: Sequence[Type]) -> Type:
        for operand, kind in zip(operands, kinds, strict=True):
            if kind.kind not in ("bool", "dyn"):
                self.errors.append(CelError(operand.at, f"expected type 'bool' but found '{kind}'"))
        return BOOL

    def _check_literals(self, expr: Call) -> None:
        """What can be read only at run time is looked at now where it is written down."""
        literal = expr.args[-1] if expr.args else None
        reads = _READ.get(expr.function)
        if reads and isinstance(literal, Literal) and isinstance(literal.value, str) and not reads(literal.value):
            self.errors.append(CelError(literal.at, f"invalid {expr.function} argument"))


def _is_pattern(text: str) -> bool:
    try:
        expression(text)
    except re.error:
        return False
    return True


_READ: dict[str, Callable[[str], bool]] = {
    "matches": _is_pattern,
    "duration": FORMATS["duration"],
    "timestamp": FORMATS["date-time"],
}


def _shown(kinds: list[Type], *, is_method: bool) -> str:
    if is_method:
        return f"{kinds[0]}.({', '.join(str(kind) for kind in kinds[1:])})"
    return f"({', '.join(str(kind) for kind in kinds)})"


def _literal(value: object) -> Type:
    if value is None:
        return NULL
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, bytes):
        return Type("bytes", size=len(value))
    if isinstance(value, str):
        return Type("string", size=len(value))
    if isinstance(value, Unsigned):
        return Type("uint")
    return INT if isinstance(value, int) else DOUBLE


def _joined(kinds: list[Type]) -> Type:
    return kinds[0] if kinds and len({str(kind) for kind in kinds}) == 1 else DYN
