"""The few verbs that the operator needs, as a protocol. The implementation is in `rest.py`; tests bring their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tunebird.kube.meta import Kind, Manifest, Ref


@dataclass(frozen=True, slots=True)
class Event:
    """One line of an object's story. `reason` is stable CamelCase; the same event again raises its count."""

    about: Manifest
    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Who a bearer token is, by the API server's TokenReview."""

    username: str
    namespace: str
    pod_name: str
    pod_uid: str


class KubeApi(Protocol):
    """Every call has a timeout. Raises `Unavailable`, `Conflict` or `Rejected` of `tunebird.kube.errors`."""

    async def get(self, ref: Ref) -> Manifest | None:
        """The object, or None where there is none."""

    async def list(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> tuple[Manifest, ...]:
        """All objects of a kind, of one namespace or of all, that carry `labels`."""

    async def create(self, manifest: Manifest) -> Manifest:
        """Create once; an object of that name that is already there is a `Conflict`."""

    async def apply(self, manifest: Manifest) -> Manifest:
        """Server-side apply under our field manager, with force: the fields named are ours."""

    async def merge(self, ref: Ref, patch: Mapping[str, Any]) -> Manifest:
        """A merge patch, for the few fields that are patched on children (`spec.suspend`, `spec.replicas`)."""

    async def replace_status(self, manifest: Manifest) -> Manifest:
        """PUT the status subresource with the manifest's resourceVersion; a stale one is a `Conflict`."""

    async def delete(self, ref: Ref, *, uid: str | None = None) -> None:
        """Delete in the background; already gone is success; another uid is a `Conflict`."""

    async def post(self, event: Event) -> None:
        """Record an event; one that was recorded before gets its count raised. Never raises: it is logged."""

    async def review(self, token: str, audience: str) -> Reviewed | None:
        """Who the token is if the API server accepts it for `audience`, else None."""
