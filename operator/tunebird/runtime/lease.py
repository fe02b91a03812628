"""One operator at a time: a coordination.k8s.io Lease. Expiry is judged by our own clock, as client-go does it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tunebird.kube.client import KubeApi
from tunebird.kube.errors import Conflict, KubeError, Rejected, Unavailable
from tunebird.kube.meta import LEASE, MANAGED_BY, Manifest, Ref, content_hash

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds. A write begun `deadline` after the last renewal must end before others may act: see `Limits`."""

    duration: float = 30.0
    deadline: float = 20.0
    renew: float = 5.0
    retry: float = 2.0


def lease_name(namespaces: tuple[str, ...]) -> str:
    """One name per install scope: all namespaces, or this set of them."""
    return f"tunebird-operator-{content_hash(sorted(namespaces), length=8)}" if namespaces else "tunebird-operator"


class Lost(Exception):  # noqa: N818  a state of the world
    """The Lease went to another operator, or could not be renewed in time: stop acting."""


class Leadership:
    """Acquire, hold, release. `api` must not be fenced by this very lease."""

    def __init__(
        self,
        api: KubeApi,
        ref: Ref,
        identity: str,
        times: LeaseTimes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._ref = ref
        self._identity = identity
        self._times = times or LeaseTimes()
        self._clock = clock
        self._renewed_at: float | None = None
        self._seen: tuple[str, float] = ("", 0.0)
        self._complaint = ""

    def permit(self) -> None:
        """Raises `Unavailable` unless the Lease was renewed a short while ago: no write of ours can be a late one."""
        if self._renewed_at is None or self._clock() - self._renewed_at > self._times.deadline:
            raise Unavailable("this operator does not hold the Lease any more")

    async def acquire(self) -> None:
        """Wait until the Lease is ours."""
        told = ""
        while True:
            holder = await self._attempt()
            if holder == self._identity:
                log.info("Acquired the Lease", extra={"lease": self._ref.name, "identity": self._identity})
                return
            if holder != told:
                log.info("Waiting for the Lease", extra={"lease": self._ref.name, "holder": holder or "unknown"})
                told = holder
            await asyncio.sleep(self._times.retry)

    async def hold(self) -> None:
        """Renew for ever; raises `Lost`."""
        while True:
            await asyncio.sleep(self._times.renew)
            holder = await self._attempt()
            if holder not in ("", self._identity):
                self._renewed_at = None
                raise Lost(f"the Lease {self._ref.name} is now held by {holder}")
            try:
                self.permit()
            except Unavailable as error:
                raise Lost(f"the Lease {self._ref.name} could not be renewed in time") from error

    async def release(self) -> None:
        """Let the next operator act at once; all work must have ended."""
        if self._renewed_at is None:
            return
        self._renewed_at = None
        try:
            lease = await self._api.get(self._ref)
            if lease is not None and _holder(lease) == self._identity:
                await self._api.merge(self._ref, _change(lease, {"holderIdentity": "", "leaseDurationSeconds": 1}))
                log.info("Released the Lease", extra={"lease": self._ref.name})
        except KubeError as error:
            log.warning("Could not release the Lease", extra={"error": str(error)})

    async def _attempt(self) -> str:
        """One try to take or to renew; answers who holds it, "" if that could not be found out."""
        asked_at = self._clock()
        try:
            holder = await self._take()
        except Conflict:
            return ""
        except (Unavailable, Rejected) as error:
            self._complain(str(error))
            return ""
        self._complaint = ""
        if holder == self._identity:
            self._renewed_at = asked_at
        return holder

    async def _take(self) -> str:
        lease = await self._api.get(self._ref)
        if lease is None:
            await self._api.create(self._manifest())
            return self._identity
        holder = _holder(lease)
        if holder != self._identity and not self._expired(lease):
            return holder
        transitions = lease["spec"].get("leaseTransitions", 0) + (holder != self._identity)
        await self._api.merge(self._ref, _change(lease, {**self._held(), "leaseTransitions": transitions}))
        return self._identity

    def _expired(self, lease: Manifest) -> bool:
        """Free, or not renewed for its duration since we first saw this renewal: clocks needn't agree."""
        if not _holder(lease):
            return True
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, self._clock())
        duration = float(lease["spec"].get("leaseDurationSeconds", self._times.duration))
        return self._clock() - self._seen[1] > duration

    def _complain(self, error: str) -> None:
        if error != self._complaint:
            log.warning("Could not reach the Lease", extra={"lease": self._ref.name, "error": error})
        self._complaint = error

    def _held(self) -> dict[str, Any]:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(self._times.duration),
            "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }

    def _manifest(self) -> dict[str, Any]:
        metadata = {"name": self._ref.name, "namespace": self._ref.namespace, "labels": {MANAGED_BY: "tunebird"}}
        spec = {**self._held(), "leaseTransitions": 0}
        return {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata, "spec": spec}


def _holder(lease: Manifest) -> str:
    return str(lease.get("spec", {}).get("holderIdentity") or "")


def _change(lease: Manifest, spec: dict[str, Any]) -> dict[str, Any]:
    """A merge patch that the server refuses when somebody else wrote since."""
    return {"metadata": {"resourceVersion": lease["metadata"]["resourceVersion"]}, "spec": spec}
