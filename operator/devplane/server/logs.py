"""GET pods/log: what a container wrote, as the kubelet has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from devplane.errors import ApiError
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
    container = container_of(pod, query.get("container", ""))
    _check_started(pod, container, is_previous=is_true(query.get("previous")))
    chunks = kubelet.logs(
        pod["metadata"]["namespace"],
        pod["metadata"]["name"],
        container,
        follow=is_true(query.get("follow")),
        tail_lines=number(query, "tailLines"),
        since_seconds=number(query, "sinceSeconds"),
        timestamps=is_true(query.get("timestamps")),
        previous=is_true(query.get("previous")),
    )
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    try:
        async for chunk in chunks:
            await response.write(chunk)
    except ConnectionResetError:
        return response
    await response.write_eof()
    return response


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
