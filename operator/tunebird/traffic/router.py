"""How traffic is split, whatever the mesh: pure translators between shares of revisions and Kubernetes objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tunebird.kube.meta import Manifest, Ref

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Share:
    """A backend Service and its percentage of the requests."""

    service: str
    weight: int


@dataclass(frozen=True, slots=True)
class Target:
    """What the route is about: its object, its port and what the user wrote for it."""

    namespace: str
    name: str
    port: int
    metadata: Json
    parent_refs: tuple[Json, ...] = ()
    hostnames: tuple[str, ...] = ()
    matches: tuple[Json, ...] = ()
    timeouts: Json | None = None


@dataclass(frozen=True, slots=True)
class Routed:
    """What is live. `weights` by Service, the same in every rule, else None; `accepted` None: it can't tell."""

    weights: Mapping[str, int] | None
    accepted: bool | None
    message: str = ""


class Router(Protocol):
    """Does no I/O: the reconciler reads what `reads` names and writes what `manifests` gives."""

    def reads(self, target: Target) -> tuple[Ref, ...]:
        """The objects that `routed` looks at."""

    def routed(self, live: Manifest, target: Target) -> Routed:
        """What the live object says about traffic."""

    def manifests(self, target: Target, split: tuple[Share, ...]) -> tuple[Manifest, ...]:
        """The objects that carry this split."""
