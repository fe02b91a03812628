"""An API server in memory for `KubeApi`: resourceVersions, generations, apply with ownership, faults, a log of writes.

kube = FakeKube()
job = kube.put({...})                      # the world as a test finds it: any field, status too; not logged
await reconciler.reconcile(key)
kube.writes.clear()
await reconciler.reconcile(key)
assert kube.writes == []                   # a second pass writes nothing
kube.before = fail_once("replace_status")  # a hook may raise before a call, or (kube.after) when it is done
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fakes.merge import applied, merged
from tunebird.kube import meta
from tunebird.kube.client import Event, Reviewed
from tunebird.kube.errors import Conflict, Rejected, Unavailable
from tunebird.kube.meta import Kind, Manifest, Ref

Body = dict[str, Any]
KINDS = tuple(kind for kind in vars(meta).values() if isinstance(kind, Kind))


@dataclass(frozen=True)
class Call:
    """One call of the API, as hooks and the log see it. `body` is what was sent."""

    verb: str
    ref: Ref
    body: Any = None


Hook = Callable[[Call], None]


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def fail_once(verb: str, kind: Kind | None = None, error: Exception | None = None) -> Hook:
    """A hook that fails the first call of `verb` (on `kind`)."""
    left = [error or Unavailable("the API server is not reachable")]

    def hook(call: Call) -> None:
        if left and call.verb == verb and kind in (None, call.ref.kind):
            raise left.pop()

    return hook


class FakeKube:
    """The `KubeApi` protocol over dicts. What it returns are copies."""

    def __init__(self) -> None:
        self.objects: dict[Ref, Body] = {}
        self.gone: list[Body] = []  # pods, as they were when they went
        self.writes: list[Call] = []
        self.calls: list[Call] = []
        self.events: list[Event] = []
        self.tokens: dict[str, Reviewed] = {}
        self.before: Hook | None = None
        self.after: Hook | None = None
        self._owned: dict[Ref, Body] = {}
        self._version = 0
        self._uids = 0

    # --- what tests do to the world -------------------------------------------------------------------------------

    def put(self, manifest: Manifest) -> Body:
        """Create or replace an object as somebody else would, status and all; nothing is logged."""
        body = copy.deepcopy(dict(manifest))
        ref = ref_of(body)
        live = self.objects.get(ref)
        if live is not None:
            body["metadata"] = {**live["metadata"], **body["metadata"]}
        return self._store(ref, body, live)

    def patch(self, ref: Ref, change: Mapping[str, Any]) -> Body:
        """Merge a change into an object as somebody else would (status too); nothing is logged."""
        live = self.objects[ref]
        return self._store(ref, merged(live, change), live)

    def remove(self, ref: Ref) -> None:
        """Take an object away whatever its finalizers say; nothing is logged."""
        body = self.objects.pop(ref, None)
        if body is not None and ref.kind == meta.POD:
            self.gone.append(body)
        self._owned.pop(ref, None)

    def collect(self) -> None:
        """Garbage collection: remove what has owners of which none exists any more, until nothing changes."""
        uids = {body["metadata"]["uid"] for body in self.objects.values()}
        orphans = [ref for ref, body in self.objects.items() if (own := _owner_uids(body)) and not own & uids]
        for ref in orphans:
            self.remove(ref)
        if orphans:
            self.collect()

    def find(self, kind: Kind, name: str, namespace: str = "default") -> Body | None:
        """An object of the world, for assertions."""
        return self.objects.get(Ref(kind, namespace, name))

    def all(self, kind: Kind) -> list[Body]:
        """All objects of a kind, by name, for assertions."""
        return sorted((body for ref, body in self.objects.items() if ref.kind == kind), key=_name)

    # --- KubeApi --------------------------------------------------------------------------------------------------

    async def get(self, ref: Ref) -> Manifest | None:
        self._enter(Call("get", ref))
        return copy.deepcopy(self.objects.get(ref))

    async def list(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> tuple[Manifest, ...]:
        self._enter(Call("list", Ref(kind, namespace or "", "")))
        found = [body for body in self.all(kind) if namespace in (None, body["metadata"].get("namespace", ""))]
        return tuple(copy.deepcopy(body) for body in found if _carries(body, labels or {}))

    async def create(self, manifest: Manifest) -> Manifest:
        ref = ref_of(manifest)
        call = self._enter(Call("create", ref, copy.deepcopy(manifest)))
        if ref in self.objects:
            raise Conflict(f'{ref.kind.plural} "{ref.name}" already exists')
        body = {key: copy.deepcopy(value) for key, value in manifest.items() if key != "status"}
        return self._leave(call, self._store(ref, body, None))

    async def apply(self, manifest: Manifest) -> Manifest:
        ref = ref_of(manifest)
        call = self._enter(Call("apply", ref, copy.deepcopy(manifest)))
        wanted = {key: copy.deepcopy(value) for key, value in manifest.items() if key != "status"}
        live = self.objects.get(ref)
        body = applied(live or {}, wanted, self._owned.get(ref, {}))
        self._owned[ref] = wanted
        if live == body:
            return copy.deepcopy(live)
        return self._leave(call, self._store(ref, body, live))

    async def merge(self, ref: Ref, patch: Mapping[str, Any]) -> Manifest:
        call = self._enter(Call("merge", ref, copy.deepcopy(patch)))
        live = self._existing(ref)
        if patch.get("metadata", {}).get("resourceVersion") not in (None, live["metadata"]["resourceVersion"]):
            raise Conflict(f'{ref.kind.plural} "{ref.name}": the object has been modified')
        body = merged(live, {key: value for key, value in patch.items() if key != "status"})
        if body == live:
            return copy.deepcopy(live)
        return self._leave(call, self._store(ref, body, live))

    async def replace_status(self, manifest: Manifest) -> Manifest:
        ref = ref_of(manifest)
        call = self._enter(Call("replace_status", ref, copy.deepcopy(manifest.get("status", {}))))
        live = self._existing(ref)
        if manifest["metadata"].get("resourceVersion") != live["metadata"]["resourceVersion"]:
            raise Conflict(f'{ref.kind.plural} "{ref.name}": the object has been modified')
        body = {**live, "status": copy.deepcopy(manifest.get("status", {}))}
        if body == live:
            return copy.deepcopy(live)
        return self._leave(call, self._store(ref, body, live))

    async def delete(self, ref: Ref, *, uid: str | None = None) -> None:
        call = self._enter(Call("delete", ref))
        live = self.objects.get(ref)
        if live is None:
            return
        if uid is not None and live["metadata"]["uid"] != uid:
            raise Conflict(f'{ref.kind.plural} "{ref.name}" has another uid')
        if live["metadata"].get("finalizers"):
            stamp = live["metadata"].get("deletionTimestamp", "2026-01-01T00:00:00Z")
            self._store(ref, merged(live, {"metadata": {"deletionTimestamp": stamp}}), live)
        else:
            self.remove(ref)
        self._leave(call, {})

    async def post(self, event: Event) -> None:
        self.events.append(event)
        self.writes.append(Call("post", ref_of(event.about), event))

    async def review(self, token: str, audience: str) -> Reviewed | None:
        self._enter(Call("review", Ref(Kind("authentication.k8s.io/v1", "TokenReview", "tokenreviews"), "", "")))
        return self.tokens.get(token)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _enter(self, call: Call) -> Call:
        self.calls.append(call)
        if self.before is not None:
            self.before(call)
        return call

    def _leave(self, call: Call, body: Body) -> Body:
        self.writes.append(call)
        if self.after is not None:
            self.after(call)
        return copy.deepcopy(body)

    def _existing(self, ref: Ref) -> Body:
        if ref not in self.objects:
            raise Conflict(f'{ref.kind.plural} "{ref.name}" not found')
        return self.objects[ref]

    def _store(self, ref: Ref, body: Body, live: Body | None) -> Body:
        if not ref.name:
            raise Rejected(f"{ref.kind.kind}: metadata.name is required", code=422, reason="Invalid")
        self._version += 1
        stored = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self._version)}}
        if live is None:
            self._uids += 1
            stored["metadata"].setdefault("uid", f"uid-{self._uids}")
            stored["metadata"].setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
            stored["metadata"].setdefault("generation", 1)
        elif live.get("spec") != body.get("spec"):
            stored["metadata"]["generation"] = live["metadata"].get("generation", 0) + 1
        self.objects[ref] = stored
        if stored["metadata"].get("deletionTimestamp") and not stored["metadata"].get("finalizers"):
            self.remove(ref)
        return copy.deepcopy(stored)


class FakeChildren:
    """The `Children` of a `FakeKube`, up to date unless `freeze` made it lag."""

    def __init__(self, kube: FakeKube) -> None:
        self._kube = kube
        self._frozen: dict[Ref, Body] | None = None

    def freeze(self) -> None:
        """From now on show the world of this moment, as a watch that lags does."""
        self._frozen = copy.deepcopy(self._kube.objects)

    def thaw(self) -> None:
        """Catch up."""
        self._frozen = None

    def of(self, owner_uid: str, kind: Kind) -> tuple[Manifest, ...]:
        world = self._kube.objects if self._frozen is None else self._frozen
        mine = [body for ref, body in world.items() if ref.kind == kind and _belongs(body, owner_uid)]
        return tuple(copy.deepcopy(body) for body in sorted(mine, key=_name))

    def last_words(self, owner_uid: str) -> tuple[Manifest, ...]:
        return tuple(copy.deepcopy(body) for body in self._kube.gone if _belongs(body, owner_uid))

    def all(self, kind: Kind) -> tuple[Manifest, ...]:
        world = self._kube.objects if self._frozen is None else self._frozen
        ours = [
            body for ref, body in world.items() if ref.kind == kind and _carries(body, {meta.MANAGED_BY: "tunebird"})
        ]
        return tuple(copy.deepcopy(body) for body in sorted(ours, key=_name))


def ref_of(manifest: Manifest) -> Ref:
    """The reference of a manifest of a kind that `tunebird.kube.meta` knows."""
    for kind in KINDS:
        if (kind.api_version, kind.kind) == (manifest["apiVersion"], manifest["kind"]):
            metadata = manifest["metadata"]
            return Ref(kind, metadata.get("namespace", "default") if kind.namespaced else "", metadata.get("name", ""))
    raise AssertionError(f"no Kind in tunebird.kube.meta for {manifest['apiVersion']} {manifest['kind']}")


def _name(body: Manifest) -> str:
    return str(body["metadata"]["name"])


def _carries(body: Manifest, labels: Mapping[str, str]) -> bool:
    return labels.items() <= body["metadata"].get("labels", {}).items()


def _belongs(body: Manifest, uid: str) -> bool:
    managed = _carries(body, {meta.MANAGED_BY: "tunebird"})
    return managed and (meta.owned_by(body, uid) or _carries(body, {meta.OWNER_UID: uid}))


def _owner_uids(body: Manifest) -> set[str]:
    return {reference["uid"] for reference in body["metadata"].get("ownerReferences", ())}
