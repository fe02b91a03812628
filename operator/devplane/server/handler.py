"""The API server over HTTPS: one handler for every path, answers as Kubernetes gives them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web

from devplane.access.authentication import PUBLIC_PATHS, Authentication, check_origin
from devplane.access.escalation import Escalation
from devplane.access.rbac import ACCESS, Action, Authorizer
from devplane.access.reviews import Reviews
from devplane.access.tokens import Tokens
from devplane.admission.attempts import Webhooks
from devplane.discovery.openapi import OpenApi
from devplane.errors import ApiError
from devplane.faults.rules import Faults
from devplane.machinery.targets import CRDS
from devplane.machinery.verbs import Api
from devplane.printing.shaping import Shaper
from devplane.printing.tables import Tables
from devplane.server.answering import Answering
from devplane.server.documents import Documents, public
from devplane.server.gate import Gate, action_of, unknown_action
from devplane.server.reads import Reads
from devplane.server.subresources import Subresources
from devplane.server.writes import Writes
from devplane.wire.answers import page_not_found, refused, warn
from devplane.wire.negotiation import form_of
from devplane.wire.requests import Asked, Place, group_version, is_true, place

if TYPE_CHECKING:
    from devplane.kubelet import Kubelet

Obj = dict[str, Any]

log = logging.getLogger(__name__)

MAX_BODY = 8 * 1024 * 1024


async def expected(request: web.Request) -> None:
    """What a client may wait for before it sends its body; raises 417, as Go does, for anything else."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        raise web.HTTPExpectationFailed
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer itself has not begun


class Server:
    """Answers requests from an `Api`."""

    def __init__(self, api: Api, tokens: Tokens, authentication: Authentication) -> None:
        def crd(name: str) -> Obj | None:
            return api.store.get(CRDS, "", name)

        self.api = api
        self.faults = Faults(api.clock, lambda: api.store.revision)
        self.extras: list[Callable[[web.Application], None]] = []
        authorizer = Authorizer(api.store)
        api.guards |= dict.fromkeys(ACCESS, Escalation(authorizer).check)
        self.webhooks = Webhooks(api.store, api.registry, authorizer)
        self._gate = Gate(authentication, authorizer)
        answering = Answering(api, self.webhooks, self.faults, Shaper(Tables(crd, api.clock)))
        self._documents = Documents(api.registry, OpenApi(api.registry, crd))
        self._reads = Reads(answering, crd)
        self._writes = Writes(answering, Reviews(tokens, authorizer))
        self._subresources = Subresources(answering, self._writes, self._gate, tokens)

    def connect(self, kubelet: Kubelet) -> None:
        """From now on there are logs, and processes to talk to."""
        self._subresources.kubelet = kubelet

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY)
        for extra in self.extras:
            extra(app)
        app.router.add_route("*", r"/{path:[\s\S]*}", self._handle, expect_handler=expected)
        app.on_response_prepare.append(self._date)
        return app

    async def _date(self, _request: web.Request, response: web.StreamResponse) -> None:
        if self.api.clock.skew_seconds:
            response.headers["Date"] = format_datetime(self.api.clock(), usegmt=True)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            check_origin(request.headers)
            return await self._answer(request)
        except ApiError as error:
            return refused(error)
        except web.HTTPRequestEntityTooLarge:
            return refused(ApiError(413, "RequestEntityTooLarge", "Request entity too large: limit is 8388608"))
        except web.RequestPayloadError as error:
            return refused(ApiError.bad_request(f"the body can't be read: {error}"))
        except Exception as error:  # the last line of defence of a server
            log.exception("Failed to answer method=%s path=%s", request.method, request.path)
            return refused(ApiError.internal(str(error)))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path in PUBLIC_PATHS:
            return public(request)
        user = self._gate.user(request.headers)
        found = group_version(request.path)
        if found is None or not found[2]:
            self._gate.authorize(user, Action(request.method.lower(), path=request.path))
            return self._documents.answer(request)
        group, version, rest = found
        where = place(self.api.registry, group, version, rest)
        if where is None:
            self._gate.authorize(user, unknown_action(request.method, group, rest))
            return self._nowhere(group, version)
        verb = where.verb(request.method, is_watch=is_true(request.query.get("watch")))
        self._gate.authorize(user, action_of(verb, where, request.query.get("fieldSelector", "")))
        if request.method == "HEAD" or (where.is_watch and request.method != "GET"):
            # HEAD is allowed as a get is, and served for no resource
            raise ApiError.method_not_allowed()
        form = form_of(request.headers.get("Accept", ""), request.query.get("includeObject", ""))
        asked = Asked(request, where, user, verb, form, self.webhooks.session())
        await self.faults.strike(asked.facts())
        return await self._warned(asked)

    async def _warned(self, asked: Asked) -> web.StreamResponse:
        """With what the resource itself warns of; a watch has said it when it began."""
        warnings = asked.place.resource.warnings
        try:
            response = await self._serve(asked)
        except ApiError as error:
            error.warnings = (*warnings, *error.warnings)
            raise
        if warnings and not response.prepared:
            others = response.headers.popall("Warning", [])
            warn(response, warnings)
            response.headers.extend(("Warning", one) for one in others)
        return response

    def _nowhere(self, group: str, version: str) -> web.StreamResponse:
        if not self.api.registry.in_version(group, version):
            return page_not_found()
        raise ApiError.no_such_path()

    async def _serve(self, asked: Asked) -> web.StreamResponse:
        where = asked.place
        if where.subresource and where.subresource != "status":
            return await self._subresources.answer(asked)
        if asked.verb not in where.resource.verbs or not _fits(asked.verb, where):
            raise ApiError.method_not_allowed()
        match asked.verb:
            case "get":
                return self._reads.get(asked)
            case "list":
                return self._reads.list(asked)
            case "watch":
                return await self._reads.watch(asked)
            case "create":
                return await self._writes.create(asked)
            case "update":
                return await self._writes.update(asked)
            case "patch":
                return await self._writes.patch(asked)
            case "delete":
                return await self._writes.delete(asked)
            case _:
                return await self._writes.delete_collection(asked, self._reads.selector(asked))


def _fits(verb: str, where: Place) -> bool:
    """Single objects are not created under their name, collections not updated, subresources not deleted."""
    match verb:
        case "create":
            return not where.name
        case "update" | "patch":
            return bool(where.name)
        case "delete":
            return not where.subresource
        case _:
            return True
