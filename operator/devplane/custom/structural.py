"""What makes a schema structural: what a field is, is said once, outside of what only tests values. Pure.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from __future__ import annotations

from collections.abc import Iterator

from devplane.custom.patterns import pattern_error
from devplane.errors import Cause
from devplane.schemas.types import Obj

UNSUPPORTED = ("id", "$schema", "$ref", "additionalItems", "patternProperties", "dependencies", "definitions")
_NAMES = {"$schema": "schema"}
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_ROOT, _ITEM, _FIELD = "at the root", "for specified array items", "for specified object fields"
_EMPTY = ("type", "title", "description", "x-kubernetes-list-map-keys", "x-kubernetes-validations")
_FALSE = ("nullable", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource",
          "x-kubernetes-int-or-string")  # fmt: skip
_UNDEFINED = ("x-kubernetes-list-type", "x-kubernetes-map-type")
_ONLY_NAMES = "must not specify anything other than name and generateName, but metadata is implicitly specified"
_UNPRUNED = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"


def unsupported(schema: Obj) -> str:
    """Why a schema can't be made a structural one at all, or nothing."""
    for name in UNSUPPORTED:
        if schema.get(name):
            return f"OpenAPIV3Schema '{_NAMES.get(name, name)}' is not supported"
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        return "'x-kubernetes-preserve-unknown-fields' must be true or undefined"
    if isinstance(schema.get("items"), list):
        return "OpenAPIV3Schema 'items' must be a schema, but is an array"
    return next((why for _, one in _children(schema) if (why := unsupported(one))), "")


def structural_errors(schema: Obj, path: str) -> list[Cause]:
    return sorted([*_invariants(schema, path, _ROOT), *_complete(schema, schema, path, path)], key=str)


def _children(schema: Obj) -> Iterator[tuple[str, Obj]]:
    for name, one in (schema.get("properties") or {}).items():
        yield f".properties[{name}]", one
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield f".{name}", schema[name]


def _invariants(schema: Obj, path: str, level: str) -> Iterator[Cause]:
    if schema.get("type") == "array" and schema.get("items") is None:
        yield Cause.required(f"{path}.items", "must be specified")
    for step, child in _children(schema):
        yield from _invariants(child, f"{path}{step}", _ITEM if step == ".items" else _FIELD)
    if schema.get("additionalProperties") is not None and level == _ROOT:
        yield Cause.forbidden(f"{path}.additionalProperties", "must not be used at the root")
    yield from _int_or_string(schema, path)
    yield from _tests(schema, path, skips=_is_int_or_string(schema))
    yield from _type(schema, path, level)
    yield from _identity(schema, path, level)


def _int_or_string(schema: Obj, path: str) -> Iterator[Cause]:
    for name in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"):
        if schema.get("x-kubernetes-int-or-string") and schema.get(name):
            words = "must be false if x-kubernetes-int-or-string is true"
            yield Cause.invalid(f"{path}.{name}", schema[name], words)


def _is_int_or_string(schema: Obj) -> str:
    """Which of the two places, where types may be tested for, tests for both."""
    if schema.get("anyOf") == _INT_OR_STRING:
        return "anyOf"
    first: Obj = next(iter(schema.get("allOf") or ()), {})
    return "allOf" if first.get("anyOf") == _INT_OR_STRING else ""


def _type(schema: Obj, path: str, level: str) -> Iterator[Cause]:
    kind, is_embedded = schema.get("type") or "", schema.get("x-kubernetes-embedded-resource")
    is_free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if is_embedded and kind != "object":
        words = "must be object if x-kubernetes-embedded-resource is true"
        yield Cause.invalid(f"{path}.type", kind, words) if kind else Cause.required(f"{path}.type", words)
    elif not kind and not is_free:
        yield Cause.required(f"{path}.type", f"must not be empty {level}")
    if is_embedded and schema.get("additionalProperties") is not None:
        words = "must not be used if x-kubernetes-embedded-resource is set"
        yield Cause.forbidden(f"{path}.additionalProperties", words)
    if is_embedded and not schema.get("x-kubernetes-preserve-unknown-fields") and not schema.get("properties"):
        yield Cause.required(f"{path}.properties", _UNPRUNED)
    if level == _ROOT and kind and kind != "object":
        yield Cause.invalid(f"{path}.type", kind, "must be object at the root")


