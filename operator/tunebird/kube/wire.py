"""What goes over the wire: paths, requests and what an answer means. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from tunebird.kube import meta
from tunebird.kube.client import Reviewed
from tunebird.kube.errors import Conflict, KubeError, Rejected, Unavailable
from tunebird.kube.meta import Kind, Manifest

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

TOKEN_REVIEW = Kind("authentication.k8s.io/v1", "TokenReview", "tokenreviews", namespaced=False)
KINDS = {(kind.api_version, kind.kind): kind for kind in vars(meta).values() if isinstance(kind, Kind)}


@dataclass(frozen=True, slots=True)
class Request:
    """One call as it goes over the wire."""

    method: str
    path: str
    params: Mapping[str, str]
    body: Manifest | None = None
    content_type: str = JSON

    @property
    def writes(self) -> bool:
        return self.method != "GET"


class Absent(KubeError):  # noqa: N818  a state of the world
    """404: there is no such object, or no such kind."""


class Unauthorized(KubeError):  # noqa: N818
    """401: the credentials are not, or no longer, accepted."""


def kind_of(manifest: Manifest) -> Kind:
    """The kind of a manifest; plurals are ours to know (`tunebird.kube.meta`)."""
    kind = KINDS.get((manifest["apiVersion"], manifest["kind"]))
    if kind is not None:
        return kind
    raise ValueError(f"{manifest['apiVersion']} {manifest['kind']} is no kind that the operator writes")


def path_of(kind: Kind, namespace: str | None, name: str = "") -> str:
    """The URL path of a collection, or of one object."""
    place = f"/namespaces/{namespace}" if namespace and kind.namespaced else ""
    return f"{kind.path}{place}/{kind.plural}" + (f"/{name}" if name else "")


def path_of_manifest(manifest: Manifest) -> str:
    """The URL path of the object that a manifest names."""
    metadata = manifest["metadata"]
    return path_of(kind_of(manifest), metadata.get("namespace"), metadata["name"])


def answer(request: Request, status: int, headers: Mapping[str, str], body: bytes) -> Manifest:
    if status < HTTPStatus.BAD_REQUEST:
        decoded = _decoded(body)
        if decoded is None:
            raise Unavailable(f"{request.method} {request.path}: the answer is not a JSON object")
        return decoded
    raise _error(request, status, headers, _decoded(body) or {"message": body[:200].decode(errors="replace")})


def _decoded(body: bytes) -> dict[str, Any] | None:
    try:
        decoded = json.loads(body)
    except ValueError:
        return None
    return decoded if isinstance(decoded, dict) else None


def _error(request: Request, status: int, headers: Mapping[str, str], told: Manifest) -> KubeError:
    message = f"{request.method} {request.path}: {told.get('message') or HTTPStatus(status).phrase}"
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return Unauthorized(message)
        case HTTPStatus.NOT_FOUND:
            return Absent(message)
        case HTTPStatus.CONFLICT:
            return Conflict(message)
        case HTTPStatus.GONE | HTTPStatus.REQUEST_TIMEOUT | HTTPStatus.TOO_MANY_REQUESTS:
            return Unavailable(message, retry_after_seconds=_retry_after(headers))
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Unavailable(message, retry_after_seconds=_retry_after(headers))
        case _:
            return Rejected(message, code=status, reason=str(told.get("reason", "")))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None


def reviewed(status: Manifest, audience: str) -> Reviewed | None:
    if not status.get("authenticated") or audience not in status.get("audiences", ()):
        return None
    user = status.get("user", {})
    username = str(user.get("username", ""))
    extra = user.get("extra") or {}
    parts = username.split(":")
    is_service_account = parts[:2] == ["system", "serviceaccount"] and len(parts) == 4
    return Reviewed(
        username=username,
        namespace=parts[2] if is_service_account else "",
        pod_name=_first(extra, "authentication.kubernetes.io/pod-name"),
        pod_uid=_first(extra, "authentication.kubernetes.io/pod-uid"),
    )


def _first(extra: Mapping[str, Any], key: str) -> str:
    values = extra.get(key) or ("",)
    return str(values[0])
