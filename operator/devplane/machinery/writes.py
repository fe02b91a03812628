"""Where writes of objects meet admission: after ownership is recorded and before the object is identified."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from devplane.admission.attributes import Attributes
from devplane.machinery.bodies import decoded, isolated, keep_identity
from devplane.machinery.schemas import Schema
from devplane.machinery.strategies import Strategies
from devplane.machinery.targets import Write
from devplane.resources.registry import Resource

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One write on its way into the store; `old` is None for a new object."""

    strategies: Strategies
    schema: Schema
    resource: Resource
    old: Obj | None
    write: Write

    def admitted(self, new: Obj) -> Obj:
        """What admission makes of it: the server's own defaults for a new object, then mutating webhooks."""
        if self.old is None:
            self.strategies.admit(self.resource, new)
        admission = self.write.admission
        if admission is None:
            return new
        if self.old is None:
            new = admission.keep("draft", new)
        return admission.mutated(attributes(self.resource, new, self.old, self.write), self._settled)

    def _settled(self, changed: Obj) -> Obj:
        """What a webhook made of an object, as if a client had sent it."""
        new = decoded(self.resource, changed, self.schema, replace(self.write, field_validation="Ignore"))
        if self.old is not None:
            keep_identity(self.old, new)
            new = isolated(self.resource, self.old, new, self.write)
        self.schema.default(new)
        if self.old is None:
            self.strategies.admit(self.resource, new)
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
