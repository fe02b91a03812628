"""Where writes of objects meet admission: after ownership is recorded and before the object is identified."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from devplane.resources import Resource
from devplane.webhooks.attributes import Attributes

if TYPE_CHECKING:
    from devplane.verbs import Api, Write

Obj = dict[str, Any]


def admitted(api: Api, resource: Resource, new: Obj, old: Obj | None, write: Write) -> Obj:
    """What admission makes of a write: the server's own defaults for a new object, then mutating webhooks."""
    if old is None:
        api.strategies.admit(resource, new)
    if write.admission is None:
        return new
    if old is None:
        new = write.admission.keep("draft", new)
    return write.admission.mutated(
        attributes(resource, new, old, write), lambda changed: _settled(api, resource, changed, old, write)
    )


def _settled(api: Api, resource: Resource, changed: Obj, old: Obj | None, write: Write) -> Obj:
    """What a webhook made of an object, as if a client had sent it."""
    schema = api.schemas.of(resource)
    new = api.decoded(resource, changed, schema, replace(write, field_validation="Ignore"))
    if old is not None:
        api.keep_identity(old, new)
        new = api.isolated(resource, old, new, write)
    schema.default(new)
    if old is None:
        api.strategies.admit(resource, new)
    return new


def attributes(resource: Resource, new: Obj, old: Obj | None, write: Write) -> Attributes:
    """A write as admission is told of it."""
    metadata = new["metadata"]
    name = metadata.get("name", "")
    return Attributes(
        operation="CREATE" if old is None else "UPDATE",
        resource=resource,
        namespace=name if resource.key == "namespaces" else metadata.get("namespace", ""),
        name=name,
        object=new,
        old=old,
        user=write.user,
        subresource=write.subresource,
        dry_run=write.dry_run,
        options=options("CreateOptions" if old is None else "UpdateOptions", write),
    )


def options(kind: str, write: Write) -> Obj:
    """The CreateOptions or UpdateOptions that admission is shown."""
    dry_run = {"dryRun": ["All"]} if write.dry_run else {}
    asked = {"fieldManager": write.manager, "fieldValidation": write.field_validation}
    return {"kind": kind, "apiVersion": "meta.k8s.io/v1", **dry_run, **asked}
