"""GET of objects: one, a list, or a watch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from devplane.errors import ApiError
from devplane.faults.rules import OpenWatch
from devplane.machinery.verbs import Api
from devplane.server import lists
from devplane.server.answering import Answering
from devplane.server.watch import Watcher, error_line, watch_of
from devplane.storage.selectors import Selector, selector
from devplane.wire.answers import encoded, warn
from devplane.wire.requests import Asked

Obj = dict[str, Any]


class Reads:
    """`crd` gives a CustomResourceDefinition by name: it says by which fields its resources are selected."""

    def __init__(self, answering: Answering, crd: Callable[[str], Obj | None]) -> None:
        self._answering = answering
        self._api = answering.api
        self._crd = crd

    def get(self, asked: Asked) -> web.Response:
        return self._answering.object(asked, 200, self._readable(asked).get(asked.target))

    def list(self, asked: Asked) -> web.Response:
        resource = asked.place.resource
        chosen = self.selector(asked)
        objects, metadata = lists.listed(self._readable(asked), resource, asked.place.namespace, chosen, asked.query)
        return encoded(200, self._answering.shaper.many(resource, objects, metadata, asked.form), asked.form)

    async def watch(self, asked: Asked) -> web.StreamResponse:
        store = self._api.store
        where = asked.place
        watch = watch_of(asked.query, where.resource, where.namespace, self.selector(asked), asked.form, store.revision)
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        )
        warn(response, where.resource.warnings)
        response.enable_chunked_encoding()
        await response.prepare(asked.request)
        opened = OpenWatch(asked.facts(), lambda: _cut(asked.request))
        self._answering.faults.opened(opened)
        try:
            async for chunk in Watcher(store, watch, self._answering.shaper).run():
                if not opened.is_silent:
                    await response.write(chunk)
        except ApiError as error:
            await response.write(error_line(error))
        except ConnectionResetError:
            return response
        finally:
            self._answering.faults.closed(opened)
        await response.write_eof()
        return response

    def selector(self, asked: Asked) -> Selector:
        """By labels and fields, as the query says."""
        resource = asked.place.resource
        selectable = None
        if resource.crd:
            crd = self._crd(resource.crd) or {}
            version: Obj = next((one for one in crd["spec"]["versions"] if one["name"] == resource.version), {})
            selectable = tuple(one["jsonPath"].lstrip(".") for one in version.get("selectableFields") or ())
        labels, fields = (asked.query.get(key, "") for key in ("labelSelector", "fieldSelector"))
        chosen = selector(resource.key, labels, fields, selectable)
        if not (name := asked.place.name):
            return chosen
        if (chosen.name or name) != name:
            raise ApiError.bad_request("fieldSelector metadata.name doesn't match requested name")
        return selector(resource.key, labels, f"{fields},metadata.name={name}".lstrip(","), selectable)

    def _readable(self, asked: Asked) -> Api:
        """What a read is answered from: the present, but for faults."""
        stale = self._answering.faults.stale(asked.facts())
        return self._api if stale is None else lists.as_of(self._api, stale, asked.place.resource)


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
