"""What handlers get to see: the loops, the cache of children, and what to do when an object was seen."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from tunebird.kube.meta import Kind, Manifest, content_hash
from tunebird.runtime.cache import ChildrenCache, owners
from tunebird.runtime.loop import Loops
from tunebird.runtime.reports import ReportStore


@dataclass
class Seen:
    """Which of an object's events are news. Our own status writes are not, or each pass would bring another."""

    _last: dict[str, str] = field(default_factory=dict)

    def news(self, uid: str, content: object) -> bool:
        """Whether `content` differs from what was last seen of this object."""
        digest = content_hash(content)
        before, self._last[uid] = self._last.get(uid), digest
        return digest != before

    def forget(self, uid: str) -> None:
        """The object is gone."""
        self._last.pop(uid, None)


@dataclass(frozen=True, slots=True)
class App:
    """One running operator."""

    finetunejobs: Loops
    modelrollouts: Loops
    children: ChildrenCache
    reports: ReportStore
    seen: Seen = field(default_factory=Seen)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def child_seen(self, kind: Kind, manifest: Manifest, *, gone: bool) -> None:
        """Remember a child and wake whoever owns it."""
        if gone:
            self.children.drop(kind, manifest)
        else:
            self.children.put(kind, manifest)
        for owner in owners(manifest):
            self.wake(owner)

    def job_seen(self, manifest: Manifest, *, gone: bool) -> None:
        """Wake the job's own loop for what people change, and the namespace's rollouts for what came out of it."""
        metadata = manifest["metadata"]
        uid = metadata["uid"]
        if gone:
            self.seen.forget(uid)
            self.reports.forget(uid)
        elif self.seen.news(uid, _wanted(manifest)):
            self.finetunejobs.wake(uid)
        if gone or self.seen.news(f"{uid}/result", _result(manifest)):
            self.modelrollouts.wake_all(metadata["namespace"])
        if gone:
            self.seen.forget(f"{uid}/result")

    def rollout_seen(self, manifest: Manifest, *, gone: bool) -> None:
        """Wake the rollout's loop for what people change."""
        uid = manifest["metadata"]["uid"]
        if gone:
            self.seen.forget(uid)
        elif self.seen.news(uid, _wanted(manifest)):
            self.modelrollouts.wake(uid)

    def wake(self, uid: str) -> None:
        """Wake the loop of an object, whichever kind it is."""
        self.finetunejobs.wake(uid)
        self.modelrollouts.wake(uid)


def _wanted(manifest: Manifest) -> object:
    """What people change: the spec (by its generation), annotations (verbs), labels, and whether it should exist."""
    metadata = manifest["metadata"]
    fields = ("generation", "annotations", "labels", "deletionTimestamp")
    return [metadata.get(name) for name in fields]


def _result(manifest: Manifest) -> object:
    """What a rollout takes from a job."""
    status: Mapping[str, object] = manifest.get("status") or {}
    conditions = status.get("conditions") or ()
    assert isinstance(conditions, list | tuple)
    ended = [[item["type"], item["status"]] for item in conditions if item["type"] in ("Succeeded", "Failed")]
    return [manifest["metadata"].get("labels"), status.get("artifact"), ended]
