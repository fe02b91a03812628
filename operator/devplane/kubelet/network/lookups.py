"""Names beyond the cluster that ExternalName Services stand for, as this machine resolves them, asked again in turn."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable

Addresses = tuple[str, ...]
Resolve = Callable[[str], Awaitable[Addresses | None]]

AGAIN_SECONDS = 30.0


class Lookups:
    """`known` has what is resolved; `changed` is called after it is another. A failed lookup changes nothing."""

    def __init__(
        self, changed: Callable[[], None], resolve: Resolve | None = None, again_seconds: float = AGAIN_SECONDS
    ) -> None:
        self.known: dict[str, Addresses] = {}
        self._changed = changed
        self._resolve = resolve or resolved
        self._again_seconds = again_seconds
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def follow(self, names: frozenset[str]) -> None:
        """Look up these names, and no others any more."""
        for name in self._tasks.keys() - names:
            self._tasks.pop(name).cancel()
            self.known.pop(name, None)
        for name in names - self._tasks.keys():
            self._tasks[name] = asyncio.create_task(self._keep(name))

    async def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _keep(self, name: str) -> None:
        while True:
            found = await self._resolve(name)
            if found is not None and found != self.known.get(name, ()):
                self.known[name] = found
                self._changed()
            await asyncio.sleep(self._again_seconds)


async def resolved(name: str) -> Addresses | None:
    """Sorted; empty for a name that there is not, None where nobody could say.

    In a thread that nobody waits for: a resolver without an answer must not keep devplane from ending.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Addresses | None] = loop.create_future()

    def ask() -> None:
        found = _asked(name)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(_settle, answer, found)

    threading.Thread(target=ask, name=f"lookup {name}", daemon=True).start()
    return await answer


def _settle(answer: asyncio.Future[Addresses | None], found: Addresses | None) -> None:
    if not answer.done():
        answer.set_result(found)


def _asked(name: str) -> Addresses | None:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return () if error.errno == socket.EAI_NONAME else None
    except (OSError, UnicodeError):
        return None
    return tuple(sorted({str(address[0]) for *_, address in found}))
