"""Answers that are about no object: the version, health, discovery, OpenAPI."""

from __future__ import annotations

import orjson
from aiohttp import web

from devplane.discovery import documents
from devplane.discovery.openapi import OpenApi
from devplane.resources.registry import Registry
from devplane.wire.answers import json_answer, page_not_found


def public(request: web.Request) -> web.Response:
    """What is answered before anybody has said who they are."""
    if request.path.startswith("/version"):
        return json_answer(documents.VERSION)
    name = request.path.strip("/")
    text = f"[+]ping ok\n[+]store ok\n{name} check passed\n" if "verbose" in request.query else "ok"
    return web.Response(text=text)


class Documents:
    """`openapi` makes the documents of OpenAPI, `registry` knows what is served."""

    def __init__(self, registry: Registry, openapi: OpenApi) -> None:
        self._registry = registry
        self._openapi = openapi

    def answer(self, request: web.Request) -> web.StreamResponse:
        registry = self._registry
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
            case ["openapi", "v2"]:
                body, content_type = documents.openapi_v2(request.headers.get("Accept", ""))
                return web.Response(body=body, headers={"Content-Type": content_type})
            case ["openapi", "v3"]:
                return json_answer(self._openapi.index())
            case ["openapi", "v3", *rest]:
                found = self._openapi.document("/".join(rest))
                return web.Response(body=found, content_type="application/json") if found else page_not_found()
            case _:
                return page_not_found()
