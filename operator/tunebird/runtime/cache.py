"""`Children` from the watches. Watches miss deletions while they reconnect, so a list now and then sweeps up.

A pod that is evicted ends and is gone within the same second: what its last state told is kept for whoever looks later.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from time import monotonic

from tunebird.kube.client import KubeApi
from tunebird.kube.errors import KubeError, Rejected
from tunebird.kube.meta import DEPLOYMENT, HTTP_ROUTE, JOB, MANAGED_BY, OWNER_UID, POD, SERVICE, Kind, Manifest

log = logging.getLogger(__name__)

WATCHED = (JOB, POD, DEPLOYMENT, SERVICE, HTTP_ROUTE)
OURS = {MANAGED_BY: "tunebird"}
SWEEP_SECONDS = 300.0
# Pods that are gone, of all owners: their owners look within seconds.
GONE_PODS = 500


@dataclass(frozen=True, slots=True)
class _Entry:
    manifest: Manifest
    seen_at: float


class ChildrenCache:
    """By kind and uid, with an index by owner. Manifests are kept without their managedFields."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._entries: dict[Kind, dict[str, _Entry]] = {kind: {} for kind in WATCHED}
        self._owned: dict[tuple[str, Kind], set[str]] = {}
        self._gone: deque[Manifest] = deque(maxlen=GONE_PODS)

    def of(self, owner_uid: str, kind: Kind) -> tuple[Manifest, ...]:
        """`Children.of`."""
        entries = self._entries[kind]
        mine = (entries[uid].manifest for uid in self._owned.get((owner_uid, kind), ()))
        return tuple(sorted(mine, key=lambda manifest: str(manifest["metadata"]["name"])))

    def last_words(self, owner_uid: str) -> tuple[Manifest, ...]:
        """`Children.last_words`."""
        return tuple(pod for pod in self._gone if owner_uid in owners(pod))

    def all(self, kind: Kind) -> tuple[Manifest, ...]:
        """`Children.all`."""
        return tuple(entry.manifest for entry in self._entries[kind].values())

    def by_uid(self, kind: Kind, uid: str) -> Manifest | None:
        """One child by its own uid."""
        entry = self._entries[kind].get(uid)
        return entry.manifest if entry else None

    def put(self, kind: Kind, manifest: Manifest) -> None:
        """A watch has shown this object."""
        uid = manifest["metadata"]["uid"]
        self._forget(kind, uid)
        self._entries[kind][uid] = _Entry(_slim(manifest), self._clock())
        for owner in owners(manifest):
            self._owned.setdefault((owner, kind), set()).add(uid)

    def drop(self, kind: Kind, manifest: Manifest) -> None:
        """A watch has seen this object go."""
        self._forget(kind, manifest["metadata"]["uid"])
        if kind == POD:
            self._gone.append(_slim(manifest))

    async def sweep(self, api: KubeApi, namespaces: tuple[str, ...], kinds: Iterable[Kind] = WATCHED) -> set[str]:
        """List everything once; answers the uids of the owners whose children turned out otherwise."""
        changed: set[str] = set()
        for kind in kinds:
            started = self._clock()
            try:
                listed = [item for place in namespaces or (None,) for item in await api.list(kind, place, OURS)]
            except Rejected as refused:
                if refused.reason != "NotFound":  # HTTPRoute without the Gateway API: there are none
                    raise
                listed = []
            changed.update(self._settle(kind, listed, started))
        return changed

    def _settle(self, kind: Kind, listed: list[Manifest], started: float) -> Iterator[str]:
        """Take the list for true, but for what a watch has told since it began."""
        there = {item["metadata"]["uid"]: item for item in listed}
        old = {uid: entry for uid, entry in self._entries[kind].items() if entry.seen_at < started}
        for uid in old.keys() - there.keys():
            yield from owners(old[uid].manifest)
            self._forget(kind, uid)
        for uid, item in there.items():
            known = self._entries[kind].get(uid)
            if known is None or (uid in old and _version(known.manifest) != _version(item)):
                yield from owners(item)
                self.put(kind, item)

    def _forget(self, kind: Kind, uid: str) -> None:
        entry = self._entries[kind].pop(uid, None)
        for owner in owners(entry.manifest) if entry else ():
            mine = self._owned.get((owner, kind), set())
            mine.discard(uid)
            if not mine:
                self._owned.pop((owner, kind), None)


async def keep_swept(
    cache: ChildrenCache, api: KubeApi, namespaces: tuple[str, ...], wake: Callable[[str], None]
) -> None:
    """Sweep for ever; whoever's children were not what the watches said is woken."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            for uid in await cache.sweep(api, namespaces):
                wake(uid)
        except KubeError as error:
            log.warning("Could not list children", extra={"error": str(error)})


def owners(manifest: Manifest) -> frozenset[str]:
    """The uids that a child answers to: its controller's and the one in its label."""
    metadata = manifest["metadata"]
    references = metadata.get("ownerReferences") or ()
    controllers = {reference["uid"] for reference in references if reference.get("controller")}
    label = (metadata.get("labels") or {}).get(OWNER_UID)
    return frozenset(controllers | ({label} if label else set()))


def _slim(manifest: Manifest) -> Manifest:
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "managedFields"}
    return {**manifest, "metadata": metadata}


def _version(manifest: Manifest) -> str:
    return str(manifest["metadata"].get("resourceVersion", ""))
