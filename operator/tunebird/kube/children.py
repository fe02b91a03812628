"""Reading children without asking the API server: a view that the watches keep up to date."""

from __future__ import annotations

from typing import Protocol

from tunebird.kube.meta import Kind, Manifest


class Children(Protocol):
    """May lag behind the server: children have deterministic names, so creating one twice is a `Conflict`."""

    def of(self, owner_uid: str, kind: Kind) -> tuple[Manifest, ...]:
        """Those of `kind` whose controller, or label ``tunebird.dev/owner-uid``, is `owner_uid`; sorted by name."""

    def last_words(self, owner_uid: str) -> tuple[Manifest, ...]:
        """The owner's pods that are gone, as they were when they went: what is remembered of them, the oldest first."""

    def all(self, kind: Kind) -> tuple[Manifest, ...]:
        """Those of every owner in the watched namespaces, in no order."""
