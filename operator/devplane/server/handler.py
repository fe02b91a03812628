"""The API server over HTTPS: one handler for every path, answers as Kubernetes gives them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from devplane.access.authentication import PUBLIC_PATHS, Authentication, check_origin
from devplane.access.escalation import Escalation
from devplane.access.rbac import ACCESS, Action, Authorizer
from devplane.access.reviews import Reviews
from devplane.access.tokens import Tokens
from devplane.admission.attempts import Webhooks
from devplane.discovery import documents
from devplane.discovery.openapi import OpenApi
from devplane.errors import ApiError
from devplane.faults.rules import Faults, OpenWatch
from devplane.machinery import scale, subresources
from devplane.machinery.deletion import DeleteOptions, delete, delete_collection, delete_if_there, options_of
from devplane.machinery.targets import CRDS, Target
from devplane.machinery.token_requests import request_token
from devplane.machinery.verbs import Api
from devplane.printing.shaping import Shaper
from devplane.printing.tables import Tables
from devplane.server import lists, patching
from devplane.server.deletions import answers_object, gone, options_body
from devplane.server.gate import Gate, action_of, unknown_action
from devplane.server.watch import Watcher, error_line, watch_of
from devplane.storage.selectors import Selector, selector
from devplane.wire.answers import encoded, json_answer, page_not_found, refused, warn
from devplane.wire.negotiation import Form, form_of
from devplane.wire.requests import Asked, Place, group_version, is_true, place

if TYPE_CHECKING:
    from devplane.kubelet import Kubelet

Obj = dict[str, Any]

log = logging.getLogger(__name__)

MAX_BODY = 8 * 1024 * 1024


class Server:
    """Answers requests from an `Api`. `kubelet` gives logs once it runs."""

    def __init__(self, api: Api, tokens: Tokens, authentication: Authentication) -> None:
        def crd(name: str) -> Obj | None:
            return api.store.get(CRDS, "", name)

        self.api = api
        self.kubelet: Kubelet | None = None
        self.faults = Faults(api.clock, lambda: api.store.revision)
        self.extras: list[Callable[[web.Application], None]] = []
        self._tokens = tokens
        self._crd = crd
        self._shaper = Shaper(Tables(crd, api.clock))
        self._openapi = OpenApi(api.registry, crd)
        authorizer = Authorizer(api.store)
        self.webhooks = Webhooks(api.store, api.registry, authorizer)
        self._gate = Gate(authentication, authorizer)
        self._reviews = Reviews(tokens, authorizer)
        escalation = Escalation(authorizer)
        api.guards |= dict.fromkeys(ACCESS, escalation.check)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY)
        for extra in self.extras:
            extra(app)
        app.router.add_route("*", "/{path:.*}", self._handle)
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
        except Exception as error:  # the last line of defence of a server
            log.exception("Failed to answer method=%s path=%s", request.method, request.path)
            return refused(ApiError.internal(str(error)))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path in PUBLIC_PATHS:
            return self._public(request)
        user = self._gate.user(request.headers)
        found = group_version(request.path)
        if found is None or not found[2]:
            self._gate.authorize(user, Action(request.method.lower(), path=request.path))
            return self._document(request)
        group, version, rest = found
        where = place(self.api.registry, group, version, rest)
        if where is None:
            self._gate.authorize(user, unknown_action(request.method, group, rest))
            return self._nowhere(group, version)
        verb = where.verb(request.method, is_watch=is_true(request.query.get("watch")))
        self._gate.authorize(user, action_of(verb, where))
        form = form_of(request.headers.get("Accept", ""), request.query.get("includeObject", ""))
        asked = Asked(request, where, user, verb, form, self.webhooks.session())
        await self.faults.strike(asked.facts())
        return await self._serve(asked)

    def _public(self, request: web.Request) -> web.Response:
        if request.path.startswith("/version"):
            return json_answer(documents.VERSION)
        name = request.path.strip("/")
        text = f"[+]ping ok\n[+]store ok\n{name} check passed\n" if "verbose" in request.query else "ok"
        return web.Response(text=text)

    def _nowhere(self, group: str, version: str) -> web.StreamResponse:
        if not self.api.registry.in_version(group, version):
            return page_not_found()
        raise ApiError.no_such_path()

    def _document(self, request: web.Request) -> web.StreamResponse:
        registry = self.api.registry
        aggregated = documents.wants_aggregated(request.headers.get("Accept", ""))
        match request.path.strip("/").split("/"):
            case ["api" | "apis" as root] if aggregated:
                content = documents.aggregated(registry, core=root == "api")
                return web.Response(body=orjson.dumps(content), headers={"Content-Type": documents.AGGREGATED})
            case ["api"]:
                return json_answer(documents.versions(request.host))
            case ["apis"]:
                return json_answer(documents.groups(registry))
            case ["apis", group]:
                return json_answer(documents.one_group(registry, group))
            case ["api", version]:
                return json_answer(documents.resources(registry, "", version))
            case ["apis", group, version]:
                return json_answer(documents.resources(registry, group, version))
            case ["openapi", "v3"]:
                return json_answer(self._openapi.index())
            case ["openapi", "v3", *rest]:
                found = self._openapi.document("/".join(rest))
                return web.Response(body=found, content_type="application/json") if found else page_not_found()
            case _:
                return page_not_found()

    async def _serve(self, asked: Asked) -> web.StreamResponse:
        where = asked.place
        if where.subresource and where.subresource != "status":
            return await self._serve_subresource(asked)
        if asked.verb not in where.resource.verbs or not _fits(asked.verb, where):
            raise ApiError.method_not_allowed()
        match asked.verb:
            case "get":
                return self._object(asked, 200, self._readable(asked).get(asked.target))
            case "list":
                return self._list(asked)
            case "watch":
                return await self._watch(asked)
            case "create":
                return await self._create(asked)
            case "update":
                write, body = asked.write(), await asked.body()
                run = self.webhooks.run(
                    asked.admission, lambda: self.api.update(asked.target, asked.again(body), write)
                )
                return self._object(asked, 200, await run, write.warnings)
            case "patch":
                return await self._patch(asked)
            case "delete":
                return await self._delete(asked)
            case _:
                return await self._delete_collection(asked)

    def _selector(self, asked: Asked) -> Selector:
        resource = asked.place.resource
        selectable = None
        if resource.crd:
            crd = self._crd(resource.crd) or {}
            version: Obj = next((one for one in crd["spec"]["versions"] if one["name"] == resource.version), {})
            selectable = tuple(one["jsonPath"].lstrip(".") for one in version.get("selectableFields") or ())
        fields = asked.query.get("fieldSelector", "")
        return selector(resource.key, asked.query.get("labelSelector", ""), fields, selectable)

    def _readable(self, asked: Asked) -> Api:
        """What a read is answered from: the present, but for faults."""
        stale = self.faults.stale(asked.facts())
        return self.api if stale is None else lists.as_of(self.api, stale, asked.place.resource)

    def _list(self, asked: Asked) -> web.Response:
        resource = asked.place.resource
        chosen = self._selector(asked)
        objects, metadata = lists.listed(self._readable(asked), resource, asked.place.namespace, chosen, asked.query)
        return encoded(200, self._shaper.many(resource, objects, metadata, asked.form), asked.form)

    async def _watch(self, asked: Asked) -> web.StreamResponse:
        store = self.api.store
        where = asked.place
        watch = watch_of(
            asked.query, where.resource, where.namespace, self._selector(asked), asked.form, store.revision
        )
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        )
        response.enable_chunked_encoding()
        await response.prepare(asked.request)
        opened = OpenWatch(asked.facts(), lambda: _cut(asked.request))
        self.faults.opened(opened)
        try:
            async for chunk in Watcher(store, watch, self._shaper).run():
                if not opened.is_silent:
                    await response.write(chunk)
        except ApiError as error:
            await response.write(error_line(error))
        except ConnectionResetError:
            return response
        finally:
            self.faults.closed(opened)
        await response.write_eof()
        return response

    async def _create(self, asked: Asked) -> web.Response:
        body, write, resource = await asked.body(), asked.write(), asked.place.resource
        if "get" not in resource.verbs:
            return await self._review(asked, body)
        namespace = asked.place.namespace
        if resource.namespaced and namespace is None:
            raise ApiError.method_not_allowed()
        run = self.webhooks.run(
            asked.admission, lambda: self.api.create(resource, namespace or "", asked.again(body), write)
        )
        return self._object(asked, 201, await run, write.warnings)

    async def _review(self, asked: Asked, body: Any) -> web.Response:
        resource = asked.place.resource
        if resource.plural == "bindings":
            pods = self.api.registry.named("pods")
            assert pods is not None
            target = Target(pods, asked.place.namespace or "", body["metadata"]["name"])
            body = await self._admitted(asked, "CREATE", body)
            return encoded(201, subresources.bind(self.api, target, body, asked.write()), asked.form)
        return encoded(
            201,
            self._reviews.answer(resource, body, asked.user, self.api.now(), asked.place.namespace or ""),
            asked.form,
        )

    async def _patch(self, asked: Asked) -> web.Response:
        write, content_type = asked.write(), asked.request.headers.get("Content-Type", "")
        if content_type.startswith("application/apply-patch") and not asked.query.get("fieldManager"):
            raise patching.missing_manager()
        body = await asked.request.read()
        force = is_true(asked.query.get("force"))
        run = self.webhooks.run(
            asked.admission, lambda: patching.patch(self.api, asked.target, body, content_type, write, force=force)
        )
        return self._object(asked, *await run, write.warnings)

    async def _delete(self, asked: Asked) -> web.Response:
        options = options_of(await options_body(asked))
        options = replace(options, user=asked.user, admission=asked.admission)
        deleted = await self.webhooks.run(asked.admission, lambda: delete(self.api, asked.target, options))
        if answers_object(asked, deleted):
            return self._object(asked, 200, deleted.object, asked.warnings)
        return gone(asked, deleted)

    async def _delete_collection(self, asked: Asked) -> web.Response:
        resource, namespace = asked.place.resource, asked.place.namespace
        options = options_of(await options_body(asked))
        if asked.admission is None:
            objects = delete_collection(self.api, resource, namespace, self._selector(asked), options)
        else:
            objects = await self._delete_each(asked, replace(options, user=asked.user, is_collection=True))
        metadata = {"resourceVersion": str(self.api.store.revision)}
        return encoded(200, self._shaper.many(resource, objects, metadata, asked.form), asked.form)

    async def _delete_each(self, asked: Asked, options: DeleteOptions) -> list[Obj]:
        """A collection whose objects are each asked about."""
        found = self.api.list(asked.place.resource, asked.place.namespace, self._selector(asked))
        for obj in found:
            metadata, session = obj["metadata"], self.webhooks.session()
            target = Target(asked.place.resource, metadata.get("namespace", ""), metadata["name"])
            chosen = replace(options, admission=session)
            await self.webhooks.run(session, lambda at=target, how=chosen: delete_if_there(self.api, at, how))  # type: ignore[misc]
        return found

    async def _admitted(self, asked: Asked, operation: str, obj: Obj) -> Obj:
        session = asked.admission
        if session is None:
            return obj
        told = asked.told(operation, obj)
        return await self.webhooks.run(session, lambda: session.admit(told)) or obj

    async def _serve_subresource(self, asked: Asked) -> web.StreamResponse:
        sub = asked.place.resource.subresource(asked.place.subresource)
        assert sub is not None
        if asked.verb not in sub.verbs:
            raise ApiError.method_not_allowed()
        target = asked.target
        match sub.name, asked.verb:
            case "log", _:
                from devplane.server.logs import stream_logs

                return await stream_logs(self.kubelet, self.api.get(target), asked.request)
            case "exec" | "attach" | "portforward", _:
                return await self._stream(asked)
            case "scale", "get":
                return self._object(asked, 200, scale.read(self.api, target))
            case "scale", "update":
                write, body = asked.write(), await asked.body()
                run = self.webhooks.run(
                    asked.admission, lambda: scale.write(self.api, target, asked.again(body), write)
                )
                return self._object(asked, 200, await run, write.warnings)
            case "scale", _:
                return await self._patch(asked)
            case "token", _:
                is_dry = asked.write().dry_run
                body = await self._admitted(asked, "CREATE", await asked.body())
                answer = request_token(self.api, self._tokens, target, body, dry_run=is_dry)
            case "binding", _:
                body = await self._admitted(asked, "CREATE", await asked.body())
                answer = subresources.bind(self.api, target, body, asked.write())
            case "eviction", _:
                body = await self._admitted(asked, "CREATE", await asked.body())
                answer = subresources.evict(self.api, target, body)
            case _:
                return self._object(asked, 200, subresources.finalize(self.api, target, await asked.body()))
        return encoded(201, answer, Form())

    async def _stream(self, asked: Asked) -> web.StreamResponse:
        """A WebSocket begins with a GET, and yet it runs programs: `create` is asked for too."""
        from devplane.streaming.server import stream

        self._gate.authorize(asked.user, action_of("create", asked.place))
        await self._admitted(asked, "CONNECT", asked.connection())
        return await stream(self.kubelet, self.api.get(asked.target), asked.place.subresource, asked.request)

    def _object(self, asked: Asked, code: int, obj: Obj, warnings: Iterable[str] = ()) -> web.Response:
        shaped = obj if obj.get("kind") == "Scale" else self._shaper.one(asked.place.resource, obj, asked.form)
        response = encoded(code, shaped, asked.form)
        warn(response, warnings)
        return response


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


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
