"""What every answer about objects is made with: the verbs, admission, faults, the forms of objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from devplane.admission.attempts import Webhooks
from devplane.faults.rules import Faults
from devplane.machinery.verbs import Api
from devplane.printing.shaping import Shaper
from devplane.wire.answers import encoded, warn
from devplane.wire.requests import Asked

Obj = dict[str, Any]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Answering:
    """Shared by everything that answers; made once."""

    api: Api
    webhooks: Webhooks
    faults: Faults
    shaper: Shaper

    def object(self, asked: Asked, code: int, obj: Obj, warnings: Iterable[str] = ()) -> web.Response:
        """One object in the form that was asked for."""
        response = encoded(code, self.shaper.one(asked.place.resource, obj, asked.form), asked.form)
        warn(response, warnings)
        return response

    async def attempt(self, asked: Asked, write: Callable[[], Result]) -> Result:
        """A write, made again for as long as admission asks somebody."""
        return await self.webhooks.run(asked.admission, write)

    async def admitted(self, asked: Asked, operation: str, obj: Obj) -> Obj:
        """What admission makes of an object that is not stored as it was sent."""
        session = asked.admission
        if session is None:
            return obj
        told = asked.told(operation, obj)
        return await self.webhooks.run(session, lambda: session.admit(told)) or obj
