"""POST, PUT, PATCH and DELETE of objects."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from aiohttp import web

from devplane.access.reviews import Reviews
from devplane.errors import ApiError
from devplane.machinery import subresources
from devplane.machinery.deletion import DeleteOptions, delete, delete_collection, delete_if_there, options_of
from devplane.machinery.targets import Target
from devplane.server import patching
from devplane.server.answering import Answering
from devplane.server.deletions import answers_object, gone, options_body
from devplane.storage.selectors import Selector
from devplane.wire.answers import encoded, warn
from devplane.wire.requests import Asked, is_true

Obj = dict[str, Any]


class Writes:
    """`reviews` answers what is created and not stored."""

    def __init__(self, answering: Answering, reviews: Reviews) -> None:
        self._answering = answering
        self._api = answering.api
        self._reviews = reviews

    async def create(self, asked: Asked) -> web.Response:
        body, write, resource = await asked.body(), asked.write(), asked.place.resource
        if "get" not in resource.verbs:
            return await self._review(asked, body)
        namespace = asked.place.namespace
        if resource.namespaced and namespace is None:
            raise ApiError.method_not_allowed()
        run = self._answering.attempt(
            asked, lambda: self._api.create(resource, namespace or "", asked.again(body), write)
        )
        return self._answering.object(asked, 201, await run, write.warnings)

    async def _review(self, asked: Asked, body: Any) -> web.Response:
        resource = asked.place.resource
        if resource.plural == "bindings":
            pods = self._api.registry.named("pods")
            assert pods is not None
            target = Target(pods, asked.place.namespace or "", (body.get("metadata") or {}).get("name") or "")
            body = await self._answering.admitted(asked, "CREATE", body)
            return encoded(201, subresources.bind(self._api, target, body, asked.write()), asked.form)
        return self._reviewed(asked, body)

    def _reviewed(self, asked: Asked, body: Any) -> web.Response:
        """A review is decoded and owned as if it were stored."""
        resource, write = asked.place.resource, asked.write()
        review = self._api.posted(resource, asked.place.namespace or "", body, write)
        answer = self._reviews.answer(resource, review, asked.user, self._api.now())
        response = encoded(201, answer, asked.form)
        warn(response, write.warnings)
        return response

    async def update(self, asked: Asked) -> web.Response:
        write, body = asked.write(), await asked.body()
        run = self._answering.attempt(asked, lambda: self._api.update(asked.target, asked.again(body), write))
        return self._answering.object(asked, 200, await run, write.warnings)

    async def patch(self, asked: Asked) -> web.Response:
        write, content_type = asked.write(), asked.request.headers.get("Content-Type", "")
        if content_type.startswith("application/apply-patch") and not asked.query.get("fieldManager"):
            raise patching.missing_manager()
        body = await asked.request.read()
        force = is_true(asked.query.get("force"))
        run = self._answering.attempt(
            asked, lambda: patching.patch(self._api, asked.target, body, content_type, write, force=force)
        )
        return self._answering.object(asked, *await run, write.warnings)

    async def delete(self, asked: Asked) -> web.Response:
        options = options_of(await options_body(asked))
        options = replace(options, user=asked.user, admission=asked.admission)
        deleted = await self._answering.attempt(asked, lambda: delete(self._api, asked.target, options))
        if answers_object(asked, deleted):
            return self._answering.object(asked, 200, deleted.object, asked.warnings)
        return gone(asked, deleted)

    async def delete_collection(self, asked: Asked, chosen: Selector) -> web.Response:
        resource, namespace = asked.place.resource, asked.place.namespace
        options = options_of(await options_body(asked))
        if asked.admission is None:
            objects = delete_collection(self._api, resource, namespace, chosen, options)
        else:
            objects = await self._delete_each(asked, chosen, replace(options, user=asked.user, is_collection=True))
        metadata = {"resourceVersion": str(self._api.store.revision)}
        return encoded(200, self._answering.shaper.many(resource, objects, metadata, asked.form), asked.form)

    async def _delete_each(self, asked: Asked, chosen: Selector, options: DeleteOptions) -> list[Obj]:
        """A collection whose objects are each asked about."""
        found = self._api.list(asked.place.resource, asked.place.namespace, chosen)
        for obj in found:
            metadata, session = obj["metadata"], self._answering.webhooks.session()
            target = Target(asked.place.resource, metadata.get("namespace", ""), metadata["name"])
            own = replace(options, admission=session)
            await self._answering.webhooks.run(session, partial(delete_if_there, self._api, target, own))
        return found
