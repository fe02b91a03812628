"""Objects by resource, namespace and name, with one resourceVersion over all; SQLite behind, loaded at start.

Objects in the store are never changed in place: a reader may share them, a writer puts a new one.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from devplane.errors import ApiError
from devplane.storage.owners import Owners
from devplane.storage.sharing import Sharing

Obj = dict[str, Any]
ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]

RING_SIZE = 20_000

_TABLES = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=NORMAL;
CREATE TABLE IF NOT EXISTS objects (
    resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (resource, namespace, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revision (one INTEGER PRIMARY KEY CHECK (one = 1), value INTEGER NOT NULL);
INSERT OR IGNORE INTO revision VALUES (1, 100);
"""


def copied(obj: Obj) -> Obj:
    """A deep copy of a JSON object (faster than `copy.deepcopy`)."""
    copy: Obj = orjson.loads(orjson.dumps(obj))
    return copy


@dataclass(slots=True, eq=False)
class Change:
    """One committed write. `encoded` caches the lines of it by their shape, shared by all watchers."""

    revision: int
    type: ChangeType
    resource: str
    object: Obj
    previous: Obj | None
    encoded: dict[str, bytes] = field(default_factory=dict)


Listener = Callable[[Change], None]
Held = dict[str, dict[str, Obj]]
"""The objects of a resource by namespace and name."""
_NOTHING: Any = {}


class Store:
    """`path` None keeps everything in memory only."""

    def __init__(self, path: Path | None = None, *, ring_size: int = RING_SIZE) -> None:
        self._objects: dict[str, Held] = {}
        self._sharing = Sharing()
        self._owners = Owners()
        self._ring: deque[Change] = deque(maxlen=ring_size)
        self._listeners: dict[str, set[Listener]] = {}
        self._database = sqlite3.connect(path or ":memory:", isolation_level=None)
        self._database.executescript(_TABLES)
        self.revision = self._load()
        self.oldest = self.revision

    def _load(self) -> int:
        newest: int = self._database.execute("SELECT value FROM revision").fetchone()[0]
        for resource, namespace, name, body in self._database.execute("SELECT * FROM objects"):
            obj = orjson.loads(body)
            self._sharing.settle(obj, None)
            self._owners.follow(resource, None, obj)
            self._objects.setdefault(resource, {}).setdefault(namespace, {})[name] = obj
            newest = max(newest, int(obj["metadata"]["resourceVersion"]))
        return newest

    def close(self) -> None:
        self._database.close()

    def get(self, resource: str, namespace: str, name: str) -> Obj | None:
        found: Obj | None = self._objects.get(resource, _NOTHING).get(namespace, _NOTHING).get(name)
        return found

    def items(self, resource: str, namespace: str | None = None) -> list[Obj]:
        """Sorted by namespace and name; of every namespace where it is None."""
        held = self._objects.get(resource, _NOTHING)
        spaces = sorted(held) if namespace is None else [namespace]
        return [space[name] for one in spaces if (space := held.get(one)) for name in sorted(space)]

    def controlled(self, resource: str, namespace: str, kind: str, owner: str) -> list[Obj]:
        """Those whose controller is of this kind and name, sorted by name; which one of that name, the uid tells."""
        held = self._objects.get(resource, _NOTHING).get(namespace, _NOTHING)
        return [held[name] for name in self._owners.names((resource, namespace, kind, owner))]

    def uncontrolled(self, resource: str, namespace: str) -> list[Obj]:
        """Those that no owner controls, sorted by name."""
        return self.controlled(resource, namespace, "", "")

    def count(self, resource: str) -> int:
        return sum(map(len, self._objects.get(resource, _NOTHING).values()))

    def put(self, resource: str, obj: Obj) -> Obj:
        """Store `obj` (the caller gives it away) with the next resourceVersion."""
        metadata = obj["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        held = self._objects.setdefault(resource, {}).setdefault(namespace, {})
        previous = held.get(name)
        self.revision += 1
        metadata["resourceVersion"] = str(self.revision)
        body = orjson.dumps(obj)
        self._write("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", resource, namespace, name, body)
        self._sharing.settle(obj, previous)
        self._owners.follow(resource, previous, obj)
        held[name] = obj
        self._publish(Change(self.revision, "MODIFIED" if previous else "ADDED", resource, obj, previous))
        return obj

    def remove(self, resource: str, namespace: str, name: str, last: Obj | None = None) -> Obj:
        """Take an object out; its last state (or `last`) is published with the resourceVersion of the deletion."""
        held = self._objects[resource]
        previous = held[namespace][name]
        last = last or previous
        self.revision += 1
        self._write("UPDATE revision SET value=?", self.revision)
        self._write("DELETE FROM objects WHERE resource=? AND namespace=? AND name=?", resource, namespace, name)
        _drop(held, namespace, name)
        self._owners.follow(resource, previous, None)
        gone = {**last, "metadata": {**last["metadata"], "resourceVersion": str(self.revision)}}
        self._publish(Change(self.revision, "DELETED", resource, gone, previous))
        return gone

    def _write(self, statement: str, *values: str | int | bytes) -> None:
        try:
            self._database.execute(statement, values)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise ApiError.no_space() from error
            raise

    def as_of(self, revision: int, resource: str) -> Store:
        """A store to read from that holds `resource` alone, as it was at `revision` or as long ago as is known."""
        past = Store(ring_size=0)
        past.revision = max(revision, self.oldest)
        past.oldest = self.oldest
        held = {namespace: dict(space) for namespace, space in self._objects.get(resource, _NOTHING).items()}
        for change in reversed(self._ring):
            if change.revision <= past.revision:
                break
            if change.resource == resource:
                _undo(held, change)
        past._objects[resource] = held
        return past

    def _publish(self, change: Change) -> None:
        if len(self._ring) == self._ring.maxlen:
            self.oldest = self._ring[0].revision
        self._ring.append(change)
        for key in (change.resource, "*"):
            for listener in tuple(self._listeners.get(key, ())):
                listener(change)

    def since(self, revision: int, resource: str) -> Iterator[Change] | None:
        """Changes of `resource` after `revision`, or None where they are no longer all known."""
        if revision < self.oldest:
            return None
        return (change for change in tuple(self._ring) if change.revision > revision and change.resource == resource)

    def subscribe(self, resource: str, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each change of `resource` (``*``: of all); the answer ends it."""
        listeners = self._listeners.setdefault(resource, set())
        listeners.add(listener)
        return lambda: listeners.discard(listener)


def _undo(held: Held, change: Change) -> None:
    metadata = change.object["metadata"]
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    if change.previous is None:
        _drop(held, namespace, name)
    else:
        held.setdefault(namespace, {})[name] = change.previous


def _drop(held: Held, namespace: str, name: str) -> None:
    del held[namespace][name]
    if not held[namespace]:
        del held[namespace]
