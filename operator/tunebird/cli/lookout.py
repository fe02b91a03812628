"""Whether an operator runs, as far as its Lease tells: an object that nobody works on says nothing by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import click

from tunebird.cli.kubectl import Kubectl, Object
from tunebird.kube.meta import MANAGED_BY

# Clocks of this machine and the cluster's may differ by this much before a Lease looks old.
SKEW_SECONDS = 30.0
# A Lease is renewed about as often.
LOOK_SECONDS = 10.0
NOBODY = "the operator, which has not seen this generation: does it run, and does it watch this namespace?"
REMEDY = "`tunebird dev status` tells of a local one, `kubectl get pods -A` of a cluster's"


def unseen(seen: Object) -> str:
    """What of an object only the operator can do next, where it hasn't yet. Pure; empty where it is up to date."""
    metadata = seen["metadata"]
    if metadata.get("deletionTimestamp"):
        held = ", ".join(metadata.get("finalizers", ())) or "none"
        return f"the operator, to let it go: deleted at {metadata['deletionTimestamp']}, finalizers: {held}"
    return "" if seen.get("status", {}).get("observedGeneration") == metadata.get("generation") else NOBODY


def silence(kubectl: Kubectl) -> str:
    """Why nothing will move: no operator renews a Lease. Empty where one does, or where this user may not read them."""
    return Lookout(kubectl).silence()


class Lookout:
    """For who looks again and again: the Leases are asked for every `LOOK_SECONDS`, and grow older meanwhile."""

    def __init__(
        self, kubectl: Kubectl, clock: Callable[[], float] = time.monotonic, now: Callable[[], datetime] | None = None
    ) -> None:
        self._kubectl = kubectl
        self._clock = clock
        self._now = now or (lambda: datetime.now(UTC))
        self._leases: list[Object] | None = None
        self._due = float("-inf")

    def silence(self) -> str:
        if self._clock() >= self._due:
            self._leases = _leases(self._kubectl)
            self._due = self._clock() + LOOK_SECONDS
        return "" if self._leases is None else verdict(self._leases, self._now())


def _leases(kubectl: Kubectl) -> list[Object] | None:
    """None where this user may not read them."""
    try:
        return kubectl.items("leases.coordination.k8s.io", "--all-namespaces", f"--selector={MANAGED_BY}=tunebird")
    except click.ClickException:
        return None


def verdict(leases: Iterable[Object], now: datetime) -> str:
    """Pure: what the operators' Leases tell at `now`."""
    specs = [lease.get("spec", {}) for lease in leases]
    held = [spec for spec in specs if spec.get("holderIdentity") and spec.get("renewTime")]
    if not held:
        return f"no operator runs: none holds a Lease; {REMEDY}"
    age, allowed = min((_age(spec, now), _allowed(spec)) for spec in held)
    return f"no operator seems to run: its Lease was last renewed {age:.0f} s ago; {REMEDY}" if age > allowed else ""


def _age(spec: Object, now: datetime) -> float:
    return (now - datetime.fromisoformat(str(spec["renewTime"]))).total_seconds()


def _allowed(spec: Object) -> float:
    return float(spec.get("leaseDurationSeconds") or 0) + SKEW_SECONDS
