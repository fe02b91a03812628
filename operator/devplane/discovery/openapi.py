"""OpenAPI v3 documents, one for each group version: what kubectl reads to validate, apply and explain."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import orjson

from devplane.resources.registry import Registry, Resource

Obj = dict[str, Any]

_METHODS = {
    "list": ("get", "list"),
    "create": ("post", "post"),
    "deletecollection": ("delete", "deletecollection"),
    "get": ("get", "get"),
    "update": ("put", "put"),
    "patch": ("patch", "patch"),
    "delete": ("delete", "delete"),
}
_OF_COLLECTION = ("list", "create", "deletecollection")
_OF_OBJECT = ("get", "update", "patch", "delete")


class OpenApi:
    """Documents are built when first asked for and kept until the registry changes. `crd` gives a CRD by name."""

    def __init__(self, registry: Registry, crd: Callable[[str], Obj | None]) -> None:
        self._registry = registry
        self._crd = crd
        self._revision = -1
        self._documents: dict[str, bytes] = {}

    def index(self) -> Obj:
        """The paths of all documents; a hash changes with what its document says."""
        return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={self._hash(path)}"}
                          for path in self._paths()}}  # fmt: skip

    def _paths(self) -> list[str]:
        served = [(name, version) for name, versions in self._registry.groups() for version in versions]
        return ["api/v1", *(f"apis/{name}/{version}" for name, version in served)]

    def _hash(self, path: str) -> str:
        """Cheap: of the names of resources and the resourceVersions of their CRDs, not of the document."""
        said = [(one.kind, one.plural, self._crd_version(one)) for one in self._resources(path)]
        return hashlib.sha256(orjson.dumps([path, said])).hexdigest().upper()

    def _crd_version(self, resource: Resource) -> str:
        crd = self._crd(resource.crd) if resource.crd else None
        version: str = crd["metadata"]["resourceVersion"] if crd else ""
        return version

    def _resources(self, path: str) -> list[Resource]:
        group, _, version = path.removeprefix("apis/").rpartition("/") if path.startswith("apis/") else ("", "", "v1")
        return self._registry.in_version(group, version)

    def document(self, path: str) -> bytes | None:
        """The encoded document of ``api/v1`` or ``apis/GROUP/VERSION``."""
        if self._revision != self._registry.revision:
            self._documents.clear()
            self._revision = self._registry.revision
        if path not in self._documents:
            resources = self._resources(path)
            if not resources or path not in self._paths():
                return None
            self._documents[path] = orjson.dumps(self._build(path, resources))
        return self._documents[path]

    def _build(self, path: str, resources: list[Resource]) -> Obj:
        paths: Obj = {}
        schemas: Obj = {}
        for resource in resources:
            name, found = self._schema(resource)
            schemas.update(found)
            paths.update(_paths(f"/{path}", resource, name))
        return {
            "openapi": "3.0.0",
            "info": {"title": "devplane", "version": "v1.33.0-embedded"},
            "paths": paths,
            "components": {"schemas": schemas},
        }

    def _schema(self, resource: Resource) -> tuple[str, Obj]:
        """The name of a kind's schema, and it with all that it refers to."""
        if resource.crd:
            return self._custom(resource)
        from devplane.kinds.builtins import builtin

        kind = builtin(resource.api_version, resource.kind)
        if kind is None:
            name = f"{resource.api_version.replace('/', '.')}.{resource.kind}"
            return name, {name: {"type": "object", "x-kubernetes-group-version-kind": [_gvk(resource)]}}
        found = dict(kind.openapi)
        name = next(iter(found))
        found[name] = {**found[name], "x-kubernetes-group-version-kind": [_gvk(resource)]}
        return name, found

    def _custom(self, resource: Resource) -> tuple[str, Obj]:
        crd = self._crd(resource.crd)
        versions = crd["spec"]["versions"] if crd else []
        version: Obj = next((one for one in versions if one["name"] == resource.version), {})
        declared = (version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}
        meta_name, meta = _object_meta()
        properties = {
            "apiVersion": {"type": "string", "description": _API_VERSION_TEXT},
            "kind": {"type": "string", "description": _KIND_TEXT},
            **declared.get("properties", {}),
            "metadata": {
                "description": "Standard object's metadata.",
                "allOf": [{"$ref": f"#/components/schemas/{meta_name}"}],
            },
        }
        schema = {**declared, "properties": properties, "x-kubernetes-group-version-kind": [_gvk(resource)]}
        name = f"{'.'.join(reversed(resource.group.split('.')))}.{resource.version}.{resource.kind}"
        return name, {**meta, name: schema}


_API_VERSION_TEXT = "The version of the schema of this representation of the object."
_KIND_TEXT = "The REST resource that this object represents, in CamelCase."


def _object_meta() -> tuple[str, Obj]:
    from devplane.schemas.definitions import definitions_of

    name = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    return name, definitions_of(name)


def _gvk(resource: Resource) -> Obj:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _paths(prefix: str, resource: Resource, schema: str) -> Obj:
    space = "/namespaces/{namespace}" if resource.namespaced else ""
    collection = f"{prefix}{space}/{resource.plural}"
    found = {collection: _operations(resource, schema, _OF_COLLECTION)}
    if "patch" not in resource.verbs:
        # kubectl looks for fieldValidation on PATCH operations alone; where it finds none it asks for OpenAPI v2.
        found[collection]["patch"] = found[collection]["post"]
        return found
    found[f"{collection}/{{name}}"] = _operations(resource, schema, _OF_OBJECT)
    return found


def _operations(resource: Resource, schema: str, verbs: tuple[str, ...]) -> Obj:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    found: Obj = {}
    for verb in verbs:
        if verb not in resource.verbs:
            continue
        method, action = _METHODS[verb]
        found[method] = {
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": _gvk(resource),
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}},
        }
        if verb in ("create", "update", "patch"):
            found[method]["parameters"] = [_query(name) for name in ("dryRun", "fieldManager", "fieldValidation")]
            found[method]["requestBody"] = {"content": {"application/json": {"schema": reference}}}
    return found


def _query(name: str) -> Obj:
    return {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
