"""Webhook configurations: defaults and validation, as admissionregistration.k8s.io/v1 has them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from devplane.cel.programs import compiled
from devplane.errors import Cause
from devplane.kinds import rules
from devplane.schemas.types import Obj

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_REVIEWS = ("v1", "v1beta1")


def default_validating(configuration: Obj) -> None:
    for webhook in configuration.get("webhooks") or ():
        _default(webhook)


def default_mutating(configuration: Obj) -> None:
    for webhook in configuration.get("webhooks") or ():
        _default(webhook)
        webhook.setdefault("reinvocationPolicy", "Never")


def _default(webhook: Obj) -> None:
    webhook.setdefault("failurePolicy", "Fail")
    webhook.setdefault("matchPolicy", "Equivalent")
    for selector in ("namespaceSelector", "objectSelector"):
        webhook.setdefault(selector, {})
    webhook.setdefault("timeoutSeconds", 10)
    for rule in webhook.get("rules") or ():
        rule.setdefault("scope", "*")
    if service := (webhook.get("clientConfig") or {}).get("service"):
        service.setdefault("port", 443)


def validate(new: Obj, _: Obj | None) -> list[Cause]:
    names: set[str] = set()
    found: list[Cause] = []
    for at, webhook in enumerate(new.get("webhooks") or ()):
        path = f"webhooks[{at}]"
        found += _webhook(webhook, path)
        if webhook.get("name") in names:
            found.append(Cause.duplicate(f"{path}.name", webhook["name"]))
        names.add(webhook.get("name", ""))
    return found


def _webhook(webhook: Obj, path: str) -> Iterator[Cause]:
    yield from _name(webhook.get("name") or "", f"{path}.name")
    for at, rule in enumerate(webhook.get("rules") or ()):
        yield from rule_causes(rule, f"{path}.rules[{at}]")
    yield from rules.one_of(webhook.get("failurePolicy"), ("Fail", "Ignore"), f"{path}.failurePolicy")
    yield from rules.one_of(webhook.get("matchPolicy"), ("Equivalent", "Exact"), f"{path}.matchPolicy")
    yield from rules.one_of(webhook.get("reinvocationPolicy"), ("IfNeeded", "Never"), f"{path}.reinvocationPolicy")
    yield from _side_effects(webhook.get("sideEffects"), f"{path}.sideEffects")
    if not 1 <= webhook.get("timeoutSeconds", 10) <= 30:
        detail = "the timeout value must be between 1 and 30 seconds"
        yield Cause.invalid(f"{path}.timeoutSeconds", webhook["timeoutSeconds"], detail)
    yield from _versions(webhook.get("admissionReviewVersions") or (), f"{path}.admissionReviewVersions")
    yield from client_causes(webhook.get("clientConfig") or {}, f"{path}.clientConfig")
    yield from condition_causes(webhook.get("matchConditions") or (), f"{path}.matchConditions")


def _name(name: str, path: str) -> Iterator[Cause]:
    if not name:
        yield Cause.required(path)
    elif len(name.split(".")) < 3:
        yield Cause.invalid(path, name, "should be a domain with at least three segments separated by dots")


def _side_effects(declared: str | None, path: str) -> Iterator[Cause]:
    if not declared:
        yield Cause.required(path, "must specify one of None, NoneOnDryRun")
    yield from rules.one_of(declared or None, ("None", "NoneOnDryRun"), path)


def _versions(versions: Sequence[str], path: str) -> Iterator[Cause]:
    if not versions:
        yield Cause.required(path, f"must specify one of {', '.join(_REVIEWS)}")
    elif "v1" not in versions:
        yield Cause.invalid(path, list(versions), f"must include at least one of {', '.join(_REVIEWS)}")


def client_causes(client: Obj, path: str) -> Iterator[Cause]:
    """What is wrong with where a webhook is reached."""
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        yield Cause.required(path, "exactly one of url or service is required")
    elif url is not None:
        yield from _url(url, f"{path}.url")
    elif service is not None:
        for key in ("name", "namespace"):
            if not service.get(key):
                yield Cause.required(f"{path}.service.{key}", f"service {key} is required")


def _url(url: str, path: str) -> Iterator[Cause]:
    form = "; desired format: https://host[/path]"
    try:
        parts = urlsplit(url)
    except ValueError as error:
        yield Cause.invalid(path, url, f"url must be a valid URL: {error}{form}")
        return
    if parts.scheme != "https":
        yield Cause.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{form}")
    if not parts.hostname:
        yield Cause.invalid(path, parts.netloc, f"host must be specified{form}")
    if parts.username is not None:
        yield Cause.invalid(path, "<user>", f"user information is not permitted in the URL{form}")
    if parts.fragment:
        yield Cause.invalid(path, parts.fragment, f"fragments are not permitted in the URL{form}")
    if parts.query:
        yield Cause.invalid(path, parts.query, f"query parameters are not permitted in the URL{form}")


def rule_causes(rule: Obj, path: str) -> Iterator[Cause]:
    """What is wrong with a rule of a webhook or a policy."""
    for key in ("operations", "apiGroups", "apiVersions", "resources"):
        values = rule.get(key) or ()
        if not values:
            yield Cause.required(f"{path}.{key}")
        if len(values) > 1 and "*" in values and key != "resources":
            yield Cause.invalid(
                f"{path}.{key}", list(values), "if '*' is present, must not specify other " + _SAID[key]
            )
    for at, operation in enumerate(rule.get("operations") or ()):
        yield from rules.one_of(operation, _OPERATIONS, f"{path}.operations[{at}]")
    yield from rules.one_of(rule.get("scope"), _SCOPES, f"{path}.scope")


_SAID = {"operations": "operations", "apiGroups": "API groups", "apiVersions": "API versions"}


def condition_causes(conditions: Sequence[Obj], path: str) -> Iterator[Cause]:
    """What is wrong with match conditions: names, and expressions that do not compile."""
    names: set[str] = set()
    for at, one in enumerate(conditions):
        name = one.get("name") or ""
        if not name:
            yield Cause.required(f"{path}[{at}].name")
        elif name in names:
            yield Cause.duplicate(f"{path}[{at}].name", name)
        names.add(name)
        yield from expression_causes(one.get("expression") or "", f"{path}[{at}].expression")


def expression_causes(expression: str, path: str) -> Iterator[Cause]:
    if not expression.strip():
        yield Cause.required(path)
        return
    try:
        compiled(expression)
    except ValueError as error:
        yield Cause.invalid(path, expression, f"compilation failed: {error}")
