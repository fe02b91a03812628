"""The definitions of the built-in kinds, as `devplane/data` has them: read once, when one is first asked for."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path

from devplane.schemas.types import Obj


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


def field_text(name: str, field: str) -> str:
    """What a definition says of one of its fields."""
    text: str = _descriptions()[name][field]
    return text


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
def names() -> dict[tuple[str, str], str]:
    """Definitions by (apiVersion, kind)."""
    found = {}
    for name, schema in _definitions().items():
        for gvk in schema.get("x-kubernetes-group-version-kind", ())[:1]:
            group_version = f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
            found[group_version, gvk["kind"]] = name
    return found


def _read(name: str) -> Obj:
    packed = (Path(__file__).parents[1] / "data" / name).read_bytes()
    content: Obj = json.loads(gzip.decompress(packed))
    return content
