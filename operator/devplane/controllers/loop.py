"""Level-triggered work: a key is looked at after anything that concerns it changed, once however often it did."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from devplane.errors import AdmissionPendingError, ApiError
from devplane.objects import Obj

if TYPE_CHECKING:
    from devplane.machinery.client import Client

log = logging.getLogger("devplane.controllers")

Key = tuple[str, str]
"""(namespace, name)."""

Sync = Callable[[Key], float | None]
"""Brings one key to where it should be; answers in how many seconds to look again, or None."""

FIRST_RETRY = 0.02
LAST_RETRY = 10.0


class Queue:
    """Keys to look at now, and keys to look at later."""

    def __init__(self) -> None:
        self._now: dict[Key, None] = {}
        self._later: dict[Key, asyncio.TimerHandle] = {}
        self._filled = asyncio.Event()

    def add(self, key: Key) -> None:
        self._now[key] = None
        self._filled.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """An earlier time wins over a later one, and a change over both."""
        loop = asyncio.get_running_loop()
        due = loop.time() + max(seconds, 0)
        planned = self._later.get(key)
        if planned is not None and planned.when() <= due and not planned.cancelled():
            return
        self.forget(key)
        self._later[key] = loop.call_at(due, self._ripen, key)

    def _ripen(self, key: Key) -> None:
        self._later.pop(key, None)
        self.add(key)

    def forget(self, key: Key) -> None:
        """Drop what is planned for later; whoever looks now plans anew."""
        if planned := self._later.pop(key, None):
            planned.cancel()

    async def next(self) -> Key:
        while not self._now:
            self._filled.clear()
            await self._filled.wait()
        key = next(iter(self._now))
        del self._now[key]
        return key


class Controller:
    """Feeds `sync` with the keys that `concerned` names for each change of `resources`.

    `concerned` is shown the stored objects themselves and must not change them.
    """

    def __init__(
        self,
        name: str,
        client: Client,
        resources: tuple[str, ...],
        concerned: Callable[[str, str, Obj], Iterable[Key]],
        sync: Sync,
        first_retry: float = FIRST_RETRY,
    ) -> None:
        self.name = name
        self._client = client
        self._resources = resources
        self._concerned = concerned
        self._sync = sync
        self._first_retry = first_retry
        self._queue = Queue()
        self._failures: dict[Key, int] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(), name=f"{self.name} watch")
            group.create_task(self._work(), name=f"{self.name} work")

    async def _watch(self) -> None:
        async for resource, type_, obj in self._client.glance(*self._resources):
            for key in self._concerned(resource, type_, obj):
                self._queue.add(key)

    async def _work(self) -> None:
        while True:
            self._look(await self._queue.next())
            await asyncio.sleep(0)

    def _look(self, key: Key) -> None:
        self._queue.forget(key)
        try:
            again = self._sync(key)
        except ApiError as error:
            log.debug("%s: %s/%s: %s", self.name, *key, error)
            again = self._retry(key, FIRST_RETRY if isinstance(error, AdmissionPendingError) else self._first_retry)
        except Exception:
            log.exception("%s: %s/%s", self.name, *key)
            again = self._retry(key, self._first_retry)
        else:
            self._failures.pop(key, None)
        if again is not None:
            self._queue.add_after(key, again)

    def _retry(self, key: Key, first: float) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        return min(first * 2.0 ** (failures - 1), LAST_RETRY)


def own_key(obj: Obj) -> Key:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def controller_key(obj: Obj, kind: str) -> list[Key]:
    """The key of the controlling owner, if it is of this kind."""
    owners = obj["metadata"].get("ownerReferences") or ()
    return [
        (obj["metadata"]["namespace"], one["name"]) for one in owners if one.get("controller") and one["kind"] == kind
    ]
