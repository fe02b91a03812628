"""Which functions there are in rules, for which types, with which result. Pure.

A signature reads ``argument, argument -> result``; of a method the first argument is its target. ``A`` is any one type.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from devplane.cel.types import Type

_NUMBERS = ("int", "uint", "double")
_ORDERED = (*_NUMBERS, "string", "bytes", "bool", "timestamp", "duration")


# What may be compared with null.
_NULLABLE = frozenset({"null", "object", "timestamp", "duration", "optional"})


def _compared(operator: str) -> dict[str, list[str]]:
    mixed = [f"{one}, {other} -> bool" for one in _NUMBERS for other in _NUMBERS if one != other]
    return {operator: [f"{kind}, {kind} -> bool" for kind in _ORDERED] + mixed}


OPERATORS: dict[str, list[str]] = {
    "_==_": ["A, A -> bool"],
    "_!=_": ["A, A -> bool"],
    "_&&_": ["bool, bool -> bool"],
    "_||_": ["bool, bool -> bool"],
    "!_": ["bool -> bool"],
    "-_": ["int -> int", "double -> double"],
    "_?_:_": ["bool, A, A -> A"],
    "_+_": [
        *(f"{kind}, {kind} -> {kind}" for kind in (*_NUMBERS, "string", "bytes", "duration")),
        "list A, list A -> list A", "timestamp, duration -> timestamp", "duration, timestamp -> timestamp",
    ],
    "_-_": [
        *(f"{kind}, {kind} -> {kind}" for kind in (*_NUMBERS, "duration")),
        "timestamp, timestamp -> duration", "timestamp, duration -> timestamp",
    ],
    "_*_": [f"{kind}, {kind} -> {kind}" for kind in _NUMBERS],
    "_/_": [f"{kind}, {kind} -> {kind}" for kind in _NUMBERS],
    "_%_": ["int, int -> int", "uint, uint -> uint"],
    "@in": ["A, list A -> bool", "A, map A -> bool"],
    "_[_]": ["list A, int -> A", "map A, string -> A"],
    **_compared("_<_"), **_compared("_<=_"), **_compared("_>_"), **_compared("_>=_"),
}  # fmt: skip

FUNCTIONS: dict[str, list[str]] = {
    "size": ["string -> int", "bytes -> int", "list A -> int", "map A -> int"],
    "string": [f"{kind} -> string" for kind in (*_ORDERED,)],
    "int": ["int -> int", "uint -> int", "double -> int", "string -> int", "timestamp -> int", "duration -> int"],
    "uint": ["int -> uint", "uint -> uint", "double -> uint", "string -> uint"],
    "double": ["int -> double", "uint -> double", "double -> double", "string -> double"],
    "bool": ["bool -> bool", "string -> bool"],
    "bytes": ["bytes -> bytes", "string -> bytes"],
    "timestamp": ["string -> timestamp", "timestamp -> timestamp", "int -> timestamp"],
    "duration": ["string -> duration", "duration -> duration", "int -> duration"],
    "dyn": ["A -> dyn"],
    "type": ["A -> type"],
    "matches": ["string, string -> bool"],
    "isURL": ["string -> bool"],
    "url": ["string -> url"],
    "isIP": ["string -> bool"],
    "ip": ["string -> ip"],
    "isCIDR": ["string -> bool"],
    "cidr": ["string -> cidr"],
    "isQuantity": ["string -> bool"],
    "quantity": ["string -> quantity"],
}

METHODS: dict[str, list[str]] = {
    "size": FUNCTIONS["size"],
    "contains": ["string, string -> bool"],
    "startsWith": ["string, string -> bool"],
    "endsWith": ["string, string -> bool"],
    "matches": ["string, string -> bool"],
    "charAt": ["string, int -> string"],
    "indexOf": ["string, string -> int", "string, string, int -> int", "list A, A -> int"],
    "lastIndexOf": ["string, string -> int", "list A, A -> int"],
    "lowerAscii": ["string -> string"],
    "upperAscii": ["string -> string"],
    "replace": ["string, string, string -> string", "string, string, string, int -> string"],
    "split": ["string, string -> list string", "string, string, int -> list string"],
    "substring": ["string, int -> string", "string, int, int -> string"],
    "trim": ["string -> string"],
    "join": ["list string -> string", "list string, string -> string"],
    "format": ["string, list A -> string"],
    "find": ["string, string -> string"],
    "findAll": ["string, string -> list string", "string, string, int -> list string"],
    "isSorted": ["list A -> bool"],
    "sum": [f"list {kind} -> {kind}" for kind in (*_NUMBERS, "duration")],
    "min": ["list A -> A"],
    "max": ["list A -> A"],
    "hasValue": ["optional A -> bool"],
    "value": ["optional A -> A"],
    "orValue": ["optional A, A -> A"],
    **{name: ["url -> string"] for name in ("getScheme", "getHost", "getHostname", "getPort", "getEscapedPath")},
    **{name: ["quantity, quantity -> bool"] for name in ("isGreaterThan", "isLessThan")},
    "family": ["ip -> int"],
    "isLoopback": ["ip -> bool"],
    "isUnspecified": ["ip -> bool"],
    "prefixLength": ["cidr -> int"],
    "containsIP": ["cidr, string -> bool", "cidr, ip -> bool"],
    "compareTo": ["quantity, quantity -> int"],
    "isInteger": ["quantity -> bool"],
    "asInteger": ["quantity -> int"],
    "asApproximateFloat": ["quantity -> double"],
    "sign": ["quantity -> int"],
    "add": ["quantity, quantity -> quantity", "quantity, int -> quantity"],
    "sub": ["quantity, quantity -> quantity", "quantity, int -> quantity"],
    **{
        name: ["timestamp -> int", "timestamp, string -> int"]
        for name in ("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear")
    },
    **{
        name: ["timestamp -> int", "timestamp, string -> int", "duration -> int"]
        for name in ("getHours", "getMinutes", "getSeconds", "getMilliseconds")
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Overload:
    """One signature; `text` tells cost estimates which it is."""

    text: str
    args: tuple[str, ...]
    result: str


@cache
def _overload(text: str) -> Overload:
    args, _, result = text.partition(" -> ")
    return Overload(text, tuple(args.split(", ")), result)


def declared(function: str, *, is_method: bool) -> bool:
    return function in (METHODS if is_method else {**OPERATORS, **FUNCTIONS})


def matching(function: str, args: list[Type], *, is_method: bool) -> Iterator[tuple[Overload, Type]]:
    """The overloads that fit, each with the type of its result. A dynamic argument fits everywhere."""
    table = METHODS if is_method else {**OPERATORS, **FUNCTIONS}
    for text in table.get(function, ()):
        overload = _overload(text)
        if len(overload.args) != len(args):
            continue
        bound: list[Type] = []
        if all(_fits(wanted, given, bound) for wanted, given in zip(overload.args, args, strict=True)):
            yield overload, _result(overload.result, bound)


def _fits(wanted: str, given: Type, bound: list[Type]) -> bool:
    if wanted == "A":
        return _binds(given, bound)
    kind, _, element = wanted.partition(" ")
    if given.kind == "dyn":
        return True
    if kind != given.kind:
        return False
    return not element or _fits(element, given.element or Type("dyn"), bound)


def _binds(given: Type, bound: list[Type]) -> bool:
    """Whether a type agrees with what `A` already stands for."""
    if not bound:
        bound.append(given)
        return True
    if bound[0].kind == "dyn" or given.kind == "dyn":
        return True
    if "null" in (bound[0].kind, given.kind):
        return {bound[0].kind, given.kind} <= _NULLABLE
    if bound[0].kind != given.kind:
        return False
    pair = (bound[0].element, given.element)
    return pair[0] is None or pair[1] is None or _binds(pair[1], [pair[0]])


def _result(text: str, bound: list[Type]) -> Type:
    kind, _, element = text.partition(" ")
    if kind == "A":
        return bound[0] if bound else Type("dyn")
    return Type(kind, _result(element, bound)) if element else Type(kind)
