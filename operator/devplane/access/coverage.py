"""Whether rules of RBAC cover others, and what is missing, as Kubernetes' escalation check compares them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from devplane.errors import go_quote

Obj = dict[str, Any]

_SHOWN = (
    ("APIGroups", "apiGroups"),
    ("Resources", "resources"),
    ("NonResourceURLs", "nonResourceURLs"),
    ("ResourceNames", "resourceNames"),
    ("Verbs", "verbs"),
)


def missing(held: Sequence[Obj], wanted: Iterable[Obj]) -> list[Obj]:
    """The parts of `wanted`, one verb on one thing each, that no rule of `held` covers."""
    return [part for rule in wanted for part in _parts(rule) if not any(_covers(one, part) for one in held)]


def described(rules: Iterable[Obj]) -> list[str]:
    """Each rule as the server prints it, verbs on the same resource together, sorted."""
    return sorted({_text(rule) for rule in _compacted(rules)})


def go_list(texts: Iterable[str]) -> str:
    """A list of strings as Go prints it with %q: ``["a" "b"]``."""
    return f"[{' '.join(go_quote(text) for text in texts)}]"


def _parts(rule: Obj) -> Iterator[Obj]:
    names = rule.get("resourceNames") or ()
    for verb in rule.get("verbs") or ():
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                part = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                yield from ({**part, "resourceNames": [name]} for name in names)
                if not names:
                    yield part
        yield from ({"nonResourceURLs": [url], "verbs": [verb]} for url in rule.get("nonResourceURLs") or ())


def _covers(rule: Obj, part: Obj) -> bool:
    if not _has(rule, "verbs", part["verbs"][0]):
        return False
    if urls := part.get("nonResourceURLs"):
        return any(_covers_url(one, urls[0]) for one in rule.get("nonResourceURLs") or ())
    if not _has(rule, "apiGroups", part["apiGroups"][0]) or not _has_resource(rule, part["resources"][0]):
        return False
    held, names = rule.get("resourceNames"), part.get("resourceNames")
    return not held or (names is not None and names[0] in held)


def _has(rule: Obj, key: str, wanted: str) -> bool:
    values = rule.get(key) or ()
    return "*" in values or wanted in values


def _has_resource(rule: Obj, wanted: str) -> bool:
    _, slash, subresource = wanted.partition("/")
    return _has(rule, "resources", wanted) or (bool(slash) and f"*/{subresource}" in (rule.get("resources") or ()))


def _covers_url(held: str, wanted: str) -> bool:
    return held == wanted or (held.endswith("*") and wanted.startswith(held.rstrip("*")))


def _compacted(rules: Iterable[Obj]) -> list[Obj]:
    """Verbs on the same resource (and name) in one rule."""
    found: dict[tuple[Any, ...], Obj] = {}
    for rule in rules:
        key = tuple((field, tuple(rule.get(field) or ())) for _, field in _SHOWN[:4])
        if rule.get("nonResourceURLs"):
            key = (*key, tuple(rule["verbs"]))
        verbs = found[key]["verbs"] if key in found else []
        found[key] = {**rule, "verbs": [*verbs, *rule["verbs"]]}
    return list(found.values())


def _text(rule: Obj) -> str:
    return f"{{{', '.join(f'{go}:{go_list(rule[field])}' for go, field in _SHOWN if rule.get(field))}}}"
