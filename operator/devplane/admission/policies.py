"""ValidatingAdmissionPolicies with their bindings: CEL expressions that say no, or warn.

https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from devplane.access.rbac import Authorizer
from devplane.admission import audit, matching
from devplane.admission.attributes import Attributes
from devplane.admission.authority import authority
from devplane.admission.conditions import ConditionError, Scope, all_hold, evaluated, variables
from devplane.admission.configurations import GROUP, Rule, rules
from devplane.errors import ApiError
from devplane.resources.registry import Registry, Resource
from devplane.storage.selectors import selects
from devplane.storage.store import Change, Store

Obj = dict[str, Any]

POLICIES = f"validatingadmissionpolicies.{GROUP}"
BINDINGS = f"validatingadmissionpolicybindings.{GROUP}"
_CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413}
_NO_PARAMETERS = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"


@dataclass(frozen=True, slots=True)
class Constraints:
    """Which operations; no rules are every operation."""

    rules: tuple[Rule, ...]
    excluded: tuple[Rule, ...]
    namespace_selector: Obj
    object_selector: Obj
    matches_equivalents: bool

    @classmethod
    def of(cls, declared: Obj) -> Constraints:
        return cls(
            rules(declared.get("resourceRules") or ()),
            rules(declared.get("excludeResourceRules") or ()),
            declared.get("namespaceSelector") or {},
            declared.get("objectSelector") or {},
            declared.get("matchPolicy") != "Exact",
        )


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A policy and one of its bindings, as they are stored."""

    policy: Obj
    binding: Obj
    wanted: tuple[Constraints, ...]

    @property
    def fails_closed(self) -> bool:
        return bool(self.policy["spec"].get("failurePolicy") != "Ignore")


@dataclass(frozen=True, slots=True)
class No:
    """What a policy has against an operation. `always_denies`, whatever its binding says, for audit annotations."""

    message: str
    reason: str
    always_denies: bool = False


