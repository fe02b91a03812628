"""Expressions as the engine runs them. It is imported with the first one: most writes never need it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cel import Program

FAILURES = (ValueError, TypeError, RuntimeError, KeyError, IndexError, ArithmeticError)


@cache
def compiled(expression: str) -> Program:
    """ValueError where it does not parse."""
    import cel

    return cel.compile(expression)
