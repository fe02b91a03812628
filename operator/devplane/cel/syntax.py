"""CEL's grammar: text to a tree whose nodes know where they stand. Macros stay macros. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MACROS = {"all": (2,), "exists": (2,), "exists_one": (2,), "existsOne": (2,), "filter": (2,), "map": (2, 3)}
RESERVED = frozenset({
    "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
    "namespace", "return", "var", "void", "while",
})  # fmt: skip
_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
    |(?P<float>\d+\.\d+([eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+([eE][+-]?\d+)?)
    |(?P<int>0[xX][0-9a-fA-F]+[uU]?|\d+[uU]?)
    |(?P<string>[bBrR]{0,2}(\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<op>\|\||&&|==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_STARTS = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
)
_RELATIONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})


class CelError(ValueError):
    """A rule that does not parse or whose types don't fit; `at` is where, in characters from the start.

    `more` is what else is wrong with it.
    """

    def __init__(self, at: int, message: str, more: Sequence[CelError] = ()) -> None:
        super().__init__(message)
        self.at = at
        self.message = message
        self.more = more

    def shown(self, text: str) -> str:
        """As cel-go prints it: place, message, the line and a mark under the place; one after the other."""
        line = text.count("\n", 0, self.at)
        column = self.at - (text.rfind("\n", 0, self.at) + 1)
        source = text.split("\n")[line]
        own = f"ERROR: <input>:{line + 1}:{column + 1}: {self.message}\n | {source}\n | {'.' * column}^"
        return "\n".join([own, *(one.shown(text) for one in self.more)])


def all_of(errors: Sequence[CelError]) -> CelError:
    """Errors as one, by place."""
    first, *more = sorted(errors, key=lambda one: one.at)
    return CelError(first.at, first.message, more)


class Unsigned(int):
    """A literal with a ``u`` at its end."""


@dataclass(frozen=True, slots=True, eq=False)
class Expr:
    """A node; `at` is the place that messages point to."""

    at: int


@dataclass(frozen=True, slots=True, eq=False)
class Literal(Expr):
    value: Any


@dataclass(frozen=True, slots=True, eq=False)
class Ident(Expr):
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Select(Expr):
    """`operand.field`, or `has(operand.field)`."""

    operand: Expr
    field: str
    is_test: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Call(Expr):
    """A function, a method (with `target`) or an operator (``_+_``, ``_&&_``, ``_?_:_``, ``_[_]``, ``!_``)."""

    function: str
    args: tuple[Expr, ...]
    target: Expr | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ListOf(Expr):
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True, eq=False)
class MapOf(Expr):
    entries: tuple[tuple[Expr, Expr], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Macro(Expr):
    """`over.name(variable, bodies…)`."""

    name: str
    over: Expr
    variable: str
    bodies: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    at: int


def parse(text: str) -> Expr:
    """The tree of an expression; CelError where it is none."""
    parser = _Parser(_tokens(text))
    found = parser.ternary()
    parser.expect_end()
    return found


def _tokens(text: str) -> list[Token]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise CelError(at, f"Syntax error: token recognition error at: '{text[at]}'")
        if match.lastgroup != "space" and match.group("space") is None:
            kind = next(name for name in ("float", "int", "string", "name", "op") if match.group(name) is not None)
            found.append(Token(kind, match[0], at))
        at = match.end()
    return [*found, Token("end", "<EOF>", len(text))]


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0

    @property
    def token(self) -> Token:
        return self._tokens[self._next]

    def take(self) -> Token:
        self._next += 1
        return self._tokens[self._next - 1]

    def takes(self, *texts: str) -> Token | None:
        return self.take() if self.token.kind in ("op", "name") and self.token.text in texts else None

    def expect(self, text: str) -> Token:
        found = self.takes(text)
        if found is None and self.token.kind == "end":
            raise CelError(self.token.at, f"Syntax error: missing '{text}' at '<EOF>'")
        if found is None:
            raise self.unexpected(f"expecting '{text}'")
        return found

    def unexpected(self, expecting: str) -> CelError:
        return CelError(self.token.at, f"Syntax error: mismatched input '{self.token.text}' {expecting}")

    def expect_end(self) -> None:
        if self.token.kind != "end":
            raise CelError(self.token.at, f"Syntax error: extraneous input '{self.token.text}' expecting <EOF>")

    def ternary(self) -> Expr:
        condition = self.binary(0)
        mark = self.takes("?")
        if mark is None:
            return condition
        yes = self.binary(0)
        self.expect(":")
        return Call(mark.at, "_?_:_", (condition, yes, self.ternary()))

    def binary(self, level: int) -> Expr:
        """Operators by level, loosest first, each associating to the left."""
        if level == len(_LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while (mark := self.takes(*_LEVELS[level])) is not None:
            right = self.binary(level + 1)
            function = "@in" if mark.text == "in" else f"_{mark.text}_"
            left = Call(mark.at, function, (left, right))
        return left

    def unary(self) -> Expr:
        mark = self.takes("!", "-")
        if mark is None:
            return self.member(self.primary())
        operand = self.unary()
        if mark.text == "-" and isinstance(operand, Literal) and isinstance(operand.value, int | float):
            return Literal(mark.at, -operand.value)
        return Call(mark.at, f"{mark.text}_", (operand,))

    def member(self, found: Expr) -> Expr:
        while (mark := self.takes(".", "[")) is not None:
            if self.token.text == "?":
                raise CelError(mark.at, f"unsupported syntax '{mark.text}?'")
            found = self._index(found, mark) if mark.text == "[" else self._field(found, mark)
        return found

    def _index(self, operand: Expr, mark: Token) -> Expr:
        key = self.ternary()
        self.expect("]")
        return Call(mark.at, "_[_]", (operand, key))

    def _field(self, operand: Expr, mark: Token) -> Expr:
        if self.token.kind != "name":
            raise self.unexpected("expecting IDENTIFIER")
        name = self.take().text
        opened = self.takes("(")
        if opened is None:
            return Select(mark.at, operand, name)
        args = self.arguments(")")
        if len(args) in MACROS.get(name, ()):
            return self._macro(name, operand, args, opened)
        return Call(opened.at, name, args, operand)

    def _macro(self, name: str, over: Expr, args: tuple[Expr, ...], opened: Token) -> Expr:
        variable = args[0]
        if not isinstance(variable, Ident):
            raise CelError(variable.at, "argument must be a simple name")
        return Macro(opened.at, "exists_one" if name == "existsOne" else name, over, variable.name, args[1:])

    def arguments(self, closing: str) -> tuple[Expr, ...]:
        found = []
        while self.takes(closing) is None:
            found.append(self.ternary())
            if self.takes(",") is None:
                self.expect(closing)
                break
        return tuple(found)

    def primary(self) -> Expr:
        token = self.take()
        if token.kind in ("int", "float", "string"):
            return Literal(token.at, _value(token))
        if token.kind == "name":
            return self._name(token)
        if token.text == "(":
            inner = self.ternary()
            self.expect(")")
            return inner
        if token.text == "[":
            return ListOf(token.at, self.arguments("]"))
        if token.text == "{":
            return self._map(token)
        raise CelError(token.at, f"Syntax error: mismatched input '{token.text}' expecting {_STARTS}")

    def _name(self, token: Token) -> Expr:
        words = {"true": True, "false": False, "null": None}
        if token.text in words:
            return Literal(token.at, words[token.text])
        if token.text in RESERVED:
            raise CelError(token.at, f"reserved identifier: {token.text}")
        opened = self.takes("(")
        if opened is None:
            return Ident(token.at, token.text)
        args = self.arguments(")")
        if token.text != "has":
            return Call(opened.at, token.text, args)
        if len(args) != 1 or not isinstance(args[0], Select):
            raise CelError(args[0].at if args else opened.at, "invalid argument to has() macro")
        return Select(opened.at, args[0].operand, args[0].field, is_test=True)

    def _map(self, token: Token) -> Expr:
        entries = []
        while self.takes("}") is None:
            key = self.ternary()
            self.expect(":")
            entries.append((key, self.ternary()))
            if self.takes(",") is None:
                self.expect("}")
                break
        return MapOf(token.at, tuple(entries))


_LEVELS: tuple[frozenset[str], ...] = (
    frozenset({"||"}),
    frozenset({"&&"}),
    _RELATIONS,
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%"}),
)


def _value(token: Token) -> Any:
    if token.kind == "int":
        is_unsigned = token.text[-1] in "uU"
        number = int(token.text.rstrip("uU"), 0)
        if number >= 2 ** (64 if is_unsigned else 63):
            raise CelError(token.at, f"invalid {'uint' if is_unsigned else 'int'} literal")
        return Unsigned(number) if is_unsigned else number
    if token.kind == "float":
        return float(token.text)
    try:
        return ast.literal_eval(token.text)
    except (SyntaxError, ValueError) as error:
        raise CelError(token.at, f"Syntax error: invalid string literal {token.text}") from error
