"""Asks webhooks over HTTPS: by URL, or by a Service whose ready endpoints are on this machine's loopback network."""

from __future__ import annotations

import itertools
import ssl
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from devplane.admission.configurations import Service, Webhook
from devplane.errors import go_quote
from devplane.storage.store import Store

if TYPE_CHECKING:
    import aiohttp

Obj = dict[str, Any]

_SLICES = "endpointslices.discovery.k8s.io"
_MAX_ANSWER = 3 * 1024 * 1024
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "kube-apiserver-admission"}
_UNKNOWN_AUTHORITY = frozenset({18, 19, 20, 21})
_EXPIRED = 10
_OTHER_HOST = frozenset({62, 64})


class CallError(Exception):
    """A webhook could not be asked, or did not answer; the message is the server's."""


class ClosedError(CallError):
    """The connection ended without an answer."""


@dataclass(frozen=True, slots=True)
class Place:
    """`url` as messages show it; `address` is where it really is, `host` whom the certificate must be for."""

    url: str
    address: str
    host: str


class Caller:
    """Keeps its connections open between calls; `close` ends them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._session: aiohttp.ClientSession | None = None
        self._trusts: dict[str, ssl.SSLContext] = {}
        self._turn = itertools.count()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, hook: Webhook, review: Obj) -> Any:
        """The answered JSON; raises CallError."""
        place = Place(*_at(hook))
        try:
            place = self._found(hook)
            try:
                return await self._posted(place, hook, review)
            except ClosedError:  # it had been kept open for too long; a new one says more
                return await self._posted(place, hook, review)
        except CallError as error:
            raise CallError(f"failed to call webhook: Post {go_quote(place.url)}: {error}") from error

    async def _posted(self, place: Place, hook: Webhook, review: Obj) -> Any:
        import aiohttp

        timeout, body = aiohttp.ClientTimeout(total=hook.seconds), orjson.dumps(review)
        try:
            async with self._open().post(
                place.address,
                data=body,
                headers=_HEADERS | {"Host": urlsplit(place.url).netloc},
                ssl=self._trust(hook.ca_bundle),
                server_hostname=place.host,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                return await _read(response)
        except TimeoutError:
            raise CallError("context deadline exceeded") from None
        except aiohttp.ClientError as error:
            if _was_closed(error):
                raise ClosedError("EOF") from error
            raise CallError(_explained(error)) from error

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(keepalive_timeout=5))
        return self._session

    def _trust(self, bundle: str) -> ssl.SSLContext:
        """The authorities of the bundle alone, or those of the system."""
        if bundle not in self._trusts:
            try:
                pem = b64decode(bundle, validate=True).decode() if bundle else None
                self._trusts[bundle] = ssl.create_default_context(cadata=pem)
            except (ValueError, ssl.SSLError) as error:
                raise CallError(f"unable to load root certificates: {error}") from error
        return self._trusts[bundle]

    def _found(self, hook: Webhook) -> Place:
        url, address, host = _at(hook)
        if hook.service is None:
            return Place(url, address, host)
        ready = list(self._ready(hook.service))
        if not ready:
            raise CallError(f"no endpoints available for service {go_quote(hook.service.name)}")
        where = ready[next(self._turn) % len(ready)]
        return Place(url, f"https://{where}{urlsplit(url).path}?{urlsplit(url).query}", host)

    def _ready(self, service: Service) -> Iterator[str]:
        """``address:port`` of every ready endpoint behind a port of the Service."""
        found = self._store.get("services", service.namespace, service.name)
        if found is None:
            raise CallError(f"service {go_quote(service.name)} not found")
        port = next((one for one in found["spec"].get("ports") or () if one["port"] == service.port), None)
        if port is None:
            raise CallError(f"no service port {service.port} found for service {go_quote(service.name)}")
        for part in self._store.items(_SLICES, service.namespace):
            labels = part["metadata"].get("labels") or {}
            if labels.get("kubernetes.io/service-name") == service.name:
                yield from _addresses(part, port.get("name") or "")


def _addresses(part: Obj, port: str) -> Iterator[str]:
    numbers = [one["port"] for one in part.get("ports") or () if (one.get("name") or "") == port and one.get("port")]
    for endpoint in part.get("endpoints") or ():
        if (endpoint.get("conditions") or {}).get("ready") is not False:
            yield from (f"{address}:{number}" for address in endpoint["addresses"] for number in numbers)


def _at(hook: Webhook) -> tuple[str, str, str]:
    """(shown, real, host) before the endpoints of a Service are known."""
    if service := hook.service:
        host = f"{service.name}.{service.namespace}.svc"
        path = hook.path if hook.path.startswith("/") or not hook.path else f"/{hook.path}"
        url = f"https://{host}:{service.port}{path}?timeout={hook.seconds}s"
    else:
        host = urlsplit(hook.url).hostname or ""
        url = f"{hook.url}{'&' if urlsplit(hook.url).query else '?'}timeout={hook.seconds}s"
    return url, url, host


async def _read(response: aiohttp.ClientResponse) -> Any:
    body = b""
    async for part in response.content.iter_chunked(64 * 1024):
        body += part
        if len(body) > _MAX_ANSWER:
            raise CallError(f"the answer is longer than {_MAX_ANSWER} bytes")
    if response.status == 404:
        raise CallError("the server could not find the requested resource")
    if response.status >= 500:
        text = body.decode(errors="replace").strip()[:200]
        raise CallError(f"an error on the server ({go_quote(text or 'unknown')}) has prevented the request from "
                        "succeeding")  # fmt: skip
    if response.status != 200:
        raise CallError(f"the server rejected our request for an unknown reason (status {response.status})")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise CallError(f"couldn't get version/kind; json parse error: {error}") from error


def _was_closed(error: aiohttp.ClientError) -> bool:
    """The connection was there, and then it was not."""
    import aiohttp

    is_broken = isinstance(error, aiohttp.ClientOSError) and not isinstance(error, aiohttp.ClientConnectorError)
    return is_broken or isinstance(error, aiohttp.ServerDisconnectedError)


def _explained(error: aiohttp.ClientError) -> str:
    import aiohttp

    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"tls: failed to verify certificate: {_verification(error.certificate_error)}"
        case aiohttp.ClientConnectorError() if isinstance(error.os_error, ConnectionRefusedError):
            return f"dial tcp {error.host}:{error.port}: connect: connection refused"
        case aiohttp.ClientConnectorError():
            return f"dial tcp {error.host}:{error.port}: {error.os_error}"
        case _:
            return str(error)


def _verification(error: Exception) -> str:
    code = getattr(error, "verify_code", 0)
    if code in _UNKNOWN_AUTHORITY:
        return "x509: certificate signed by unknown authority"
    if code == _EXPIRED:
        return "x509: certificate has expired or is not yet valid"
    text = getattr(error, "verify_message", "") or str(error)
    return f"x509: certificate is not valid for this host: {text}" if code in _OTHER_HOST else f"x509: {text}"