def _identity(schema: Obj, path: str, level: str) -> Iterator[Cause]:
    """What apiVersion, kind and metadata of an object are is known."""
    if level != _ROOT and not schema.get("x-kubernetes-embedded-resource"):
        return
    properties = schema.get("properties") or {}
    for name, wanted in (("kind", "string"), ("apiVersion", "string"), ("metadata", "object")):
        if name in properties and properties[name].get("type") != wanted:
            where = f"{path}.properties[{name}].type"
            yield Cause.invalid(where, properties[name].get("type") or "", f"must be {wanted}")
    if level == _ROOT and "metadata" in properties and _restricts(properties["metadata"]):
        yield Cause.forbidden(f"{path}.properties[metadata]", _ONLY_NAMES)


def _restricts(metadata: Obj) -> bool:
    fields = set(metadata.get("properties") or ())
    return bool(fields - {"name", "generateName"} or set(metadata) - {"type", "properties", "default"})


def _branches(schema: Obj) -> Iterator[tuple[str, Obj]]:
    for name in ("anyOf", "allOf", "oneOf"):
        for at, one in enumerate(schema.get(name) or ()):
            yield f"{name}[{at}]", one
    if isinstance(schema.get("not"), dict):
        yield "not", schema["not"]


def _tests(schema: Obj, path: str, skips: str = "") -> Iterator[Cause]:
    """anyOf, allOf, oneOf and not; those of integers or strings may say so."""
    for step, branch in _branches(schema):
        if skips == "anyOf" and step.startswith("anyOf"):
            continue
        yield from _test(branch, f"{path}.{step}", skips="anyOf" if skips == "allOf" and step == "allOf[0]" else "")
    if schema.get("pattern") and (why := pattern_error(schema["pattern"])):
        words = f"must be a valid regular expression, but isn't: {why}"
        yield Cause.invalid(f"{path}.pattern", schema["pattern"], words)


def _test(branch: Obj, path: str, skips: str = "") -> Iterator[Cause]:
    yield from _tests(branch, path, skips)
    for step, child in _children(branch):
        if step != ".additionalProperties":
            yield from _test(child, f"{path}{step}")
    for name in _EMPTY:
        if branch.get(name):
            yield Cause.forbidden(f"{path}.{name}", "must be empty to be structural")
    for name in ("additionalProperties", "default", *_UNDEFINED):
        if branch.get(name) is not None:
            yield Cause.forbidden(f"{path}.{name}", "must be undefined to be structural")
    for name in _FALSE:
        if branch.get(name):
            yield Cause.forbidden(f"{path}.{name}", "must be false to be structural")
    if "metadata" in (branch.get("properties") or {}):
        yield Cause.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")


def _complete(branch: Obj, outside: Obj, path: str, where: str) -> Iterator[Cause]:
    """Every field of a root's tests is one of its own too; below the root Kubernetes does not look."""
    for step, one in _branches(branch):
        yield from _declared(one, outside, path, f"{where}.{step}")


def _declared(branch: Obj, outside: Obj, path: str, where: str) -> Iterator[Cause]:
    yield from _complete(branch, outside, path, where)
    for step, child in _children(branch):
        if step == ".additionalProperties":
            continue
        known = dict(_children(outside)).get(step)
        if known is None:
            yield Cause.required(f"{path}{step}", f"because it is defined in {where}{step}")
        else:
            yield from _declared(child, known, f"{path}{step}", f"{where}{step}")
