"""CEL expressions of match conditions and policies: compiled once, asked of an operation. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from devplane.admission.attributes import Attributes
from devplane.admission.authority import Authority
from devplane.admission.reviews import group_version_kind, group_version_resource
from devplane.cel.library import FUNCTIONS
from devplane.cel.programs import FAILURES, compiled

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scope:
    """What expressions may read and call; `failed` are variables of a policy that have no value, and why."""

    variables: Obj
    authority: Authority
    failed: Mapping[str, str] = field(default_factory=dict)

    def extended(self, declared: Sequence[Obj]) -> Scope:
        """With a policy's own variables, each of which may use those before it."""
        scope = Scope({**self.variables, "variables": {}}, self.authority)
        for one in declared:
            name = one["name"]
            try:
                held = {**scope.variables["variables"], name: evaluated(one["expression"], scope)}
                scope = Scope({**scope.variables, "variables": held}, self.authority, scope.failed)
            except ConditionError as error:
                why = f'composited variable "{name}" fails to evaluate: {error}'
                scope = Scope(scope.variables, self.authority, {**scope.failed, name: why})
        return scope


class ConditionError(Exception):
    """An expression could not be evaluated; the message is the server's."""


def evaluated(expression: str, scope: Scope) -> Any:
    """Raises ConditionError where the expression has no value."""
    from cel import Context

    known = {**scope.variables, **scope.authority.variables}
    functions = {**FUNCTIONS, **scope.authority.functions}
    try:
        return compiled(expression).execute(Context(variables=known, functions=functions))
    except FAILURES as failure:
        why = f"no such key: {failure.args[0]}" if isinstance(failure, KeyError) else str(failure)
        why = next((text for name, text in scope.failed.items() if f"variables.{name}" in expression), why)
        raise ConditionError(f"expression '{expression}' resulted in error: {why}") from failure


def all_hold(expressions: Iterable[str], scope: Scope) -> bool:
    """False as soon as one is false; raises ConditionError where none is false and one has no value."""
    errors = []
    for expression in expressions:
        try:
            if evaluated(expression, scope) is not True:
                return False
        except ConditionError as error:
            errors.append(str(error))
    if errors:
        raise ConditionError(errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]")
    return True


def variables(attributes: Attributes) -> Obj:
    """What expressions may read: the object, the old one, and the request."""
    return {"object": attributes.object, "oldObject": attributes.old, "request": request(attributes)}


def request(attributes: Attributes) -> Obj:
    """The request as in an AdmissionReview, without objects."""
    kind = group_version_kind(attributes.resource, attributes.subresource)
    resource = group_version_resource(attributes.resource)
    return {
        "kind": kind,
        "resource": resource,
        "subResource": attributes.subresource,
        "requestKind": kind,
        "requestResource": resource,
        "requestSubResource": attributes.subresource,
        "name": attributes.name,
        "namespace": attributes.namespace,
        "operation": attributes.operation,
        "userInfo": {"username": "", "uid": "", "groups": [], "extra": {}, **attributes.user.info()},
        "dryRun": attributes.dry_run,
        "options": attributes.options,
    }
