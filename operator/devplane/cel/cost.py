"""The worst case of a rule, in the API server's cost units, from its tree and the sizes that the schema allows. Pure.

The unit costs and formulas are those of cel-go's checker (checker/cost.go) and of Kubernetes' function library
(k8s.io/apiserver/pkg/cel/library/cost.go); macros cost what their expansions cost there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from devplane.cel.checker import Checked
from devplane.cel.syntax import Call, Expr, Ident, ListOf, Literal, Macro, MapOf, Select
from devplane.cel.types import Type

TOP = 2**64 - 1
TRAVERSAL, REGEX = 0.1, 0.25
LIST_BASE, MAP_BASE = 10, 30
SCALARS = frozenset({"bool", "double", "duration", "int", "timestamp", "uint"})
_COMPARISONS = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"})
_SEQUENCES = frozenset({"isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"})
_TEXT = frozenset({"lowerAscii", "upperAscii", "substring", "trim"})
_CONDITIONS = {"all": 3, "exists": 4}


@dataclass(frozen=True, slots=True)
class Size:
    """Fewest and most characters, items or entries."""

    least: int
    most: int


UNKNOWN = Size(0, TOP)


def _top(value: int) -> int:
    return min(value, TOP)


def _scaled(size: int, factor: float) -> int:
    return _top(math.ceil(size * factor))


def most_expensive(checked: Checked) -> int:
    """What evaluating the rule once costs at most."""
    return _top(_Estimate(checked).cost(checked.root, {}))


class _Estimate:
    """Costs of a tree. `known` are sizes of macro variables that no schema tells."""

    def __init__(self, checked: Checked) -> None:
        self._checked = checked

    def _type(self, expr: Expr) -> Type:
        return self._checked.types[expr]

    def cost(self, expr: Expr, known: dict[str, Type]) -> int:
        match expr:
            case Ident():
                return 1
            case Select():
                return self._select(expr, known)
            case ListOf():
                return LIST_BASE + sum(self.cost(item, known) for item in expr.items)
            case MapOf():
                pairs = [one for entry in expr.entries for one in entry]
                return MAP_BASE + sum(self.cost(one, known) for one in pairs)
            case Macro():
                return self._macro(expr, known)
            case Call():
                return self._call(expr, known)
            case _:
                return 0

    def _select(self, expr: Select, known: dict[str, Type]) -> int:
        operand = self.cost(expr.operand, known)
        return operand if expr.is_test or self._type(expr.operand).kind == "dyn" else operand + 1

    def _macro(self, expr: Macro, known: dict[str, Type]) -> int:
        """Range, first value, result, and for each element the loop's condition and step."""
        over = self.cost(expr.over, known)
        bodies = [self.cost(body, known) for body in expr.bodies]
        count = self.size(expr.over).most
        match expr.name:
            case "all" | "exists":
                start, step, result = 0, _CONDITIONS[expr.name] + bodies[0], 1
            case "exists_one":
                start, step, result = 0, bodies[0] + 2, 2
            case "filter":
                start, step, result = LIST_BASE, bodies[0] + 3 + LIST_BASE, 1
            case _:
                start, step, result = LIST_BASE, sum(bodies) + 2 + LIST_BASE, 1
        return _top(over + start + result + count * _top(step))

    def _call(self, expr: Call, known: dict[str, Type]) -> int:
        if expr.function == "dyn":
            return 1 + self.cost(expr.args[0], known)
        args = [self.cost(arg, known) for arg in expr.args]
        if expr.function == "_?_:_":
            return args[0] + max(args[1], args[2])
        if expr.function in ("_&&_", "_||_"):
            return _top(sum(args))
        target = self.cost(expr.target, known) if expr.target is not None else 0
        overloads = self._checked.overloads.get(expr, [])
        own = max((self._own(expr, overload.text) for overload in overloads), default=0)
        return _top(target + sum(args) + own)

    def _own(self, expr: Call, overload: str) -> int:
        """What the function itself costs, with its operands at their largest."""
        if expr.target is not None:
            return self._method(expr, expr.target)
        name, args = expr.function, expr.args
        if name in _COMPARISONS and (name in ("_==_", "_!=_") or overload.startswith(("string", "bytes"))):
            return _scaled(min(self.size(arg).most for arg in args), TRAVERSAL)
        if name == "_+_" and overload.startswith(("string", "bytes")):
            return _scaled(_top(sum(self.size(arg).most for arg in args)), TRAVERSAL)
        if name == "@in" and "list" in overload:
            return self.size(args[1]).most
        if name in ("url", "bytes") or (name == "string" and overload.startswith("bytes")):
            return _scaled(self.size(args[0]).most, TRAVERSAL)
        return self._matches(args[0], args[1]) if name == "matches" else 1

    def _method(self, expr: Call, target: Expr) -> int:
        name, args = expr.function, expr.args
        most = self.size(target).most
        if name in _SEQUENCES:
            return self._sequence(target, most)
        if name in _TEXT:
            return _scaled(most, TRAVERSAL)
        if name in ("replace", "split"):
            return _scaled(most, 2 * TRAVERSAL)
        if name in ("startsWith", "endsWith"):
            return _scaled(self.size(args[0]).most, TRAVERSAL)
        if name in ("matches", "find", "findAll"):
            return self._matches(target, args[0])
        if name == "contains":
            return _top(_scaled(most, TRAVERSAL) * _scaled(self.size(args[0]).most, TRAVERSAL))
        if name == "format":
            return _scaled(most, TRAVERSAL)
        return _scaled(self.size(expr).most, TRAVERSAL) if name == "join" else 1

    def _matches(self, text: Expr, pattern: Expr) -> int:
        return _top(_scaled(_top(self.size(text).most + 1), TRAVERSAL) * _scaled(self.size(pattern).most, REGEX))

    def _sequence(self, target: Expr, most: int) -> int:
        """One pass over a list, its texts included; or over a string."""
        kind = self._type(target)
        if kind.kind != "list" or kind.element is None:
            return _scaled(most, TRAVERSAL)
        is_text = kind.element.kind in ("string", "bytes")
        return _top(most * (1 + (_scaled(kind.element.size, TRAVERSAL) if is_text else 0)))

    def size(self, expr: Expr) -> Size:
        """How large a value can be."""
        match expr:
            case Literal():
                length = len(expr.value) if isinstance(expr.value, str | bytes) else 1
                return Size(length, length)
            case ListOf():
                return Size(len(expr.items), len(expr.items))
            case MapOf():
                return Size(len(expr.entries), len(expr.entries))
            case Macro() if expr.name in ("map", "filter"):
                return self.size(expr.over)
            case Call():
                return self._result_size(expr)
            case Ident() | Select():
                return Size(0, self._type(expr).size) if not self._is_tested(expr) else Size(1, 1)
            case _:
                return self._by_kind(expr)

    def _is_tested(self, expr: Expr) -> bool:
        return isinstance(expr, Select) and expr.is_test

    def _by_kind(self, expr: Expr) -> Size:
        return Size(1, 1) if self._type(expr).kind in SCALARS else UNKNOWN

    def _result_size(self, expr: Call) -> Size:
        name, args = expr.function, expr.args
        if name == "_[_]":
            return Size(0, self._type(expr).size)
        if name == "_?_:_":
            return _either(self.size(args[1]), self.size(args[2]))
        if name == "_+_" and self._type(expr).kind in ("string", "bytes", "list"):
            left, right = self.size(args[0]), self.size(args[1])
            return Size(left.least + right.least, _top(left.most + right.most))
        if name == "dyn":
            return self.size(args[0])
        return self._method_size(expr, expr.target) if expr.target is not None else self._by_kind(expr)

    def _method_size(self, expr: Call, target: Expr) -> Size:
        size = self.size(target)
        match expr.function:
            case "lowerAscii" | "upperAscii" | "substring" | "trim":
                return size
            case "split" | "find" | "findAll":
                return Size(0, size.most)
            case "replace":
                return Size(0, _replaced(size, self.size(expr.args[0]), self.size(expr.args[1])))
            case "join":
                return Size(0, self._joined(expr, target, size))
            case _:
                return self._by_kind(expr)

    def _joined(self, expr: Call, target: Expr, size: Size) -> int:
        element = self._type(target).element
        between = self.size(expr.args[0]).most * max(size.most - 1, 0) if expr.args else 0
        return _top(size.most * (element.size if element is not None else TOP) + between)


def _either(one: Size, other: Size) -> Size:
    return Size(min(one.least, other.least), max(one.most, other.most))


def _replaced(text: Size, old: Size, new: Size) -> int:
    if old.least == 0:
        return _top((text.most + 1) * new.most + text.most)
    if new.most <= old.least:
        return text.most
    return _top(math.ceil(text.most / old.least) * new.most)
