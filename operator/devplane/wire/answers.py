"""HTTP answers: objects in the form that was asked for, documents, refusals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from aiohttp import web

from devplane.errors import ApiError
from devplane.wire.negotiation import Form, encode

Obj = dict[str, Any]


def encoded(code: int, content: Obj, form: Form) -> web.Response:
    return web.Response(status=code, body=encode(content, form), headers={"Content-Type": form.content_type})


def json_answer(content: Obj | None) -> web.Response:
    if content is None:
        return page_not_found()
    return web.Response(body=orjson.dumps(content), headers={"Content-Type": "application/json"})


def page_not_found() -> web.Response:
    return web.Response(status=404, text="404 page not found\n")


def warn(response: web.StreamResponse, warnings: Iterable[str]) -> None:
    """Each warning once, in a header of its own."""
    for warning in dict.fromkeys(warnings):
        text = "".join(one if one.isprintable() else " " for one in warning)
        text = text.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{text}"')


def refused(error: ApiError) -> web.Response:
    response = web.Response(
        status=error.code, body=orjson.dumps(error.status()), headers={"Content-Type": "application/json"}
    )
    warn(response, error.warnings)
    if error.details and "retryAfterSeconds" in error.details:
        response.headers["Retry-After"] = str(error.details["retryAfterSeconds"])
    return response
