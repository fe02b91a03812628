"""ValidatingAdmissionPolicies and their bindings: defaults and validation, as v1 has them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from devplane.errors import Cause
from devplane.kinds import metadata, rules, webhooks
from devplane.schemas.types import Obj

_MOST_ANNOTATIONS = 20
_ACTIONS = ("Audit", "Deny", "Warn")
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
_NOT_BOTH = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"  # noqa: E501


def default(policy: Obj) -> None:
    spec = policy["spec"]
    spec.setdefault("failurePolicy", "Fail")
    _default_match(spec.get("matchConstraints"))


def prepare(new: Obj, old: Obj | None) -> None:
    """The server has compiled the expressions when it answers: there is no controller that does it later."""
    generation = 1
    if old is not None:
        generation = old["metadata"].get("generation", 1) + (new["spec"] != old["spec"])
    new["status"] = {**(new.get("status") or {}), "observedGeneration": generation, "typeChecking": {}}


def default_binding(binding: Obj) -> None:
    _default_match(binding["spec"].get("matchResources"))


def _default_match(match: Obj | None) -> None:
    if match is None:
        return
    match.setdefault("matchPolicy", "Equivalent")
    for selector in ("namespaceSelector", "objectSelector"):
        match.setdefault(selector, {})
    for key in ("resourceRules", "excludeResourceRules"):
        for rule in match.get(key) or ():
            rule.setdefault("scope", "*")


def validate(new: Obj, _: Obj | None) -> list[Cause]:
    spec = new["spec"]
    found = [*rules.one_of(spec.get("failurePolicy"), ("Fail", "Ignore"), "spec.failurePolicy")]
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        found.append(Cause.required("spec.validations", "validations or auditAnnotations must be non-empty"))
    if spec.get("matchConstraints") is None:
        found.append(Cause.required("spec.matchConstraints"))
    else:
        found += _match(spec["matchConstraints"], "spec.matchConstraints", needs_rules=True)
    found += webhooks.condition_causes(spec.get("matchConditions") or (), "spec.matchConditions")
    found += webhooks.condition_causes(spec.get("variables") or (), "spec.variables")
    found += [cause for at, one in enumerate(spec.get("validations") or ()) for cause in _validation(one, at)]
    return [*found, *_annotations(spec.get("auditAnnotations") or (), new["metadata"].get("name", ""))]


def _annotations(declared: Sequence[Obj], policy: str) -> Iterator[Cause]:
    """The key of an annotation is `policy`/key, so both together are one qualified name."""
    path = "spec.auditAnnotations"
    if len(declared) > _MOST_ANNOTATIONS:
        yield Cause.invalid(path, list(declared), f"must not have more than {_MOST_ANNOTATIONS} auditAnnotations")
    keys: set[str] = set()
    for at, one in enumerate(declared):
        key, expression, where = one.get("key", ""), one.get("valueExpression") or "", f"{path}[{at}]"
        whole = f"{policy}/{key}"
        yield from (Cause.invalid(f"{where}.key", whole, problem) for problem in metadata.qualified_name(whole))
        if not expression.strip():
            yield Cause.required(f"{where}.valueExpression", "valueExpression is not specified")
        else:
            yield from webhooks.expression_causes(expression, f"{where}.valueExpression")
        if key in keys:
            yield Cause.duplicate(f"{where}.key", key)
        keys.add(key)


def _validation(validation: Obj, at: int) -> Iterator[Cause]:
    path = f"spec.validations[{at}]"
    yield from webhooks.expression_causes(validation.get("expression") or "", f"{path}.expression")
    if expression := validation.get("messageExpression"):
        yield from webhooks.expression_causes(expression, f"{path}.messageExpression")
    if "\n" in (validation.get("message") or ""):
        yield Cause.invalid(f"{path}.message", validation["message"], "message must not contain line breaks")
    yield from rules.one_of(validation.get("reason"), _REASONS, f"{path}.reason")


def _match(match: Obj, path: str, *, needs_rules: bool) -> Iterator[Cause]:
    yield from rules.one_of(match.get("matchPolicy"), ("Equivalent", "Exact"), f"{path}.matchPolicy")
    if needs_rules and not match.get("resourceRules"):
        yield Cause.required(f"{path}.resourceRules")
    for key in ("resourceRules", "excludeResourceRules"):
        for at, rule in enumerate(match.get(key) or ()):
            yield from webhooks.rule_causes(rule, f"{path}.{key}[{at}]")


def validate_binding(new: Obj, _: Obj | None) -> list[Cause]:
    spec = new["spec"]
    found = [] if spec.get("policyName") else [Cause.required("spec.policyName")]
    if match := spec.get("matchResources"):
        found += _match(match, "spec.matchResources", needs_rules=False)
    if reference := spec.get("paramRef"):
        found += _reference(reference)
    return found + list(_actions(spec.get("validationActions") or ()))


def _actions(actions: Sequence[str]) -> Iterator[Cause]:
    path = "spec.validationActions"
    if not actions:
        yield Cause.required(path, "at least one validation action is required")
    for at, one in enumerate(actions):
        yield from rules.one_of(one, _ACTIONS, f"{path}[{at}]")
    if {"Deny", "Warn"} <= set(actions):
        yield Cause.invalid(path, list(actions), _NOT_BOTH)


def _reference(reference: Obj) -> Iterator[Cause]:
    path = "spec.paramRef"
    if bool(reference.get("name")) == (reference.get("selector") is not None):
        yield Cause.required(path, "one of name or selector must be specified")
    action = reference.get("parameterNotFoundAction")
    if action is None:
        yield Cause.required(f"{path}.parameterNotFoundAction")
    yield from rules.one_of(action, ("Allow", "Deny"), f"{path}.parameterNotFoundAction")
