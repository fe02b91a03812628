"""Everything that a decision needs, read in one place: the resource, its children, its job, its route, its numbers."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tunebird.kube.children import Children
from tunebird.kube.client import KubeApi
from tunebird.kube.conditions import conditions_of, find, instant
from tunebird.kube.meta import (
    DEPLOYMENT,
    FINE_TUNE_JOB,
    HTTP_ROUTE,
    POD,
    REVISION,
    SECRET,
    SERVICE,
    Kind,
    Manifest,
    Ref,
    owned_by,
)
from tunebird.kube.verbs import asked
from tunebird.metrics.provider import PodsSource, PodTarget, PrometheusSource, Providers, Query, Sample, Source
from tunebird.rollout.counting import PodSeen, Round
from tunebird.rollout.manifests import CONTAINER, child_name, model_of, revision_name, target, unservable
from tunebird.rollout.plan import Plan
from tunebird.rollout.progress import Progress, Revision
from tunebird.rollout.recover import rebuilt
from tunebird.rollout.resolve import InvalidSpec
from tunebird.rollout.resolve import plan as resolved
from tunebird.rollout.settings import ModelRolloutSettings
from tunebird.rollout.status import progress_of
from tunebird.rollout.trouble import first_trouble, refused
from tunebird.rollout.turn import Observed, RouteSeen, ServerSeen, Verb
from tunebird.rollout.verbs import VERBS
from tunebird.traffic.overlap import shadow
from tunebird.traffic.registry import ROUTERS


@dataclass(frozen=True, slots=True)
class World:
    """The children as the watches show them."""

    deployments: tuple[Manifest, ...]
    services: tuple[Manifest, ...]
    pods: tuple[Manifest, ...]
    routes: tuple[Manifest, ...]

    def live(self, kind: Kind, name: str) -> Manifest | None:
        """The child of this kind and name."""
        kinds = {DEPLOYMENT: self.deployments, SERVICE: self.services, HTTP_ROUTE: self.routes}
        return next((item for item in kinds[kind] if item["metadata"]["name"] == name), None)


class Observer:
    """Reads; never writes."""

    def __init__(self, api: KubeApi, children: Children, providers: Providers, settings: ModelRolloutSettings) -> None:
        self._api = api
        self._children = children
        self._providers = providers
        self._settings = settings

    async def observed(self, owner: Manifest, now: datetime) -> tuple[Observed, World]:
        """Raises `InvalidSpec` of `resolve` where the specification can't be carried out."""
        plan = resolved(owner)
        world = self._world(plan.uid)
        await self._refuse_foreign(plan, world)
        progress = progress_of(owner.get("status") or {}) or _from_world(owner, plan, world)
        model, waiting = await self._model(plan)
        seen = Observed(
            now=now,
            plan=plan,
            progress=progress,
            target=self._revision(plan, model, progress) if model else None,
            waiting=waiting,
            servers=_servers(world),
            route=_route(owner, plan, world, self._children.all(HTTP_ROUTE)),
            round=await self._round(plan, progress, world, now),
            verbs=_verbs(owner),
        )
        return seen, world

    def _world(self, uid: str) -> World:
        kinds = (DEPLOYMENT, SERVICE, POD, HTTP_ROUTE)
        return World(*(self._children.of(uid, kind) for kind in kinds))

    async def _refuse_foreign(self, plan: Plan, world: World) -> None:
        """A Service or route of this name that is not ours is never taken over."""
        for kind, name, field in ((SERVICE, plan.service_name, "service.name"), (HTTP_ROUTE, plan.name, "traffic")):
            live = None if world.live(kind, name) else await self._api.get(Ref(kind, plan.namespace, name))
            if live is not None and not owned_by(live, plan.uid):
                raise InvalidSpec(f"spec.{field}: {kind.kind} {name} belongs to something else; rename one of the two")

    # --- the model --------------------------------------------------------------------------------------------------

    async def _model(self, plan: Plan) -> tuple[tuple[str, str] | None, str]:
        """Digest and uri of the model, or what it waits for."""
        if not plan.model.job:
            return self._servable(plan, (plan.model.digest, plan.model.uri), "spec.model.source.uri")
        job = await self._api.get(Ref(FINE_TUNE_JOB, plan.namespace, plan.model.job))
        if job is None:
            return None, f"FineTuneJob {plan.model.job}, which does not exist"
        status = job.get("status") or {}
        artifact = status.get("artifact")
        if not artifact:
            return None, f"FineTuneJob {plan.model.job} ({status.get('phase', 'not started')}) to have an artifact"
        failed = find(conditions_of(status), "Failed")
        if failed is not None and failed.status == "True":  # of one whose gates failed the artifact is kept, not served
            return None, f"FineTuneJob {plan.model.job}, which failed ({failed.reason}), to succeed"
        form = artifact.get("forms", {}).get("merged")
        if form is None:
            return None, f"FineTuneJob {plan.model.job} to have a merged form; add it to its spec.output.forms"
        return self._servable(plan, model_of(artifact, form), f"spec.model.jobRef.name: {plan.model.job}: its model")

    def _servable(self, plan: Plan, model: tuple[str, str], where: str) -> tuple[tuple[str, str] | None, str]:
        _, uri = model
        trouble = unservable(uri, plan.server.runtime)
        if not trouble and uri.startswith("file://") and not self._settings.allow_file_uris:
            trouble = f"{uri}: file:// is for the embedded control plane only; use pvc:// or hf://"
        return (None, f"a model that can be loaded: {where}: {trouble}") if trouble else (model, "")

    def _revision(self, plan: Plan, model: tuple[str, str], progress: Progress) -> Revision:
        digest, uri = model
        name = revision_name(digest, plan.server)
        known = next((item for item in (progress.stable, progress.canary) if item and item.name == name), None)
        image = known.image if known else self._settings.image_of(plan.server)
        server = json.dumps(plan.server.identity, sort_keys=True)
        return known or Revision(name, digest, uri, plan.model.job, image, server)

    # --- numbers ----------------------------------------------------------------------------------------------------

    async def _round(self, plan: Plan, progress: Progress, world: World, now: datetime) -> Round | None:
        """A round of sampling, when one is due and there is something to compare."""
        canary, stable = progress.canary, progress.stable
        if progress.trial is None or canary is None or stable is None or not plan.analysis.slis:
            return None
        last = progress.measured.sampled
        if last is not None and timedelta() <= now - last < timedelta(seconds=plan.analysis.interval):
            return None
        pods = tuple(_pod(item) for item in world.pods)
        arms = (self._samples(plan, canary.name, pods), self._samples(plan, stable.name, pods))
        of_canary, of_stable = await asyncio.gather(*arms)
        return Round(
            now, of_canary, of_stable, tuple(pod for pod in pods if pod.revision in (canary.name, stable.name))
        )

    async def _samples(self, plan: Plan, revision: str, pods: tuple[PodSeen, ...]) -> Mapping[str, Sample]:
        asked = {sli.provider for sli in plan.analysis.slis}
        sources = [source for source in plan.sources if source.name in asked]
        found = await asyncio.gather(*(self._sample(plan, source, revision, pods) for source in sources))
        return {source.name: sample for source, sample in zip(sources, found, strict=True)}

    async def _sample(self, plan: Plan, source: Source, revision: str, pods: tuple[PodSeen, ...]) -> Sample:
        port = source.port if isinstance(source, PodsSource) and source.port else plan.server.port
        query = Query(
            namespace=plan.namespace,
            runtime=str(plan.server.runtime),
            measures=tuple(sli.measure for sli in plan.analysis.slis if sli.provider == source.name),
            workload=child_name(plan, revision),
            pods=tuple(PodTarget(pod.name, pod.ip, port) for pod in pods if pod.revision == revision and pod.ready),
        )
        provider = self._providers.of(source, await self._secret(plan, source))
        return await provider.sample(query)

    async def _secret(self, plan: Plan, source: Source) -> Mapping[str, str]:
        if not isinstance(source, PrometheusSource) or not source.secret:
            return {}
        secret = await self._api.get(Ref(SECRET, plan.namespace, source.secret))
        data = (secret or {}).get("data") or {}
        return {key: base64.b64decode(value).decode() for key, value in data.items()}


