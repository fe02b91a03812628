"""`x-kubernetes-validations`: rules compiled once, asked of an object, answered in the API server's words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from devplane.cel.library import FUNCTIONS, to_cel
from devplane.cel.programs import FAILURES
from devplane.errors import Cause
from devplane.schemas.structure import ABSENT, Node, below, children, correlated
from devplane.schemas.types import Obj

if TYPE_CHECKING:
    from cel import Program

NO_OVERLOAD = "call arguments did not match a supported operator, function or macro signature for rule"


@dataclass(frozen=True, slots=True)
class Rule:
    """One compiled rule. A transition rule reads `oldSelf`, so it needs an old value to be asked."""

    spec: Obj
    program: Program
    message: Program | None
    is_transition: bool

    @property
    def text(self) -> str:
        return str(self.spec.get("message") or self.spec["rule"]).strip()

    @property
    def failed(self) -> str:
        message = self.spec.get("message")
        return str(message).strip() if message else f"failed rule: {self.text}"


class Rules:
    """Every rule of a schema."""

    def __init__(self, root: Node) -> None:
        self._root = root

    def validate(self, new: Obj, old: Any) -> list[Cause]:
        """Causes of the rules that `new` breaks; `old` is the stored object, or ABSENT on create."""
        return list(_asked(new, old, self._root, ""))


def _asked(value: Any, old: Any, node: Node, path: str) -> Iterator[Cause]:
    if value is None:
        return
    if node.rules:
        yield from _own_rules(value, old, node, path)
    for step, one, child in children(value, node):
        if child.has_rules:
            before = ABSENT if old is ABSENT else correlated(old, value, step, node)
            yield from _asked(one, before, child, _below(path, step, node))


def _below(path: str, step: str | int, node: Node) -> str:
    """Keys of a map are in brackets."""
    return f"{path}[{step}]" if isinstance(step, str) and node.values is not None else below(path, step)


def _own_rules(value: Any, old: Any, node: Node, path: str) -> Iterator[Cause]:
    is_unchanged = old is not ABSENT and old == value
    scope: Obj = {"self": to_cel(value, node, is_root=not path)}
    if old is not ABSENT and old is not None:
        scope["oldSelf"] = to_cel(old, node, is_root=not path)
    for rule in (compiled(_frozen(one)) for one in node.rules):
        if rule.is_transition and "oldSelf" not in scope and not rule.spec.get("optionalOldSelf"):
            continue
        if not is_unchanged or rule.is_transition:
            yield from _result(rule, scope, node, path)


def _result(rule: Rule, scope: Obj, node: Node, path: str) -> Iterator[Cause]:
    try:
        variables = _optional(scope) if rule.spec.get("optionalOldSelf") else scope
        outcome = rule.program.execute(_context(variables))
    except FAILURES as failure:
        yield Cause("FieldValueInvalid", f'Invalid value: "{node.kind}": {_failure(failure, rule)}', path or "<nil>")
        return
    if outcome is not True:
        yield _cause(rule, _detail(rule, variables), node, path + _field(rule))


def _field(rule: Rule) -> str:
    """The field that a rule is about, as causes name it."""
    field = rule.spec.get("fieldPath") or ""
    return re.sub(r"\['((?:\\.|[^'\\])*)'\]", r"[\1]", field) if field else ""


def _optional(scope: Obj) -> Obj:
    from cel import OptionalValue

    old = OptionalValue.of(scope["oldSelf"]) if "oldSelf" in scope else OptionalValue.none()
    return {**scope, "oldSelf": old}


def _context(variables: Obj) -> Any:
    from cel import Context

    return Context(variables=variables, functions=FUNCTIONS)


def _failure(failure: Exception, rule: Rule) -> str:
    if isinstance(failure, KeyError):
        return f"no such key: {failure.args[0]} evaluating rule: {rule.text}"
    if isinstance(failure, TypeError):
        return f"'no such overload': {NO_OVERLOAD}: {rule.text}"
    return f"{_reason(str(failure))} evaluating rule: {rule.text}"


_CALLED = re.compile(r"Function '\w+' error: Python function call failed: \w+: (.*)\. Check function .*", re.DOTALL)


def _reason(words: str) -> str:
    """What a function or an operator said, without what the engine says around it."""
    found = _CALLED.fullmatch(words)
    return found[1] if found else words.removesuffix(" in CEL expression")


def _detail(rule: Rule, variables: Obj) -> str:
    """The message expression's text, if it gives one that fits on a line; else the message."""
    if rule.message is None:
        return rule.failed
    try:
        said = rule.message.execute(_context(variables))
    except FAILURES:
        return rule.failed
    return said if isinstance(said, str) and said.strip() and "\n" not in said else rule.failed


def _cause(rule: Rule, detail: str, node: Node, path: str) -> Cause:
    where = path.removeprefix(".") or "<nil>"
    match rule.spec.get("reason"):
        case "FieldValueForbidden":
            return Cause.forbidden(where, detail)
        case "FieldValueRequired":
            return Cause.required(where, detail)
        case "FieldValueDuplicate":
            return Cause.duplicate(where, node.kind)
        case _:
            return Cause.invalid(where, node.kind, detail)


def _frozen(rule: Obj) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(rule.items()))


@cache
def compiled(rule: tuple[tuple[str, Any], ...]) -> Rule:
    """A rule of `x-kubernetes-validations`, compiled; ValueError when it does not parse."""
    import cel

    spec = dict(rule)
    program = cel.compile(spec["rule"])
    message = cel.compile(spec["messageExpression"]) if spec.get("messageExpression") else None
    return Rule(spec, program, message, "oldSelf" in program.variables())
