"""Whether an operation concerns a webhook or a policy: rules, versions, labels of namespace and object. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from devplane.admission.attributes import Attributes
from devplane.admission.configurations import GROUP, Rule
from devplane.resources.registry import Resource
from devplane.storage.selectors import selects

Obj = dict[str, Any]

# Who could lock everybody out by refusing changes of itself is not asked about them.
_EXEMPT = frozenset({
    "validatingwebhookconfigurations", "mutatingwebhookconfigurations", "validatingadmissionpolicies",
    "validatingadmissionpolicybindings", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings",
})  # fmt: skip


def is_exempt(attributes: Attributes) -> bool:
    return attributes.resource.group == GROUP and attributes.resource.plural in _EXEMPT


def resource_for(rules: Sequence[Rule], attributes: Attributes, equivalents: Iterable[Resource]) -> Resource | None:
    """The resource, in the version that a rule names; None where no rule matches."""
    for resource in (attributes.resource, *equivalents):
        if any(_matches(rule, attributes, resource) for rule in rules):
            return resource
    return None


def _matches(rule: Rule, attributes: Attributes, resource: Resource) -> bool:
    return (
        _has(rule.operations, attributes.operation)
        and _has(rule.groups, resource.group)
        and _has(rule.versions, resource.version)
        and any(_names(one, resource.plural, attributes.subresource) for one in rule.resources)
        and _in_scope(rule.scope, attributes)
        and (not rule.names or attributes.name in rule.names)
    )


def _has(values: Sequence[str], wanted: str) -> bool:
    return "*" in values or wanted in values


def _names(named: str, plural: str, subresource: str) -> bool:
    """``pods``, ``pods/log``, ``pods/*``, ``*`` (every resource) and ``*/*`` (every subresource too)."""
    resource, _, sub = named.partition("/")
    return resource in ("*", plural) and sub in ("*", subresource)


def _in_scope(scope: str, attributes: Attributes) -> bool:
    is_namespaced = bool(attributes.namespace) and attributes.resource.key != "namespaces"
    match scope:
        case "Namespaced":
            return is_namespaced
        case "Cluster":
            return not is_namespaced
        case _:
            return True


def in_namespace(selector: Obj, attributes: Attributes, namespace: Obj | None) -> bool:
    """By the labels of the object's namespace, or of the namespace that it is; cluster-scoped objects always are."""
    if not selector:
        return True
    if attributes.resource.key == "namespaces" and not attributes.subresource:
        return selects(selector, _labels(attributes.shown))
    return not attributes.namespace or selects(selector, _labels(namespace))


def has_labels(selector: Obj, attributes: Attributes) -> bool:
    """By the labels of the object as it is or as it was."""
    return not selector or any(
        selects(selector, _labels(one)) for one in (attributes.object, attributes.old) if one is not None
    )


def _labels(obj: Obj | None) -> Mapping[str, str]:
    found: Mapping[str, str] = ((obj or {}).get("metadata") or {}).get("labels") or {}
    return found
