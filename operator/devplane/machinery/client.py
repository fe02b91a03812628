"""The in-process client of controllers and the kubelet: the same verbs as over HTTP, without HTTP.

A resource is ``pods``, ``jobs.batch``, ``endpointslices.discovery.k8s.io``; ns is "" for cluster scope.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from devplane.access.tokens import User
from devplane.errors import ApiError
from devplane.machinery import deletion, scale, subresources
from devplane.machinery.events import EventRecorder
from devplane.machinery.targets import Target, Write
from devplane.machinery.verbs import Api
from devplane.patches.plain import merge_patch
from devplane.resources.conversion import to_version
from devplane.resources.registry import Resource
from devplane.storage.selectors import selector
from devplane.storage.store import Change, copied

if TYPE_CHECKING:
    from devplane.admission.attempts import Webhooks

Obj = dict[str, Any]

MANAGER = User("system:kube-controller-manager", groups=("system:authenticated",))
"""Who controllers are for admission."""


class Client:
    """All synchronous but `watch`. What it returns is a copy: mutate freely. Errors are `ApiError`."""

    def __init__(self, api: Api, *, manager: str = "devplane", webhooks: Webhooks | None = None) -> None:
        self._api = api
        self._manager = manager
        self._webhooks = webhooks
        self._events = EventRecorder(Client(api, manager=manager) if webhooks else self)

    def named(self, manager: str) -> Client:
        """The same client under another field manager, e.g. ``kube-scheduler``."""
        return Client(self._api, manager=manager)

    def admitted(self, manager: str, webhooks: Webhooks) -> Client:
        """A client whose writes admission webhooks are asked about; they raise `AdmissionPendingError` for a while."""
        return Client(self._api, manager=manager, webhooks=webhooks)

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

    def controlled(self, resource: str, ns: str, kind: str, owner: str) -> list[Obj]:
        """Those whose controlling owner has this kind and name, whatever its uid."""
        found = self._resource(resource)
        return [copied(to_version(obj, found)) for obj in self._api.store.controlled(resource, ns, kind, owner)]

    def uncontrolled(self, resource: str, ns: str, where: Callable[[Obj], bool]) -> list[Obj]:
        """Those without a controlling owner; `where` is as in `list`."""
        found = self._resource(resource)
        stored = (to_version(obj, found) for obj in self._api.store.uncontrolled(resource, ns))
        return [copied(obj) for obj in stored if where(obj)]

    def list(
        self,
        resource: str,
        ns: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        where: Callable[[Obj], bool] | None = None,
    ) -> list[Obj]:
        """`where` is shown the stored objects themselves, and must not change them: what it refuses is not copied."""
        found = self._api.list(self._resource(resource), ns, selector(resource, labels, fields))
        return [copied(obj) for obj in found if where is None or where(obj)]

    def create(self, resource: str, ns: str, obj: Obj) -> Obj:
        found = self._resource(resource)
        return self._done(("create", resource, ns, obj), lambda how: self._api.create(found, ns, copied(obj), how))

    def update(self, resource: str, ns: str, obj: Obj) -> Obj:
        return self._update(resource, ns, obj, "")

    def update_status(self, resource: str, ns: str, obj: Obj) -> Obj:
        return self._update(resource, ns, obj, "status")

    def _update(self, resource: str, ns: str, obj: Obj, subresource: str) -> Obj:
        target = self._target(resource, ns, obj["metadata"]["name"])
        what = ("update", resource, ns, obj)
        return self._done(what, lambda how: self._api.update(target, copied(obj), how), subresource)

    def patch(self, resource: str, ns: str, name: str, patch: Obj, *, subresource: str = "") -> Obj:
        """A merge patch of the object or of ``status``, ``scale`` or (of a namespace) ``finalize``."""
        target = self._target(resource, ns, name)
        if subresource == "scale":
            changed = merge_patch(scale.read(self._api, target), patch)
            return scale.write(self._api, target, changed, self._write())
        if subresource == "finalize":
            changed = merge_patch(copied(self._api.get(target)), patch)
            return copied(subresources.finalize(self._api, target, changed))
        what = ("patch", resource, ns, name, patch)
        return self._done(
            what, lambda how: self._api.patched(target, lambda old, _: merge_patch(old, patch), how), subresource
        )

    def _done(self, what: tuple[Any, ...], write: Callable[[Write], Obj], subresource: str = "") -> Obj:
        how = self._write(subresource)
        if self._webhooks is None or not self._webhooks.exist:
            return copied(write(how))
        key = orjson.dumps([self._manager, subresource, *what])
        return copied(self._webhooks.soon(key, lambda session: write(replace(how, user=MANAGER, admission=session))))

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
        target = self._target(resource, ns, name)
        if self._webhooks is None or not self._webhooks.exist:
            deletion.delete(self._api, target, options)
            return
        key = orjson.dumps([self._manager, "delete", resource, ns, name, uid])
        self._webhooks.soon(
            key,
            lambda session: deletion.delete(self._api, target, replace(options, user=MANAGER, admission=session)),
        )

    async def watch(self, *resources: str) -> AsyncIterator[tuple[str, str, Obj]]:
        """(resource, ADDED | MODIFIED | DELETED, object), existing objects first; ``*`` watches everything.

        The watch begins when the first item is asked for.
        """
        async for resource, type_, obj in self.glance(*resources):
            yield resource, type_, copied(obj)

    async def glance(self, *resources: str) -> AsyncIterator[tuple[str, str, Obj]]:
        """As `watch`, with the stored objects themselves: for who only reads, and at once."""
        changes: asyncio.Queue[Change] = asyncio.Queue()
        stops = [self._api.store.subscribe(resource, changes.put_nowait) for resource in resources]
        try:
            names = self.resources() if "*" in resources else list(resources)
            existing = [(name, obj) for name in names for obj in self._api.store.items(name)]
            for resource, obj in existing:
                yield resource, "ADDED", obj
            while True:
                change = await changes.get()
                yield change.resource, change.type, change.object
        finally:
            for stop in stops:
                stop()

    def now(self) -> datetime:
        """By the server's clock, which a fault may shift."""
        return self._api.clock()

    def event(self, about: Obj, type: str, reason: str, message: str, component: str) -> None:  # noqa: A002
        """Post a core/v1 Event; the same one again raises its count."""
        self._events.post(about, type, reason, message, component)

    def note(self, about: Obj, type: str, reason: str, message: str, component: str, action: str) -> None:  # noqa: A002
        """Post an Event of the newer form, with an action and without a count."""
        self._events.note(about, type, reason, message, component, action)

    def bind(self, ns: str, pod: str, node: str) -> None:
        """Assign a pod to a node, which says so in its status at once."""
        target = self._target("pods", ns, pod)
        subresources.bind(self._api, target, {"target": {"name": node}}, self._write())

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