class Policies:
    """Those that are bound; policies without a binding do nothing."""

    def __init__(self, store: Store, registry: Registry, authorizer: Authorizer) -> None:
        self._store = store
        self._registry = registry
        self._authorizer = authorizer
        self._bound: tuple[Bound, ...] | None = None
        for resource in (POLICIES, BINDINGS):
            store.subscribe(resource, self._changed)

    @property
    def exist(self) -> bool:
        return bool(self._store.count(BINDINGS))

    def _changed(self, _: Change) -> None:
        self._bound = None

    def _all(self) -> Sequence[Bound]:
        if self._bound is None:
            self._bound = tuple(self._read())
        return self._bound

    def _read(self) -> Iterator[Bound]:
        for binding in self._store.items(BINDINGS):
            policy = self._store.get(POLICIES, "", binding["spec"].get("policyName", ""))
            if policy is not None:
                declared = (policy["spec"].get("matchConstraints"), binding["spec"].get("matchResources"))
                yield Bound(policy, binding, tuple(Constraints.of(one) for one in declared if one))

    def check(self, attributes: Attributes, warnings: list[str]) -> None:
        """Raises ApiError for the first no that denies; others are warnings, as their bindings say."""
        for bound in self._all():
            if all(self._matches(one, attributes) for one in bound.wanted):
                for no in self._objections(bound, attributes):
                    _act(bound, no, attributes, warnings)

    def _matches(self, wanted: Constraints, attributes: Attributes) -> bool:
        own, namespace = attributes.resource, self._store.get("namespaces", "", attributes.namespace)
        others: list[Resource] = []
        if wanted.matches_equivalents:
            others = [one for one in self._registry.all() if one.key == own.key and one is not own]
        if matching.resource_for(wanted.excluded, attributes, others) is not None:
            return False
        if wanted.rules and matching.resource_for(wanted.rules, attributes, others) is None:
            return False
        return matching.in_namespace(wanted.namespace_selector, attributes, namespace) and matching.has_labels(
            wanted.object_selector, attributes
        )

    def _objections(self, bound: Bound, attributes: Attributes) -> Iterator[No]:
        """A policy that can not be evaluated objects, or not, as its failure policy says."""
        try:
            for parameters in self._parameters(bound, attributes):
                yield from self._evaluated(bound, attributes, parameters)
        except ConditionError as error:
            if bound.fails_closed:
                yield No(str(error), "")

    def _evaluated(self, bound: Bound, attributes: Attributes, parameters: Obj | None) -> Iterator[No]:
        spec = bound.policy["spec"]
        scope = Scope(
            {
                **variables(attributes),
                "params": parameters,
                "namespaceObject": self._store.get("namespaces", "", attributes.namespace),
            },
            authority(self._authorizer, attributes),
        )
        if all_hold([one["expression"] for one in spec.get("matchConditions") or ()], scope):
            scope = scope.extended(spec.get("variables") or ())
            for validation in spec.get("validations") or ():
                yield from _objection(validation, scope, fails_closed=bound.fails_closed)
            annotations = spec.get("auditAnnotations") or []
            for error in audit.errors(annotations, scope, fails_closed=bound.fails_closed):
                yield No(error, "", always_denies=True)

    def _parameters(self, bound: Bound, attributes: Attributes) -> Sequence[Obj | None]:
        """Each object that the policy is to be evaluated with; None where it takes none."""
        kind, reference = bound.policy["spec"].get("paramKind"), bound.binding["spec"].get("paramRef")
        if kind is None or reference is None:
            return [None]
        resource = self._registry.of_kind(kind["apiVersion"], kind["kind"])
        if resource is None:
            raise ConditionError(f"failed to find resource referenced by paramKind: '{kind['apiVersion']}, "
                                 f"Kind={kind['kind']}'")  # fmt: skip
        namespace = (reference.get("namespace") or attributes.namespace) if resource.namespaced else ""
        found = [one for one in self._store.items(resource.key, namespace) if _is_chosen(one, reference)]
        if not found and reference.get("parameterNotFoundAction") != "Allow":
            raise ConditionError(_NO_PARAMETERS)
        return list(found)


def _is_chosen(obj: Obj, reference: Obj) -> bool:
    if name := reference.get("name"):
        return bool(obj["metadata"]["name"] == name)
    return selects(reference.get("selector") or {}, obj["metadata"].get("labels") or {})


def _objection(validation: Obj, scope: Scope, *, fails_closed: bool) -> Iterator[No]:
    reason = validation.get("reason") or ""
    try:
        if evaluated(validation["expression"], scope) is not True:
            yield No(_message(validation, scope), reason)
    except ConditionError as error:
        if fails_closed:
            yield No(str(error), reason)


def _message(validation: Obj, scope: Scope) -> str:
    """The message expression's text, if it gives one that fits on a line; else the message; else the expression."""
    if expression := validation.get("messageExpression"):
        try:
            said = evaluated(expression, scope)
        except ConditionError:
            said = None
        if isinstance(said, str) and said.strip() and "\n" not in said:
            return said.strip()
    return str(validation.get("message") or "").strip() or f"failed expression: {validation['expression'].strip()}"


def _act(bound: Bound, no: No, attributes: Attributes, warnings: list[str]) -> None:
    names = f"ValidatingAdmissionPolicy '{bound.policy['metadata']['name']}'"
    names += f" with binding '{bound.binding['metadata']['name']}'"
    actions = bound.binding["spec"].get("validationActions") or ()
    if "Warn" in actions and not no.always_denies:
        warnings.append(f"Validation failed for {names}: {no.message}")
    if "Deny" in actions or no.always_denies:
        message = f"{names} denied request: {no.message}"
        refusal = ApiError.forbidden(attributes.resource.name, attributes.name, message)
        refusal.reason = no.reason or "Invalid"
        refusal.code = _CODES.get(refusal.reason, 422)
        refusal.details = {**(refusal.details or {}), "causes": [{"message": message}]}
        raise refusal
