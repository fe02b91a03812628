"""Watches: what a client sees of the changes of a resource, as lines of JSON."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson

from devplane.errors import ApiError, Cause
from devplane.printing.shaping import Shaper
from devplane.resources.conversion import to_version
from devplane.resources.registry import Resource
from devplane.storage.selectors import Selector
from devplane.storage.store import Change, Store
from devplane.wire.negotiation import Form
from devplane.wire.requests import is_true, number, revision_of

Obj = dict[str, Any]

BOOKMARK_SECONDS = 45.0
QUEUE_SIZE = 10_000
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True)
class Watch:
    """One watch as asked for; `since` None begins with the objects that exist."""

    resource: Resource
    namespace: str | None
    selector: Selector
    form: Form
    since: int | None
    seconds: float
    has_bookmarks: bool = False
    ends_initial_events: bool = False


def watch_of(query: Any, resource: Resource, namespace: str | None, selector: Selector, form: Form, now: int) -> Watch:
    """From the query of a watch request; `now` is the store's revision."""
    version = query.get("resourceVersion", "")
    initial = query.get("sendInitialEvents")
    _check_initial(query, initial)
    since: int | None = revision_of(version) if version not in ("", "0") else None
    if initial is not None:
        since = None if is_true(initial) else (since or now)
    seconds = float(number(query, "timeoutSeconds") or 0) or random.uniform(1800, 3600)  # noqa: S311 (spreads reconnects)
    bookmarks = is_true(query.get("allowWatchBookmarks"))
    return Watch(resource, namespace, selector, form, since, seconds, bookmarks, is_true(initial) and bookmarks)


def _check_initial(query: Any, initial: str | None) -> None:
    match = query.get("resourceVersionMatch", "")
    if initial is None and match:
        text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        causes = [Cause.forbidden("resourceVersionMatch", text)]
        if match != "NotOlderThan":
            causes.append(Cause.unsupported("resourceVersionMatch", match, ("NotOlderThan",)))
        raise ApiError.invalid("ListOptions.meta.k8s.io", "", causes)
    if initial is not None and match != "NotOlderThan":
        text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        raise ApiError.invalid("ListOptions.meta.k8s.io", "", [Cause.forbidden("resourceVersionMatch", text)])


class Lines:
    """Encodes events of one watch; what all watches of the same form see alike is encoded once."""

    def __init__(self, watch: Watch, shaper: Shaper) -> None:
        self._watch = watch
        self._shaper = shaper
        self._key = f"{watch.resource.api_version} {watch.form.shape} {watch.form.include}"
        self._has_sent_columns = False

    def _shape(self, obj: Obj) -> Obj:
        return self._shaper.one(self._watch.resource, obj, self._watch.form)

    def line(self, kind: str, obj: Obj) -> bytes:
        """An event whose object is already of the watch's version."""
        shaped = self._shape(obj)
        if self._watch.form.shape == "Table":
            shaped = self._without_columns(shaped)
        return _event(kind, orjson.dumps(shaped))

    def _without_columns(self, table: Obj) -> Obj:
        """Column definitions come with the first event only."""
        if self._has_sent_columns:
            return {**table, "columnDefinitions": None}
        self._has_sent_columns = True
        return table

    def of_change(self, kind: str, change: Change) -> bytes:
        if self._watch.form.shape == "Table":
            return self.line(kind, to_version(change.object, self._watch.resource))
        key = f"{kind} {self._key}"
        line = change.encoded.get(key)
        if line is None:
            line = _event(kind, orjson.dumps(self._shape(to_version(change.object, self._watch.resource))))
            change.encoded[key] = line
        return line

    def left(self, change: Change) -> bytes:
        """The object no longer matches: its last matching state, with the new resourceVersion."""
        assert change.previous is not None
        metadata = {**change.previous["metadata"], "resourceVersion": str(change.revision)}
        last = to_version({**change.previous, "metadata": metadata}, self._watch.resource)
        return self.line("DELETED", last)

    def bookmark(self, revision: int, *, ends_initial_events: bool = False) -> bytes:
        resource = self._watch.resource
        metadata: Obj = {"resourceVersion": str(revision), "creationTimestamp": None}
        if ends_initial_events:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        obj = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if self._watch.form.shape == "Table":
            return self.line("BOOKMARK", obj)
        return _event("BOOKMARK", orjson.dumps(obj))


def _event(kind: str, body: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), body)


def error_line(error: ApiError) -> bytes:
    return _event("ERROR", orjson.dumps(error.status()))


class Watcher:
    """Follows the store for one watch. A reader that is too slow is cut off and lists again."""

    def __init__(self, store: Store, watch: Watch, shaper: Shaper) -> None:
        self._store = store
        self._watch = watch
        self._lines = Lines(watch, shaper)
        self._queue: asyncio.Queue[Change] = asyncio.Queue(QUEUE_SIZE)
        self._is_slow = False
        self._sent = 0

    async def run(self) -> AsyncIterator[bytes]:
        """Chunks of lines until the time is over or the reader is too slow."""
        stop = self._store.subscribe(self._watch.resource.key, self._offer)
        try:
            for chunk in self._initial():
                yield chunk
            async for chunk in self._follow():
                yield chunk
        finally:
            stop()

    def _offer(self, change: Change) -> None:
        try:
            self._queue.put_nowait(change)
        except asyncio.QueueFull:
            self._is_slow = True

    def _initial(self) -> list[bytes]:
        watch, store = self._watch, self._store
        self._sent = store.revision
        if watch.since is None:
            found = [obj for obj in store.items(watch.resource.key, watch.namespace) if watch.selector.matches(obj)]
            lines = [self._lines.line("ADDED", to_version(obj, watch.resource)) for obj in found]
            if watch.ends_initial_events:
                lines.append(self._lines.bookmark(self._sent, ends_initial_events=True))
            return [b"".join(lines)] if lines else []
        missed = store.since(watch.since, watch.resource.key)
        if missed is None:
            raise ApiError.expired(f"too old resource version: {watch.since} ({store.oldest})")
        seen = [line for change in missed if (line := self._seen(change))]
        return [b"".join(seen)] if seen else []

    async def _follow(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._watch.seconds
        while (left := end - loop.time()) > 0 and not self._is_slow:
            try:
                async with asyncio.timeout(min(left, BOOKMARK_SECONDS)):
                    first = await self._queue.get()
            except TimeoutError:
                if self._watch.has_bookmarks:
                    yield self._lines.bookmark(self._store.revision)
                continue
            lines = [self._seen(first)]
            while not self._queue.empty():
                lines.append(self._seen(self._queue.get_nowait()))
            if chunk := b"".join(lines):
                yield chunk

    def _seen(self, change: Change) -> bytes:
        """The line that this watch shows for a change, or nothing."""
        watch = self._watch
        namespace = change.object["metadata"].get("namespace", "")
        if watch.namespace is not None and namespace != watch.namespace:
            return b""
        if watch.selector.everything:
            return self._lines.of_change(change.type, change)
        was = change.previous is not None and watch.selector.matches(change.previous)
        if change.type == "DELETED":
            return self._lines.of_change("DELETED", change) if was else b""
        if not watch.selector.matches(change.object):
            return self._lines.left(change) if was else b""
        return self._lines.of_change("MODIFIED" if was else "ADDED", change)
