"""Runs writes through admission: attempts them, has webhooks asked, attempts them again."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from devplane.access.rbac import Authorizer
from devplane.admission.calling import Caller, CallError
from devplane.admission.configurations import Configurations
from devplane.admission.policies import Policies
from devplane.admission.reviews import Answer, InvalidAnswerError, answer, question
from devplane.admission.session import Call, PendingError, Session, World
from devplane.errors import AdmissionPendingError, ApiError, go_quote
from devplane.resources.registry import Registry
from devplane.storage.store import Store

Obj = dict[str, Any]
T = TypeVar("T")

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 100
MOST_WAITING = 1000


class Webhooks:
    """Of one control plane. Where no configuration is stored, `session` is None and nothing happens."""

    def __init__(self, store: Store, registry: Registry, authorizer: Authorizer) -> None:
        policies = Policies(store, registry, authorizer)
        self._world = World(Configurations(store), policies, store, registry, authorizer)
        self._caller = Caller(store)
        self._waiting: dict[bytes, Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def exist(self) -> bool:
        return self._world.configurations.exist or self._world.policies.exist

    def session(self) -> Session | None:
        """Admission for one request, or None where there is nobody to ask."""
        if not self.exist:
            return None
        return Session(self._world)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._caller.close()

    async def run(self, session: Session | None, attempt: Callable[[], T]) -> T:
        """`attempt` until it needs no further answer; it must begin at its beginning each time."""
        if session is None:
            return attempt()
        for _ in range(MOST_ATTEMPTS):
            session.warnings.clear()
            try:
                return attempt()
            except PendingError as pending:
                await self._answer(session, pending.calls)
            except ApiError as error:
                error.warnings = tuple(session.warnings)
                raise
        raise ApiError.internal(f"the object changed {MOST_ATTEMPTS} times while admission webhooks were asked")

    def soon(self, key: bytes, attempt: Callable[[Session], T]) -> T:
        """For who can not wait: the write, or AdmissionPendingError where it must be tried again a little later.

        `key` names the write, so that the next try finds the answers of this one.
        """
        session = self._waiting.pop(key, None) or self.session()
        assert session is not None
        try:
            return attempt(session)
        except PendingError as pending:
            while len(self._waiting) >= MOST_WAITING:
                del self._waiting[next(iter(self._waiting))]
            self._waiting[key] = session
            self._ask(session, pending.calls)
            raise AdmissionPendingError(str(pending)) from None

    def _ask(self, session: Session, calls: tuple[Call, ...]) -> None:
        new = tuple(call for call in calls if call.key not in session.asked)
        if not new:
            return
        session.asked.update(call.key for call in new)
        task = asyncio.get_running_loop().create_task(self._answer(session, new))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, session: Session, calls: tuple[Call, ...]) -> None:
        answers = await asyncio.gather(*(self._called(call) for call in calls))
        session.answers |= {call.key: one for call, one in zip(calls, answers, strict=True)}

    async def _called(self, call: Call) -> Answer:
        """What the webhook says; what it doesn't say is decided by its failure policy."""
        hook, uid = call.hook, str(uuid.uuid4())
        try:
            review = await self._caller.call(hook, question(uid, call.attributes, call.resource))
            return answer(hook.name, uid, review, is_mutating=hook.is_mutating)
        except InvalidAnswerError as error:
            why = f"received invalid webhook response: {error}"
        except CallError as error:
            why = str(error)
        message = f"failed calling webhook {go_quote(hook.name)}: {why}"
        log.warning("Failed calling webhook=%s fails_closed=%s: %s", hook.name, hook.fails_closed, why)
        return Answer(ApiError.internal(message)) if hook.fails_closed else Answer()
