"""The verbs on stored objects: read, create, update, patch. HTTP and the in-process client both end here.

Everything is synchronous: one request is decided and stored before the next one is looked at.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any

from devplane.access.tokens import User
from devplane.clock import Clock
from devplane.errors import ApiError, Cause
from devplane.machinery.bodies import (
    check_name,
    check_unchanged,
    check_versioned,
    decoded,
    forget_identity,
    is_released,
    isolated,
    keep_identity,
    patched,
    place,
    same,
)
from devplane.machinery.schemas import Schema, Schemas
from devplane.machinery.strategies import Strategies
from devplane.machinery.targets import CRDS, Target, Write
from devplane.machinery.writes import Entry, attributes
from devplane.resources import metadata as meta
from devplane.resources.conversion import to_storage, to_version
from devplane.resources.registry import Registry, Resource
from devplane.storage.selectors import Selector
from devplane.storage.store import Store, copied

Obj = dict[str, Any]

SERVICE_NETWORK = IPv4Network("10.96.0.0/16")

Guard = Callable[[Resource, Obj, Obj | None, User], None]
"""Refuses a write that its user may not make although the verb is allowed: (resource, new, old or None, user)."""


class Api:
    """`clock` gives aware UTC times, cluster IPs are of `service_network`.

    `removed` is called with (resource, last object) after an object is gone; `guards` are by resource.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        *,
        clock: Clock | None = None,
        service_network: IPv4Network = SERVICE_NETWORK,
    ) -> None:
        self.store = store
        self.registry = registry
        self.clock = clock or Clock()
        self.schemas = Schemas(lambda name: store.get(CRDS, "", name))
        self.strategies = Strategies(store, service_network)
        self.written: list[Callable[[Resource, Obj], None]] = []
        self.removed: list[Callable[[Resource, Obj], None]] = []
        self.guards: dict[str, Guard] = {}

    def now(self) -> str:
        return meta.timestamp(self.clock())

    def storage(self, resource: Resource) -> Resource:
        """`resource` in the version in which it is stored."""
        return self.registry.named(resource.key) or resource

    def find(self, target: Target) -> Obj | None:
        """The stored object as the target's version shows it; shared, so never change it."""
        found = self.store.get(target.resource.key, target.namespace, target.name)
        return None if found is None else self.shown(found, target.resource)

    def shown(self, obj: Obj, resource: Resource) -> Obj:
        """A stored object in the version of `resource`: of a custom one, with that version's fields alone."""
        if obj["apiVersion"] == resource.api_version or not resource.crd:
            return to_version(obj, resource)
        found = copied(to_version(obj, resource))
        self.schemas.of(resource).prune(found)
        return found

    def _kept(self, new: Obj, resource: Resource) -> Obj:
        """An object as it is stored: of a custom resource, with the fields and defaults of the storage version."""
        storage = self.storage(resource)
        kept = to_storage(new, resource, storage)
        if resource.crd and kept is not new:
            kept, schema = copied(kept), self.schemas.of(storage)
            schema.prune(kept)
            schema.default(kept)
        return kept

    def get(self, target: Target) -> Obj:
        found = self.find(target)
        if found is None:
            raise ApiError.not_found(target.resource.name, target.name)
        return found

    def list(self, resource: Resource, namespace: str | None, selector: Selector) -> list[Obj]:
        """Shared objects, sorted by namespace and name; `namespace` None means all."""
        if namespace is not None and (name := selector.name):
            one = self.store.get(resource.key, namespace, name)
            stored = [] if one is None else [one]
        else:
            stored = self.store.items(resource.key, namespace)
        if not selector.everything:
            stored = [obj for obj in stored if selector.matches(obj)]
        return [self.shown(obj, resource) for obj in stored]

    def create(self, resource: Resource, namespace: str, body: Obj, write: Write) -> Obj:
        """Store a new object; `body` is taken over and may be changed."""
        schema = self.schemas.of(resource)
        new = decoded(resource, body, schema, write)
        place(resource, namespace, new)
        self.check_namespace(resource, namespace, new["metadata"].get("name", ""))
        forget_identity(new)
        self._forget_status(resource, new)
        schema.default(new)
        self.track(None, new, schema, write)
        return self.insert(resource, new, schema, write)

    def posted(self, resource: Resource, namespace: str, body: Obj, write: Write) -> Obj:
        """What is answered and not stored (a review, a TokenRequest): decoded, placed, owned."""
        schema = self.schemas.of(resource)
        new = decoded(resource, body, schema, write)
        if resource.namespaced:
            place(resource, namespace, new)
        else:
            new["metadata"].pop("namespace", None)
        schema.default(new)
        self.track(None, new, schema, write)
        return new

    def insert(self, resource: Resource, new: Obj, schema: Schema, write: Write) -> Obj:
        """The end of a create, shared with apply: admit, identify, prepare, validate, store."""
        new = Entry(self.strategies, schema, resource, None, write).admitted(new)
        self._identify(resource, new)
        self.guard(resource, new, None, write)
        self.strategies.prepare(resource, new, None, schema, is_tried=write.dry_run)
        self.validate(resource, new, None, schema)
        write.warnings.extend(schema.warnings(new, None))
        if write.admission is not None:
            new = write.admission.keep("complete", new)
            write.admission.validate(attributes(resource, new, None, write))
        self.strategies.check_quotas(resource, new)
        space, name = new["metadata"].get("namespace", ""), new["metadata"]["name"]
        if (there := self.store.get(resource.key, space, name)) is not None:
            raise ApiError.already_exists(resource.name, name, ends=bool(there["metadata"].get("deletionTimestamp")))
        if write.dry_run:
            return new
        return self.commit(resource, new)

    def commit(self, resource: Resource, new: Obj) -> Obj:
        """Store, tell who waits for it, and answer in the version of `resource`."""
        stored = self.store.put(resource.key, self._kept(new, resource))
        for listener in self.written:
            listener(resource, stored)
        return self.shown(stored, resource)

    def check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        """New content needs a namespace that exists and is not going away."""
        if not resource.namespaced:
            return
        found = self.store.get("namespaces", "", namespace)
        if found is None:
            raise ApiError.not_found("namespaces", namespace)
        if found["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = Cause("NamespaceTerminating", f"namespace {namespace} is being terminated", "metadata.namespace")
            raise ApiError.forbidden(resource.name, name, why, [cause])

    def _identify(self, resource: Resource, new: Obj) -> None:
        """Name, uid and time of a new object."""
        metadata = new["metadata"]
        if not metadata.get("name"):
            metadata.pop("name", None)
            if not metadata.get("generateName"):
                cause = Cause.required("metadata.name", "name or generateName is required")
                raise ApiError.invalid(resource.kind_name, "", [cause])
            metadata["name"] = self._free_name(resource, metadata)
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = self.now()
        if meta.has_generation(resource):
            metadata["generation"] = 1

    def _free_name(self, resource: Resource, metadata: Obj) -> str:
        while True:
            name = meta.generated_name(metadata["generateName"])
            if self.store.get(resource.key, metadata.get("namespace", ""), name) is None:
                return name

    def _forget_status(self, resource: Resource, new: Obj) -> None:
        if resource.has_status and not self.strategies.keeps_status(resource):
            new.pop("status", None)

    def track(self, old: Obj | None, new: Obj, schema: Schema, write: Write) -> None:
        if schema.types is not None:
            from devplane.patches.apply import track

            owner = write.through or write.subresource
            track(old, new, manager=write.manager, types=schema.types, subresource=owner, now=self.now())

    def create_applied(self, resource: Resource, namespace: str, new: Obj, write: Write) -> Obj:
        """An apply that found nothing: a create whose ownership is recorded already."""
        schema = self.schemas.of(resource)
        place(resource, namespace, new)
        self.check_namespace(resource, namespace, new["metadata"]["name"])
        owned = new["metadata"].get("managedFields")
        forget_identity(new)
        if owned:
            new["metadata"]["managedFields"] = owned
        self._forget_status(resource, new)
        schema.default(new)
        return self.insert(resource, new, schema, write)

    def replace_applied(self, target: Target, live: Obj, new: Obj, write: Write) -> Obj:
        """An apply that changes an object; ownership is recorded already."""
        schema = self.schemas.of(target.resource)
        keep_identity(live, new)
        new = isolated(target.resource, live, new, write)
        schema.default(new)
        return self.finish(target, live, new, write)

    def guard(self, resource: Resource, new: Obj, old: Obj | None, write: Write) -> None:
        if guard := self.guards.get(resource.key):
            guard(resource, new, old, write.user)

    def validate(self, resource: Resource, new: Obj, old: Obj | None, schema: Schema) -> None:
        causes = schema.validate(new, old)
        if causes:
            raise ApiError.invalid(resource.kind_name, new["metadata"].get("name", ""), causes)

    def update(self, target: Target, body: Obj, write: Write) -> Obj:
        """PUT: replace an object, or one of its isolated halves (`write.subresource` is "" or "status")."""
        resource = target.resource
        old = self.get(target)
        schema = self.schemas.of(resource)
        new = decoded(resource, body, schema, write)
        place(resource, target.namespace, new)
        check_name(target, new)
        check_versioned(target, new)
        return self.replace(target, old, new, write)

    def replace(self, target: Target, old: Obj, new: Obj, write: Write) -> Obj:
        """The end of every change: `new` is decoded; conflicts, isolation, defaults, ownership, validation, storage."""
        resource, schema = target.resource, self.schemas.of(target.resource)
        check_unchanged(target, old, new)
        keep_identity(old, new)
        new = isolated(resource, old, new, write)
        schema.default(new)
        self.track(old, new, schema, write)
        return self.finish(target, old, new, write)

    def finish(self, target: Target, old: Obj, new: Obj, write: Write) -> Obj:
        """Prepare, validate and store a change whose ownership is recorded."""
        resource, schema = target.resource, self.schemas.of(target.resource)
        new = Entry(self.strategies, schema, resource, old, write).admitted(new)
        self.guard(resource, new, old, write)
        if not write.subresource:
            self.strategies.prepare(resource, new, old, schema, is_tried=write.dry_run)
            self._count_generation(resource, old, new)
        self.validate(resource, new, old, schema)
        if not write.subresource:
            self.strategies.admit_change(resource, new, old)
            write.warnings.extend(schema.warnings(new, old))
        if write.admission is not None:
            write.admission.validate(attributes(resource, new, old, write))
        if same(old, new):
            return old
        if write.dry_run:
            return new
        return self.commit_change(target, new)

    def commit_change(self, target: Target, new: Obj) -> Obj:
        """Store a change, or remove the object when the change lets go of the last thing that held it."""
        if is_released(target.resource, new):
            return self.drop(target, new, is_told=False)
        return self.commit(target.resource, new)

    def drop(self, target: Target, last: Obj, *, is_told: bool = True) -> Obj:
        """Take an object out of the store; `last` is what the caller is answered, and watchers where they are told.

        Others hear of the state before: the update that lets go of a finalizer is never stored."""
        stored = self._kept(last, target.resource) if is_told else None
        gone = self.store.remove(target.resource.key, target.namespace, target.name, stored)
        for listener in self.removed:
            listener(target.resource, gone)
        return last

    def _count_generation(self, resource: Resource, old: Obj, new: Obj) -> None:
        if "generation" in old["metadata"] and meta.desired_state(old, resource) != meta.desired_state(new, resource):
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1

    def patched(self, target: Target, change: Callable[[Obj, Schema], Obj], write: Write) -> Obj:
        """Apply `change` to a copy of the object and store it as an update."""
        old = self.get(target)
        schema = self.schemas.of(target.resource)
        draft = change(copied(old), schema)
        new = patched(target.resource, draft, schema, write)
        check_name(target, new)
        place(target.resource, target.namespace, new)
        uid = new["metadata"].get("uid") or old["metadata"]["uid"]
        if uid != old["metadata"]["uid"]:
            cause = Cause.invalid("metadata.uid", uid, "field is immutable")
            raise ApiError.invalid(target.resource.kind_name, target.name, [cause])
        return self.replace(target, old, new, write)
