"""`KubeApi` over HTTP with raw JSON: no models, every call with a deadline, no more than some at once."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Self

import aiohttp

from tunebird.kube import events
from tunebird.kube.client import Event, Reviewed
from tunebird.kube.errors import Conflict, KubeError, Rejected, Unavailable
from tunebird.kube.login import Login, login
from tunebird.kube.meta import EVENT, FIELD_MANAGER, Kind, Manifest, Ref
from tunebird.kube.wire import (
    APPLY_PATCH,
    JSON,
    MERGE_PATCH,
    TOKEN_REVIEW,
    Absent,
    Request,
    Unauthorized,
    answer,
    kind_of,
    path_of,
    path_of_manifest,
    reviewed,
)

log = logging.getLogger(__name__)

PAGE = 500


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds for one call, reading and writing, and how many calls may be under way."""

    read_seconds: float = 30.0
    write_seconds: float = 8.0
    concurrent: int = 16


def _always() -> None:
    """Writing is always allowed."""


class RestKube:
    """Use as an async context manager. `permit` is called before each write and raises when it must not happen."""

    def __init__(
        self,
        access: Login,
        *,
        clock: Callable[[], datetime],
        limits: Limits | None = None,
        permit: Callable[[], None] = _always,
    ) -> None:
        self._access = access
        self._clock = clock
        self._limits = limits or Limits()
        self._permit = permit
        self._slots = asyncio.Semaphore(self._limits.concurrent)
        self._renewing = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = self._connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    # --- KubeApi --------------------------------------------------------------------------------------------------

    async def get(self, ref: Ref) -> Manifest | None:
        try:
            return await self._send(Request("GET", path_of(ref.kind, ref.namespace, ref.name), {}))
        except Absent:
            return None

    async def list(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> tuple[Manifest, ...]:
        selector = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
        params = {"limit": str(PAGE), **({"labelSelector": selector} if selector else {})}
        items: list[Manifest] = []
        more: str | None = ""
        while more is not None:
            page_params = {**params, "continue": more} if more else params
            page = await self._present(Request("GET", path_of(kind, namespace), page_params))
            items += [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in page.get("items") or ()]
            more = page.get("metadata", {}).get("continue") or None
        return tuple(items)

    async def create(self, manifest: Manifest) -> Manifest:
        path = path_of(kind_of(manifest), manifest["metadata"].get("namespace"))
        return await self._present(Request("POST", path, {"fieldManager": FIELD_MANAGER}, manifest))

    async def apply(self, manifest: Manifest) -> Manifest:
        params = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._present(Request("PATCH", path_of_manifest(manifest), params, manifest, APPLY_PATCH))

    async def merge(self, ref: Ref, patch: Mapping[str, Any]) -> Manifest:
        path = path_of(ref.kind, ref.namespace, ref.name)
        return await self._changed(Request("PATCH", path, {"fieldManager": FIELD_MANAGER}, patch, MERGE_PATCH))

    async def replace_status(self, manifest: Manifest) -> Manifest:
        path = f"{path_of_manifest(manifest)}/status"
        return await self._changed(Request("PUT", path, {"fieldManager": FIELD_MANAGER}, manifest))

    async def delete(self, ref: Ref, *, uid: str | None = None) -> None:
        options: dict[str, Any] = {"propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            await self._send(Request("DELETE", path_of(ref.kind, ref.namespace, ref.name), {}, options))
        except Absent:
            return

    async def post(self, event: Event) -> None:
        try:
            await self._post(event)
        except KubeError as error:
            log.warning("Could not post an event", extra={"reason": event.reason, "error": str(error)})

    async def review(self, token: str, audience: str) -> Reviewed | None:
        body = {
            "apiVersion": TOKEN_REVIEW.api_version,
            "kind": TOKEN_REVIEW.kind,
            "spec": {"token": token, "audiences": [audience]},
        }
        told = await self._present(Request("POST", path_of(TOKEN_REVIEW, None), {}, body))
        return reviewed(told.get("status", {}), audience)

    async def serves(self, kind: Kind) -> bool:
        """Whether the API server has this kind: for a CRD, whether it is installed and established."""
        try:
            found = await self._send(Request("GET", kind.path, {}))
        except Absent:
            return False
        return any(resource.get("name") == kind.plural for resource in found.get("resources") or ())

    # --- inside ---------------------------------------------------------------------------------------------------

    async def _post(self, event: Event) -> None:
        manifest = events.manifest(event, self._clock())
        try:
            await self.create(manifest)
        except Conflict:
            ref = Ref(EVENT, manifest["metadata"]["namespace"], manifest["metadata"]["name"])
            before = await self.get(ref)
            if before is not None:
                await self.merge(ref, events.repeated(before, self._clock()))

    async def _present(self, request: Request) -> Manifest:
        try:
            return await self._send(request)
        except Absent as error:
            raise Rejected(str(error), code=HTTPStatus.NOT_FOUND, reason="NotFound") from error

    async def _changed(self, request: Request) -> Manifest:
        try:
            return await self._send(request)
        except Absent as error:
            raise Conflict(str(error)) from error

    async def _send(self, request: Request) -> Manifest:
        async with self._slots:
            used = self._access
            try:
                return await self._once(request)
            except Unauthorized:
                await self._renew(used)
            try:
                return await self._once(request)
            except Unauthorized as error:
                raise Unavailable(f"the API server does not accept our credentials: {error}") from error

    async def _once(self, request: Request) -> Manifest:
        assert self._session is not None, "RestKube is used outside of its context"
        if request.writes:
            self._permit()
        limits = self._limits
        deadline = limits.write_seconds if request.writes else limits.read_seconds
        try:
            async with (
                asyncio.timeout(deadline),
                self._session.request(
                    request.method,
                    f"{self._access.server}{request.path}",
                    params=request.params,
                    data=None if request.body is None else json.dumps(request.body).encode(),
                    headers=await self._headers(request),
                    proxy=self._access.proxy,
                    server_hostname=self._access.server_name,
                ) as response,
            ):
                return answer(request, response.status, response.headers, await response.read())
        except TimeoutError as error:
            raise Unavailable(f"{request.method} {request.path}: no answer within {deadline:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"{request.method} {request.path}: {error}") from error

    async def _headers(self, request: Request) -> dict[str, str]:
        headers = {"Accept": JSON, "User-Agent": "tunebird-operator"}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        header = await self._access.authorization()
        return {**headers, "Authorization": header} if header else headers

    def _connect(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(ssl=self._access.ssl_context(), limit=self._limits.concurrent)
        return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None, sock_connect=5))

    async def _renew(self, used: Login) -> None:
        """Log in again, once for all calls that were refused: a token has expired, or certificates were rotated."""
        async with self._renewing:
            if self._access is not used:
                return
            self._access = await login()
            before, self._session = self._session, self._connect()
            if before is not None:
                await before.close()
