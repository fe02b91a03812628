"""The in-process client of controllers and the kubelet: the same verbs as over HTTP, without HTTP.

A resource is ``pods``, ``jobs.batch``, ``endpointslices.discovery.k8s.io``; ns is "" for cluster scope.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from devplane import deletion, scale, subresources
from devplane.errors import ApiError
from devplane.events import EventRecorder
from devplane.patches import merge_patch
from devplane.resources import Resource
from devplane.selectors import selector
from devplane.store import Change, copied
from devplane.verbs import Api, Target, Write

Obj = dict[str, Any]


class Client:
    """All synchronous but `watch`. What it returns is a copy: mutate freely. Errors are `ApiError`."""

    def __init__(self, api: Api, *, manager: str = "devplane") -> None:
        self._api = api
        self._manager = manager
        self._events = EventRecorder(self)

    def named(self, manager: str) -> Client:
        """The same client under another field manager, e.g. ``job-controller``."""
        return Client(self._api, manager=manager)

    def resources(self) -> list[str]:
        """Every resource that has stored objects to list, custom ones too."""
        return [one.key for one in self._api.registry.stored() if "list" in one.verbs]

    def is_namespaced(self, resource: str) -> bool:
        return self._resource(resource).namespaced

    def resource_of(self, api_version: str, kind: str) -> str | None:
        """The resource of a kind, e.g. for an owner reference; None where it is not served."""
        found = self._api.registry.of_kind(api_version, kind)
        return None if found is None else found.key

    def get(self, resource: str, ns: str, name: str) -> Obj | None:
        found = self._api.find(self._target(resource, ns, name))
        return None if found is None else copied(found)

    def list(self, resource: str, ns: str | None = None, *, labels: str = "", fields: str = "") -> list[Obj]:
        chosen = selector(resource, labels, fields)
        return [copied(obj) for obj in self._api.list(self._resource(resource), ns, chosen)]

    def create(self, resource: str, ns: str, obj: Obj) -> Obj:
        return copied(self._api.create(self._resource(resource), ns, copied(obj), self._write()))

    def update(self, resource: str, ns: str, obj: Obj) -> Obj:
        target = self._target(resource, ns, obj["metadata"]["name"])
        return copied(self._api.update(target, copied(obj), self._write()))

    def update_status(self, resource: str, ns: str, obj: Obj) -> Obj:
        target = self._target(resource, ns, obj["metadata"]["name"])
        return copied(self._api.update(target, copied(obj), self._write("status")))

    def patch(self, resource: str, ns: str, name: str, patch: Obj, *, subresource: str = "") -> Obj:
        """A merge patch of the object or of ``status``, ``scale`` or (of a namespace) ``finalize``."""
        target = self._target(resource, ns, name)
        if subresource == "scale":
            changed = merge_patch(scale.read(self._api, target), patch)
            return scale.write(self._api, target, changed, self._write())
        if subresource == "finalize":
            changed = merge_patch(copied(self._api.get(target)), patch)
            return copied(subresources.finalize(self._api, target, changed))
        return copied(self._api.patched(target, lambda old, _: merge_patch(old, patch), self._write(subresource)))

    def delete(
        self,
        resource: str,
        ns: str,
        name: str,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
        propagation: str | None = None,
    ) -> None:
        options = deletion.DeleteOptions(grace_seconds=grace_seconds, propagation=propagation, uid=uid)
        deletion.delete(self._api, self._target(resource, ns, name), options)

    async def watch(self, *resources: str) -> AsyncIterator[tuple[str, str, Obj]]:
        """(resource, ADDED | MODIFIED | DELETED, object), existing objects first; ``*`` watches everything.

        The watch begins when the first item is asked for.
        """
        changes: asyncio.Queue[Change] = asyncio.Queue()
        stops = [self._api.store.subscribe(resource, changes.put_nowait) for resource in resources]
        try:
            names = self.resources() if "*" in resources else list(resources)
            existing = [(name, obj) for name in names for obj in self._api.store.items(name)]
            for resource, obj in existing:
                yield resource, "ADDED", copied(obj)
            while True:
                change = await changes.get()
                yield change.resource, change.type, copied(change.object)
        finally:
            for stop in stops:
                stop()

    def event(self, about: Obj, type: str, reason: str, message: str, component: str) -> None:  # noqa: A002
        """Post a core/v1 Event; the same one again raises its count."""
        self._events.post(about, type, reason, message, component)

    def _resource(self, name: str) -> Resource:
        found = self._api.registry.named(name)
        if found is None:
            raise ApiError.no_such_path()
        return found

    def _target(self, resource: str, ns: str, name: str) -> Target:
        found = self._resource(resource)
        return Target(found, ns if found.namespaced else "", name)

    def _write(self, subresource: str = "") -> Write:
        return Write(manager=self._manager, field_validation="Ignore", subresource=subresource)
