"""Names, labels and the rest of ObjectMeta: what may be written, in the server's words. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from devplane.errors import Cause, go_quote
from devplane.schemas.types import Obj

NameRule = Callable[[str], list[str]]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_SEARCH_LABEL = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SEARCH = rf"{_SEARCH_LABEL}(\.{_SEARCH_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_NAME})?"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"

SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    f"'{_SUBDOMAIN}')"
)
SEARCH_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    f"'{_SEARCH}')"
)
LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
LABEL_1035_WORDS = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    f"'{_LABEL_1035}')"
)
NAME_WORDS = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    f"'{_NAME}')"
)
TWO_SLASHES = (
    "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    f"'{_NAME}') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
)
VALUE_WORDS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{_VALUE}')"
)
CONFIG_KEY_WORDS = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    f"or 'key-name', regex used for validation is '{_CONFIG_KEY}')"
)
ANNOTATIONS_LIMIT = 256 * 1024


def _too_long(limit: int) -> str:
    return f"must be no more than {limit} characters"


def _checked(text: str, limit: int, pattern: str, words: str) -> list[str]:
    long = [_too_long(limit)] if len(text) > limit else []
    return long if re.fullmatch(pattern, text, re.ASCII) else [*long, words]


def subdomain(name: str) -> list[str]:
    """The rule for most names."""
    return _checked(name, 253, _SUBDOMAIN, SUBDOMAIN_WORDS)


def label(name: str) -> list[str]:
    """The rule for namespaces, containers and volumes."""
    words = "must not contain dots" if "." in name and not subdomain(name) else LABEL_WORDS
    return _checked(name, 63, _LABEL, words)


def search_domain(name: str) -> list[str]:
    """The rule for search domains of the resolver: underscores too."""
    return _checked(name, 253, _SEARCH, SEARCH_WORDS)


def label_1035(name: str) -> list[str]:
    """The rule for services."""
    return _checked(name, 63, _LABEL_1035, LABEL_1035_WORDS)


def path_segment(name: str) -> list[str]:
    """The rule for roles and bindings: whatever may stand in a path."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{stray}'" for stray in ("/", "%") if stray in name]


def config_key(name: str) -> list[str]:
    """The rule for the keys of ConfigMaps and Secrets."""
    if name in (".", ".."):
        return [f"must not be '{name}'"]
    found = _checked(name, 253, _CONFIG_KEY, CONFIG_KEY_WORDS)
    return found if not name.startswith("..") else [*found, "must not start with '..'"]


def qualified_name(name: str) -> list[str]:
    """The rule for label keys, annotation keys, finalizers and resource names."""
    if name.count("/") > 1:
        return [TWO_SLASHES]
    prefix, slash, short = name.rpartition("/")
    found = []
    if slash and not prefix:
        found = ["prefix part must be non-empty"]
    elif slash:
        found = [f"prefix part {problem}" for problem in subdomain(prefix)]
    if not short:
        return [*found, "name part must be non-empty", NAME_WORDS]
    long = [f"name part {_too_long(63)}"] if len(short) > 63 else []
    return [*found, *long] if re.fullmatch(_NAME, short, re.ASCII) else [*found, *long, NAME_WORDS]


def label_key(key: str, path: str) -> Iterator[Cause]:
    """The key of a label where it stands alone."""
    return (Cause.invalid(path, key, problem) for problem in qualified_name(key))


def label_value(value: str) -> list[str]:
    return _checked(value, 63, _VALUE, VALUE_WORDS)


def validate(new: Obj, old: Obj | None, name_rule: NameRule) -> list[Cause]:
    """Causes in an object's metadata; on update also what may not change."""
    meta: Obj = new.get("metadata") or {}
    found = [*_names(meta, name_rule), *labels(meta.get("labels"), "metadata.labels")]
    found += annotated(meta.get("annotations"), "metadata.annotations")
    found += [*_owners(meta), *_finalizers(meta)]
    if old is None:
        return found
    # A server looks at these twice, in general and for the kind, and lists each cause twice.
    changed = list(_unchanged(meta, old.get("metadata") or {}))
    return [*changed, *found, *changed]


def _names(meta: Obj, rule: NameRule) -> Iterator[Cause]:
    generated = meta.get("generateName")
    if generated:
        stem = generated.rstrip("-") + ("a" if generated.endswith("-") else "")
        yield from (Cause.invalid("metadata.generateName", generated, problem) for problem in rule(stem))
    name = meta.get("name")
    if not name:
        yield Cause.required("metadata.name", "name or generateName is required")
        return
    yield from (Cause.invalid("metadata.name", name, problem) for problem in rule(name))