def _from_world(owner: Manifest, plan: Plan, world: World) -> Progress:
    service = world.live(SERVICE, plan.service_name)
    selected = (service or {}).get("spec", {}).get("selector", {}).get(REVISION, "")
    route = _route(owner, plan, world)
    return rebuilt(world.deployments, route.shares if route else None, selected)


def _servers(world: World) -> dict[str, ServerSeen]:
    labelled = ((_revision_label(item), item) for item in world.deployments)
    return {revision: _server(item, revision, world.pods) for revision, item in labelled if revision}


def _server(deployment: Manifest, revision: str, pods: Iterable[Manifest]) -> ServerSeen:
    replicas, ready = deployment["spec"].get("replicas", 1), (deployment.get("status") or {}).get("readyReplicas", 0)
    if ready >= replicas:
        return ServerSeen(replicas, ready)
    of_pods = first_trouble(pod for pod in pods if _revision_label(pod) == revision)
    return ServerSeen(replicas, ready, of_pods or refused(deployment))


def _revision_label(item: Manifest) -> str:
    return str(item["metadata"].get("labels", {}).get(REVISION, ""))


def _route(owner: Manifest, plan: Plan, world: World, routes: Iterable[Manifest] = ()) -> RouteSeen | None:
    live = world.live(HTTP_ROUTE, plan.name)
    if live is None:
        return None
    routed = ROUTERS["GatewayAPI"].routed(live, target(owner, plan))
    prefix = f"{plan.name}-"
    known = routed.weights is not None and all(name.startswith(prefix) for name in routed.weights)
    shares = {name.removeprefix(prefix): weight for name, weight in (routed.weights or {}).items()} if known else None
    return RouteSeen(shares, bool(routed.accepted), routed.message, shadow(live, routes))


def _verbs(owner: Manifest) -> tuple[Verb, ...]:
    return tuple(Verb(name, value) for name, value in asked(owner, VERBS))


def _pod(pod: Manifest) -> PodSeen:
    status = pod.get("status") or {}
    containers = (item for item in status.get("containerStatuses", ()) if item["name"] == CONTAINER)
    container: Manifest = next(containers, {})
    ready = any(item["type"] == "Ready" and item["status"] == "True" for item in status.get("conditions", ()))
    started = status.get("startTime") or pod["metadata"]["creationTimestamp"]
    ip = status.get("podIP", "")
    return PodSeen(
        name=pod["metadata"]["name"],
        revision=_revision_label(pod),
        ip=ip,
        ready=ready and bool(ip) and not pod["metadata"].get("deletionTimestamp"),
        restarts=container.get("restartCount", 0),
        started=instant(started),
    )
