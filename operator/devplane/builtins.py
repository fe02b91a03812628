"""The kinds that Kubernetes brings along: their types, decoding, defaults, validation and documentation. Pure.

What happens to a request, in the server's order: `decode_errors`, `unknown_fields` (removed, as a typed decoder drops
them), `default`, then metadata is filled, `prepare` (what the kind's strategy sets: a Job's selector, first status),
`validate`. Ownership is tracked between `default` and `prepare`.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path

from devplane import decode
from devplane.errors import Cause
from devplane.types import Obj, TypeNode

Default = Callable[[Obj], None]
Validate = Callable[[Obj, "Obj | None"], list[Cause]]
Prepare = Callable[[Obj, "Obj | None"], None]


class BuiltinKind:
    """One kind in one version; `definition` is its name in the OpenAPI documents."""

    def __init__(self, api_version: str, kind: str, definition: str) -> None:
        self.api_version = api_version
        self.kind = kind
        self.definition = definition

    @cached_property
    def types(self) -> TypeNode:
        return TypeNode({"$ref": self.definition}, definition_types)

    def decode_errors(self, obj: Obj) -> list[str]:
        """JSON of the wrong type, in Go's words; the decoder stops at the first, so at most one."""
        return decode.errors(obj, self.types, self.kind)

    def unknown_fields(self, obj: Obj) -> list[str]:
        """Paths of fields that the kind doesn't have, removed from `obj`."""
        return decode.unknown_fields(obj, self.types)

    def default(self, obj: Obj) -> None:
        """`obj` as the server would read it back: nulls and empty lists gone, structs there, defaults set."""
        from devplane.kinds import DEFAULTS

        decode.normalize(obj, self.types)
        if set_defaults := DEFAULTS.get((self.api_version, self.kind)):
            set_defaults(obj)

    def prepare(self, new: Obj, old: Obj | None) -> None:
        """What the server sets by itself before it validates. `new` has its uid; `old` is None on create."""
        from devplane.kinds import PREPARES

        if prepared := PREPARES.get((self.api_version, self.kind)):
            prepared(new, old)

    def validate(self, new: Obj, old: Obj | None) -> list[Cause]:
        from devplane.kinds import NAMES, VALIDATES, metadata

        found = metadata.validate(new, old, NAMES.get((self.api_version, self.kind), metadata.subdomain))
        if validated := VALIDATES.get((self.api_version, self.kind)):
            found += validated(new, old)
        return found

    @property
    def openapi(self) -> Obj:
        """The definitions that this kind is made of, with descriptions, by name; the kind's own comes first.

        References are ``#/components/schemas/NAME``, as an OpenAPI v3 document has them.
        """
        return definitions_of(self.definition)


def builtin(api_version: str, kind: str) -> BuiltinKind | None:
    """The built-in kind, e.g. ``batch/v1``, ``Job``; None for what is not built in."""
    definition = _names().get((api_version, kind))
    return None if definition is None else _builtin(api_version, kind, definition)


@cache
def _builtin(api_version: str, kind: str, definition: str) -> BuiltinKind:
    return BuiltinKind(api_version, kind, definition)


def definition_types(name: str) -> Obj:
    """A definition without descriptions, as `TypeNode` resolves it."""
    found: Obj = _definitions()[name]
    return found


@cache
def definitions_of(root: str) -> Obj:
    """`root` and everything it refers to, as OpenAPI v3 schemas with descriptions."""
    found: Obj = {}
    waiting = [root]
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = _described(name, waiting)
    return found


def _described(name: str, referred: list[str]) -> Obj:
    texts = _descriptions().get(name, {})
    schema = _openapi(definition_types(name), referred)
    for field, one in schema.get("properties", {}).items():
        if field in texts:
            one["description"] = texts[field]
    return {"description": texts[""], **schema} if "" in texts else schema


def _openapi(schema: Obj, referred: list[str]) -> Obj:
    if "$ref" in schema:
        referred.append(schema["$ref"])
        return {"allOf": [{"$ref": f"#/components/schemas/{schema['$ref']}"}]}
    public: Obj = {key: value for key, value in schema.items() if key != "x-go-zero"}
    if "properties" in schema:
        public["properties"] = {name: _openapi(one, referred) for name, one in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            inner = _openapi(schema[key], referred)
            public[key] = inner["allOf"][0] if "allOf" in inner else inner
    return public


@cache
def _definitions() -> Obj:
    return _read("types.json.gz")


@cache
def _descriptions() -> Obj:
    return _read("descriptions.json.gz")


@cache
def _names() -> dict[tuple[str, str], str]:
    names = {}
    for name, schema in _definitions().items():
        for gvk in schema.get("x-kubernetes-group-version-kind", ())[:1]:
            group_version = f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
            names[group_version, gvk["kind"]] = name
    return names


def _read(name: str) -> Obj:
    packed = (Path(__file__).parent / "data" / name).read_bytes()
    content: Obj = json.loads(gzip.decompress(packed))
    return content
