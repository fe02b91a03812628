"""Discovery documents, plain and aggregated. Pure."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import Any

import orjson

from devplane.resources.registry import Registry, Resource, Subresource

Obj = dict[str, Any]

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

VERSION: Obj = {
    "major": "1",
    "minor": "33",
    "emulationMajor": "1",
    "emulationMinor": "33",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "32",
    "gitVersion": "v1.33.0-embedded",
    "gitCommit": "devplane",
    "gitTreeState": "clean",
    "buildDate": "2026-11-21T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "linux/amd64",
}

V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


def openapi_v2(accept: str) -> tuple[bytes, str]:
    """A document without paths, and its media type.

    Clients that read version 3 fall back to it for a kind that is not served, and read there too that it is not.
    """
    info = {"title": "Kubernetes", "version": VERSION["gitVersion"]}
    if "v2@v1.0+protobuf" not in accept and "v2.v1.0+protobuf" not in accept:
        return orjson.dumps({"swagger": "2.0", "info": info, "paths": {}}), "application/json"
    packed = b"".join(_field(number, text.encode()) for number, text in enumerate(info.values(), 1))
    return _field(1, b"2.0") + _field(2, packed), V2_PROTOBUF


def _field(number: int, value: bytes) -> bytes:
    """Bytes of fewer than 128, as protobuf has them."""
    return bytes([number << 3 | 2, len(value)]) + value


def wants_aggregated(accept: str) -> bool:
    return any("g=apidiscovery.k8s.io" in one and "v=v2;" in f"{one.replace(' ', '')};" for one in accept.split(","))


def versions(address: str) -> Obj:
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def group(name: str, served: list[str]) -> Obj:
    found = [{"groupVersion": f"{name}/{version}", "version": version} for version in served]
    return {"name": name, "versions": found, "preferredVersion": found[0]}


def groups(registry: Registry) -> Obj:
    found = [group(name, served) for name, served in registry.groups()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def one_group(registry: Registry, name: str) -> Obj | None:
    served = dict(registry.groups()).get(name)
    return None if served is None else {"kind": "APIGroup", "apiVersion": "v1", **group(name, served)}


def resources(registry: Registry, group_name: str, version: str) -> Obj | None:
    """The APIResourceList of a group version, or None where it is not served."""
    found = registry.in_version(group_name, version)
    if not found:
        return None
    listed: list[Obj] = []
    for resource in sorted(found, key=lambda one: one.plural):
        listed.append(_listed(resource))
        listed.extend(_listed_subresource(resource, sub) for sub in resource.subresources)
    api_version = {} if group_name == "" else {"apiVersion": "v1"}
    return {"kind": "APIResourceList", **api_version, "groupVersion": found[0].api_version, "resources": listed}


def _listed(resource: Resource) -> Obj:
    entry: Obj = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if "list" in resource.verbs:
        entry["storageVersionHash"] = _hash(resource)
    return entry


def _hash(resource: Resource) -> str:
    group = resource.group if resource.key == resource.name else ""  # events are stored as those of the core group
    name = f"{group}/{resource.version}/{resource.kind}".encode()
    return b64encode(hashlib.sha256(name).digest()[:8]).decode()


def _listed_subresource(resource: Resource, sub: Subresource) -> Obj:
    entry: Obj = {
        "name": f"{resource.plural}/{sub.name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": sub.kind,
        "verbs": list(sub.verbs),
    }
    if sub.group:
        entry |= {"group": sub.group, "version": sub.version}
    return entry


def aggregated(registry: Registry, *, core: bool) -> Obj:
    """All resources at once: of the core group, or of all others."""
    served = [("", ["v1"])] if core else registry.groups()
    items = [_aggregated_group(registry, name, found) for name, found in served]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregated_group(registry: Registry, name: str, served: list[str]) -> Obj:
    metadata: Obj = {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None}
    found = [
        {
            "version": version,
            "resources": [_aggregated(one) for one in sorted(registry.in_version(name, version), key=_plural)],
            "freshness": "Current",
        }
        for version in served
    ]
    return {"metadata": metadata, "versions": found}


def _plural(resource: Resource) -> str:
    return resource.plural


def _aggregated(resource: Resource) -> Obj:
    entry: Obj = {
        "resource": resource.plural,
        "responseKind": _response_kind(resource, resource.group, resource.version, resource.kind),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": _response_kind(resource, sub.group, sub.version, sub.kind),
                "verbs": list(sub.verbs),
            }
            for sub in resource.subresources
        ]
    return entry


def _response_kind(resource: Resource, group_name: str, version: str, kind: str) -> Obj:
    """Built-in kinds of the group itself leave group and version empty, as the server does."""
    if (group_name, version) == (resource.group, resource.version) and not resource.crd:
        group_name = version = ""
    elif not group_name and resource.crd:
        group_name, version = resource.group, resource.version
    return {"group": group_name, "version": version, "kind": kind}
