"""Making the world as decided. Children are written only where they differ; a second pass writes nothing."""

from __future__ import annotations

from collections.abc import Iterable

from tunebird.kube.client import KubeApi
from tunebird.kube.errors import Conflict
from tunebird.kube.meta import DEPLOYMENT, REVISION, SERVICE, Kind, Manifest, Ref, owned_by
from tunebird.rollout.decide import Decision
from tunebird.rollout.manifests import child_name, deployment, differs, revision_service, stable_service, target
from tunebird.rollout.observe import World
from tunebird.rollout.progress import Progress, Revision
from tunebird.rollout.turn import Observed
from tunebird.traffic.registry import ROUTERS
from tunebird.traffic.router import Share


class Applier:
    """Writes; decides nothing."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def apply(self, owner: Manifest, seen: Observed, decision: Decision, world: World) -> None:
        """Servers first, then the route, then what is left over."""
        progress = decision.progress
        for revision in _revisions(progress):
            await self._servers(owner, seen, decision, world, revision)
        if progress.stable is not None:
            await self._child(SERVICE, stable_service(owner, seen.plan, progress.stable.name), world)
            await self.route(owner, seen, decision, world)
        await self._scale_others(seen, decision, world)
        await self._forget(seen, progress, world)

    async def route(self, owner: Manifest, seen: Observed, decision: Decision, world: World) -> None:
        """The split as one write."""
        split = tuple(Share(child_name(seen.plan, name), share) for name, share in decision.progress.split.items())
        router = ROUTERS["GatewayAPI"]
        where = target(owner, seen.plan)
        for ref, manifest in zip(router.reads(where), router.manifests(where, split), strict=True):
            await self._child(ref.kind, manifest, world)

    async def _servers(
        self, owner: Manifest, seen: Observed, decision: Decision, world: World, revision: Revision
    ) -> None:
        name = child_name(seen.plan, revision.name)
        replicas = dict(decision.replicas).get(revision.name)
        await self._child(SERVICE, revision_service(owner, seen.plan, revision.name), world)
        live = world.live(DEPLOYMENT, name)
        if live is None and replicas is not None:
            number = decision.progress.number
            await self._child(DEPLOYMENT, deployment(owner, seen.plan, revision, replicas, number), world)
        elif live is not None and replicas is not None:
            await self._scale(live, replicas)

    async def _scale_others(self, seen: Observed, decision: Decision, world: World) -> None:
        mine = {revision.name for revision in _revisions(decision.progress)}
        for revision, replicas in decision.replicas:
            live = world.live(DEPLOYMENT, child_name(seen.plan, revision))
            if revision not in mine and live is not None:
                await self._scale(live, replicas)

    async def _scale(self, live: Manifest, replicas: int) -> None:
        if live["spec"].get("replicas", 1) != replicas:
            await self._api.merge(_ref(DEPLOYMENT, live), {"spec": {"replicas": replicas}})

    async def _child(self, kind: Kind, wanted: Manifest, world: World) -> None:
        """Write a child unless it is as wanted. One of another owner is never taken over."""
        live = world.live(kind, wanted["metadata"]["name"])
        if live is None:
            live = await self._api.get(_ref(kind, wanted))
            uid = wanted["metadata"]["ownerReferences"][0]["uid"]
            if live is not None and not owned_by(live, uid):
                raise Conflict(f"{kind.kind} {wanted['metadata']['name']} belongs to something else")
        if live is None or differs(live, wanted):
            await self._api.apply(wanted)

    async def _forget(self, seen: Observed, progress: Progress, world: World) -> None:
        """Old revisions beyond the history limit go, the oldest first."""
        used = {revision.name for revision in _revisions(progress)} | {item.revision for item in progress.retiring}
        old = [item for item in world.deployments if item["metadata"]["labels"].get(REVISION) not in used]
        old.sort(key=lambda item: str(item["metadata"].get("creationTimestamp", "")), reverse=True)
        for item in old[seen.plan.revision_history_limit :]:
            service = world.live(SERVICE, item["metadata"]["name"])
            for kind, live in ((SERVICE, service), (DEPLOYMENT, item)):
                if live is not None:
                    await self._api.delete(_ref(kind, live), uid=live["metadata"]["uid"])


def _revisions(progress: Progress) -> Iterable[Revision]:
    return [revision for revision in (progress.stable, progress.canary) if revision is not None]


def _ref(kind: Kind, item: Manifest) -> Ref:
    return Ref(kind, item["metadata"]["namespace"], item["metadata"]["name"])
