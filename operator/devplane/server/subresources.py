"""Subresources other than status, which is a half of its object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from devplane.access.tokens import Tokens
from devplane.errors import ApiError
from devplane.machinery import scale, subresources
from devplane.machinery.token_requests import request_token
from devplane.server.answering import Answering
from devplane.server.gate import Gate, action_of
from devplane.server.writes import Writes
from devplane.wire.answers import encoded, warn
from devplane.wire.negotiation import Form
from devplane.wire.requests import Asked

if TYPE_CHECKING:
    from devplane.kubelet import Kubelet


class Subresources:
    """`kubelet` has logs and processes once it runs."""

    def __init__(self, answering: Answering, writes: Writes, gate: Gate, tokens: Tokens) -> None:
        self.kubelet: Kubelet | None = None
        self._answering = answering
        self._api = answering.api
        self._writes = writes
        self._gate = gate
        self._tokens = tokens

    async def answer(self, asked: Asked) -> web.StreamResponse:
        sub = asked.place.resource.subresource(asked.place.subresource)
        assert sub is not None
        if asked.verb not in sub.verbs:
            raise ApiError.method_not_allowed()
        target = asked.target
        match sub.name, asked.verb:
            case "log", _:
                from devplane.server.logs import stream_logs

                return await stream_logs(self.kubelet, self._api.get(target), asked.request)
            case "exec" | "attach" | "portforward", _:
                return await self._stream(asked)
            case "scale", "get":
                return self._answering.object(asked, 200, scale.read(self._api, target))
            case "scale", "update":
                write, body = asked.write(), await asked.body()
                run = self._answering.attempt(asked, lambda: scale.write(self._api, target, asked.again(body), write))
                return self._answering.object(asked, 200, await run, write.warnings)
            case "scale", _:
                return await self._writes.patch(asked)
            case "token", _:
                body, write = await self._answering.admitted(asked, "CREATE", await asked.body()), asked.write()
                response = encoded(201, request_token(self._api, self._tokens, target, body, write), Form())
                warn(response, write.warnings)
                return response
            case "binding", _:
                body = await self._answering.admitted(asked, "CREATE", await asked.body())
                answer = subresources.bind(self._api, target, body, asked.write())
            case "eviction", _:
                body = await self._answering.admitted(asked, "CREATE", await asked.body())
                answer = subresources.evict(self._api, target, body, asked.write())
            case _:
                return self._answering.object(asked, 200, subresources.finalize(self._api, target, await asked.body()))
        return encoded(201, answer, Form())

    async def _stream(self, asked: Asked) -> web.StreamResponse:
        """A WebSocket begins with a GET, and yet it runs programs: `create` is asked for too."""
        from devplane.streaming.server import stream

        self._gate.authorize(asked.user, action_of("create", asked.place))
        await self._answering.admitted(asked, "CONNECT", asked.connection())
        return await stream(self.kubelet, self._api.get(asked.target), asked.place.subresource, asked.request)
