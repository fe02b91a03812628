"""Audit annotations of policies. There is no audit log, as with a server that has no audit policy: only errors show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devplane.admission.conditions import ConditionError, Scope, evaluated

Obj = dict[str, Any]

_TYPES = ((bool, "bool"), (int, "int"), (float, "double"), (bytes, "bytes"), (list, "list"), (dict, "map"))


def errors(declared: list[Obj], scope: Scope, *, fails_closed: bool) -> Iterator[str]:
    """What is wrong with the values: an expression without one, if the policy fails then, or one of another type."""
    for one in declared:
        expression = one["valueExpression"]
        try:
            value = evaluated(expression, scope)
        except ConditionError as error:
            if fails_closed:
                yield str(error)
            continue
        if value is not None and not isinstance(value, str):
            why = f"valueExpression '{expression}' resulted in unsupported return type: {_type(value)}"
            yield f"{why}. Return type must be either string or null."


def _type(value: Any) -> str:
    return next((name for kind, name in _TYPES if isinstance(value, kind)), type(value).__name__)
