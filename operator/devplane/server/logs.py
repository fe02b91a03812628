"""GET pods/log: what a container wrote, as the kubelet has it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web

from devplane.errors import ApiError, Cause
from devplane.streaming.asked import container_of
from devplane.wire.requests import is_true, number

if TYPE_CHECKING:
    from devplane.kubelet import Kubelet

Obj = dict[str, Any]


async def stream_logs(kubelet: Kubelet | None, pod: Obj, request: web.Request) -> web.StreamResponse:
    """Plain text, chunked; with ``follow`` until the container ends."""
    if kubelet is None:
        raise ApiError(503, "ServiceUnavailable", "the kubelet is not running")
    query = request.query
    _check_options(query, pod["metadata"]["name"])
    container = container_of(pod, query.get("container", ""))
    if not pod["spec"].get("nodeName"):
        return web.Response(status=204)
    _check_started(pod, container, is_previous=is_true(query.get("previous")))
    chunks = kubelet.logs(
        pod["metadata"]["namespace"],
        pod["metadata"]["name"],
        container,
        follow=is_true(query.get("follow")),
        tail_lines=number(query, "tailLines"),
        since_seconds=number(query, "sinceSeconds"),
        since_time=_time(query),
        timestamps=is_true(query.get("timestamps")),
        previous=is_true(query.get("previous")),
    )
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    try:
        async for chunk in _first(chunks, number(query, "limitBytes")):
            await response.write(chunk)
    except ConnectionResetError:
        return response
    await response.write_eof()
    return response


async def _first(chunks: AsyncIterator[bytes], limit: int | None) -> AsyncIterator[bytes]:
    """So many bytes and no more."""
    left = limit
    async for chunk in chunks:
        yield chunk if left is None else chunk[:left]
        left = None if left is None else left - len(chunk)
        if left is not None and left <= 0:
            return


def _time(query: Mapping[str, str]) -> datetime | None:
    text = query.get("sinceTime")
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or "T" not in text:
        layout = "2006-01-02T15:04:05Z07:00"
        raise ApiError.bad_request(f'parsing time "{text}" as "{layout}": cannot parse "{text}" as "2006"')
    return found


def _check_options(query: Mapping[str, str], name: str) -> None:
    causes = []
    if (tail := number(query, "tailLines")) is not None and tail < 0:
        causes.append(Cause.invalid("tailLines", tail, "must be greater than or equal to 0"))
    given = ((field, number(query, field)) for field in ("limitBytes", "sinceSeconds"))
    causes += [
        Cause.invalid(field, value, "must be greater than 0")
        for field, value in given
        if value is not None and value < 1
    ]
    if _time(query) is not None and number(query, "sinceSeconds") is not None:
        causes.append(Cause.forbidden("[]", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    if causes:
        raise ApiError.invalid("PodLogOptions", name, causes)


def _check_started(pod: Obj, container: str, *, is_previous: bool) -> None:
    status = pod.get("status") or {}
    found = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    held = next((one for one in found if one["name"] == container), None)
    state = (held or {}).get("state") or {}
    waiting = state.get("waiting")
    if is_previous and held is not None and not held.get("lastState"):
        raise ApiError.bad_request(
            f'previous terminated container "{container}" in pod "{pod["metadata"]["name"]}" not found'
        )
    if waiting is not None and not (held or {}).get("lastState"):
        from devplane.kubelet import not_started

        raise not_started(pod, container, str(waiting.get("reason", "ContainerCreating")))