def labels(found: Any, path: str) -> list[Cause]:
    causes = []
    for key, value in (found or {}).items():
        causes += [Cause.invalid(path, key, problem) for problem in qualified_name(key)]
        causes += [Cause.invalid(path, value, problem) for problem in label_value(value)]
    return causes


def annotated(found: Any, path: str) -> list[Cause]:
    causes = []
    for key in found or {}:
        causes += [Cause.invalid(path, key, problem) for problem in qualified_name(key.lower())]
    if sum(len(key.encode()) + len(value.encode()) for key, value in (found or {}).items()) > ANNOTATIONS_LIMIT:
        message = f"Too long: may not be more than {ANNOTATIONS_LIMIT} bytes"
        causes.append(Cause("FieldValueTooLong", message, path))
    return causes


def _owners(meta: Obj) -> Iterator[Cause]:
    owners = meta.get("ownerReferences") or ()
    for owner in owners:
        for key in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(key):
                yield Cause.invalid(f"metadata.ownerReferences.{key}", "", _EMPTY_OWNER[key])
        yield from _owner(owner)
    controllers = [owner for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        first, second = (f"{one.get('kind')}/{one.get('name')}" for one in controllers[:2])
        detail = (
            f'Only one reference can have Controller set to true. Found "true" in references for {first} and {second}'
        )
        yield Cause("FieldValueInvalid", f"Invalid value: {go_owners(owners)}: {detail}", "metadata.ownerReferences")


def _owner(owner: Obj) -> Iterator[Cause]:
    api_version, kind = owner.get("apiVersion") or "", owner.get("kind")
    if api_version.count("/") > 1:
        yield Cause.invalid("metadata.ownerReferences.apiVersion", api_version, "version must not be empty")
    elif kind == "Event" and api_version in ("v1", "events.k8s.io/v1"):
        group, _, version = api_version.rpartition("/")
        detail = f"{group}/{version}, Kind={kind} is disallowed from being an owner"
        shown = f"Invalid value: {_go_owner(owner)}: {detail}"
        yield Cause("FieldValueInvalid", shown, "metadata.ownerReferences")


_EMPTY_OWNER = {
    "apiVersion": "version must not be empty",
    "kind": "must not be empty",
    "name": "must not be empty",
    "uid": "must not be empty",
}


def go_owners(owners: Any) -> str:
    """Owner references as a field error prints them."""
    return f"[]v1.OwnerReference{{{', '.join(_go_owner(owner) for owner in owners)}}}"


def _go_owner(owner: Obj) -> str:
    fields = (("APIVersion", "apiVersion"), ("Kind", "kind"), ("Name", "name"), ("UID", "uid"))
    shown = ", ".join(f"{go}:{go_quote(str(owner.get(key, '')))}" for go, key in fields)
    return f"v1.OwnerReference{{{shown}, Controller:(*bool)(nil), BlockOwnerDeletion:(*bool)(nil)}}"


def _finalizers(meta: Obj) -> Iterator[Cause]:
    found = meta.get("finalizers") or ()
    for name in found:
        yield from (Cause.invalid("metadata.finalizers", name, problem) for problem in qualified_name(name))
    if {"orphan", "foregroundDeletion"} <= set(found):
        shown = f"[]string{{{', '.join(go_quote(name) for name in found)}}}"
        detail = "finalizer orphan and foregroundDeletion cannot be both set"
        yield Cause("FieldValueInvalid", f"Invalid value: {shown}: {detail}", "metadata.finalizers")


def standard_finalizers(meta: Obj) -> Iterator[Cause]:
    """Of a built-in kind: Kubernetes' own finalizers, or names with a domain."""
    for at, name in enumerate(meta.get("finalizers") or ()):
        if "/" not in name and name not in ("orphan", "foregroundDeletion", "kubernetes"):
            detail = "name is neither a standard finalizer name nor is it fully qualified"
            yield Cause.invalid(f"metadata.finalizers[{at}]", name, detail)


def _unchanged(meta: Obj, old: Obj) -> Iterator[Cause]:
    for field in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if meta.get(field) != old.get(field):
            yield Cause.invalid(f"metadata.{field}", meta.get(field), "field is immutable")
    if old.get("deletionTimestamp"):
        added = [name for name in meta.get("finalizers") or () if name not in (old.get("finalizers") or ())]
        if added:
            shown = f"[]string{{{', '.join(go_quote(name) for name in added)}}}"
            detail = f"no new finalizers can be added if the object is being deleted, found new finalizers {shown}"
            yield Cause.forbidden("metadata.finalizers", detail)
