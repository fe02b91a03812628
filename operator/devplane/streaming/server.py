"""pods/exec, pods/attach and pods/portforward, from the request to the last byte."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from devplane.errors import ApiError
from devplane.kubelet.processes.execution import Conversation, Wanted
from devplane.kubelet.processes.process import StartError
from devplane.streaming import asked, statuses
from devplane.streaming.channels import PROTOCOLS, V5, Channel, WebSocketChannels
from devplane.streaming.port_forward import Pod, PortForward
from devplane.streaming.talk import carry
from devplane.streaming.upgrade import SpdyChannels, upgraded, wants_spdy

if TYPE_CHECKING:
    from devplane.kubelet import Kubelet

Obj = dict[str, Any]

TUNNELS = ("SPDY/3.1+portforward.k8s.io",)
SPDY_PROTOCOLS = ("v4.channel.k8s.io",)


async def stream(kubelet: Kubelet | None, pod: Obj, subresource: str, request: web.Request) -> web.StreamResponse:
    """`subresource` is exec, attach or portforward."""
    if kubelet is None:
        raise ApiError(503, "ServiceUnavailable", "the kubelet is not running")
    is_spdy = wants_spdy(request.headers)
    if subresource == "portforward":
        target = Pod(pod["metadata"]["name"], pod["metadata"]["uid"], asked.address(pod), kubelet.reach)
        return await (_spdy_ports if is_spdy else _websocket_ports)(target, request)
    wanted = asked.command(pod, request.query, is_exec=subresource == "exec")
    return await (_spdy_command if is_spdy else _websocket_command)(kubelet, wanted, request)


async def _websocket_command(kubelet: Kubelet, wanted: asked.Command, request: web.Request) -> web.StreamResponse:
    protocol = _chosen(request, PROTOCOLS)
    socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0, compress=False)
    if protocol != V5:  # the kubelet answers these itself, before it upgrades
        found = await _start(kubelet, wanted)
        if found is None:
            return web.Response(status=500, text=f"{statuses.absent(wanted.container)}\n")
        await socket.prepare(request)
    else:
        await socket.prepare(request)
        found = await _start(kubelet, wanted) or statuses.not_running(wanted.container)
    await _talk(WebSocketChannels(socket), wanted, found)
    return socket


async def _spdy_command(kubelet: Kubelet, wanted: asked.Command, request: web.Request) -> web.StreamResponse:
    found = await _start(kubelet, wanted)
    if found is None:
        return web.Response(status=500, text=f"{statuses.absent(wanted.container)}\n")
    connection = await upgraded(request, SPDY_PROTOCOLS)
    client = SpdyChannels(connection, wanted)
    try:
        await _talk(client, wanted, found)
    finally:
        await client.close()
    return connection.response


async def _spdy_ports(target: Pod, request: web.Request) -> web.StreamResponse:
    connection = await upgraded(request, ("portforward.k8s.io",))
    await PortForward(target, connection.send).run(connection.received())
    return connection.response


async def _websocket_ports(target: Pod, request: web.Request) -> web.StreamResponse:
    """SPDY frames in a WebSocket (KEP-4006)."""
    _chosen(request, TUNNELS)
    socket = web.WebSocketResponse(protocols=TUNNELS, max_msg_size=0, compress=False)
    await socket.prepare(request)
    await PortForward(target, socket.send_bytes).run(_bytes_of(socket))
    await socket.close()
    return socket


async def _bytes_of(socket: web.WebSocketResponse) -> AsyncIterator[bytes]:
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            yield message.data


async def _talk(client: WebSocketChannels | SpdyChannels, wanted: asked.Command, found: Conversation | Obj) -> None:
    try:
        await client.greet(_lowest(wanted))
    except (TimeoutError, ConnectionError):
        if isinstance(found, Conversation):
            found.close()
        return
    if isinstance(found, Conversation):
        await carry(client, found, wanted)
    else:
        await client.finish(found)


async def _start(kubelet: Kubelet, wanted: asked.Command) -> Conversation | Obj | None:
    """The process; or the status that says why it did not start; None for a container that does not run."""
    streams = Wanted(wanted.stdin, wanted.stdout, wanted.stderr, wanted.tty)
    place = (wanted.namespace, wanted.pod, wanted.container)
    if not wanted.argv:
        return await kubelet.attach(*place, streams)
    try:
        return await kubelet.execute(*place, wanted.argv, streams)
    except StartError as error:
        return statuses.not_started(wanted.argv, str(error))


def _lowest(wanted: asked.Command) -> Channel:
    if wanted.stdout:
        return Channel.STDOUT
    return Channel.STDERR if wanted.stderr else Channel.ERROR


def _chosen(request: web.Request, offered: tuple[str, ...]) -> str:
    """The first of the client's protocols that is spoken here."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise ApiError.bad_request("Upgrade request required")
    asked_for = [one.strip() for one in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    found = next((one for one in asked_for if one in offered), None)
    if found is None:
        known = f"client supports [{' '.join(asked_for)}], server accepts [{' '.join(offered)}]"
        raise ApiError(403, "Forbidden", f"unable to negotiate protocol: {known}", {})
    return found
