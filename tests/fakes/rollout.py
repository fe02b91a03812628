"""A cluster around one ModelRollout: Deployments get pods, routes get accepted, traffic is served and counted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fakes.kube import FakeChildren, FakeClock, FakeKube, ref_of
from tunebird.kube.conditions import timestamp
from tunebird.kube.errors import KubeError
from tunebird.kube.meta import DEPLOYMENT, HTTP_ROUTE, MODEL_ROLLOUT, POD, REVISION, Key, Kind, Ref
from tunebird.metrics.provider import Count, Counts, Lack, Missing, Query, Sample, Source
from tunebird.rollout.reconcile import ModelRollouts
from tunebird.rollout.settings import ModelRolloutSettings

GOOD, BAD, THIRD = ("sha256:" + letter * 64 for letter in "abc")
ERRORS = {"name": "errors", "preset": "error-rate", "type": "Limit", "limit": {"maximum": "5%"}}
STEPS: list[Any] = [
    {"setWeight": 5},
    {"bake": {"for": "60s", "minSamples": 20}},
    {"setWeight": 50},
    {"bake": {"for": "60s"}},
]

SETTINGS = ModelRolloutSettings(server_image="tunebird/server:1")


def rollout(**spec: Any) -> dict[str, Any]:
    """A ModelRollout whose specification is `spec` over small defaults."""
    return {
        "apiVersion": MODEL_ROLLOUT.api_version,
        "kind": MODEL_ROLLOUT.kind,
        "metadata": {"name": "support", "namespace": "default"},
        "spec": {
            "model": {"source": {"uri": "pvc://models/a", "digest": GOOD}},
            "server": {"runtime": "tunebird", "replicas": 2},
            "traffic": {"type": "GatewayAPI", "gatewayAPI": {"parentRefs": [{"name": "public"}]}},
            "analysis": {"interval": "10s", "slis": [ERRORS]},
            "strategy": {"steps": STEPS},
            **spec,
        },
    }


class FakeProviders:
    """What the pods of each revision have counted, for every measure alike; `trouble` comes in its place."""

    def __init__(self) -> None:
        self.counts: dict[str, dict[str, list[float]]] = {}
        self.trouble: Missing | None = None

    def of(self, source: Source, secret: Mapping[str, str]) -> FakeProviders:
        return self

    async def sample(self, query: Query) -> Sample:
        names = [measure.name for measure in query.measures]
        if self.trouble:
            return Sample(dict.fromkeys(names, self.trouble))
        pods = self.counts.get(query.workload, {})
        counts = tuple(Count(pod.name, *pods.get(pod.name, [0, 0])) for pod in query.pods)
        reading = Counts(counts) if counts else Missing(Lack.NO_DATA, "no pod is ready")
        return Sample(dict.fromkeys(names, reading))


@dataclass
class Cluster:
    """`failing` has the failure rate of a model's digest, `broken` the digests whose pods never get ready."""

    kube: FakeKube = field(default_factory=FakeKube)
    clock: FakeClock = field(default_factory=FakeClock)
    providers: FakeProviders = field(default_factory=FakeProviders)
    failing: dict[str, float] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    requests_per_second: float = 20.0
    accepting: bool = True
    settings: ModelRolloutSettings = field(default_factory=lambda: SETTINGS)

    def __post_init__(self) -> None:
        self.children = FakeChildren(self.kube)
        self._rest: dict[str, float] = {}
        self.reconciler = self.fresh_reconciler()

    def fresh_reconciler(self) -> ModelRollouts:
        return ModelRollouts(
            api=self.kube, children=self.children, providers=self.providers, settings=self.settings, clock=self.clock
        )

    # --- the resource -----------------------------------------------------------------------------------------------

    @property
    def rollout(self) -> dict[str, Any]:
        found = self.kube.find(MODEL_ROLLOUT, "support")
        assert found is not None
        return found

    @property
    def status(self) -> dict[str, Any]:
        return self.rollout.get("status", {})

    def change(self, **spec: Any) -> None:
        self.kube.patch(Ref(MODEL_ROLLOUT, "default", "support"), {"spec": spec})

    def serve(self, digest: str) -> None:
        self.change(model={"source": {"uri": "pvc://models/" + digest[7], "digest": digest}})

    def annotate(self, verb: str, value: str) -> None:
        change = {"metadata": {"annotations": {f"tunebird.dev/{verb}": value}}}
        self.kube.patch(Ref(MODEL_ROLLOUT, "default", "support"), change)

    def reasons(self) -> list[str]:
        return [event.reason for event in self.kube.events]

    # --- what is served ---------------------------------------------------------------------------------------------

    def shares(self) -> dict[str, int]:
        """Shares of the live route by the digest of the model."""
        route = self.kube.find(HTTP_ROUTE, "support")
        if route is None:
            return {}
        backends = route["spec"]["rules"][0]["backendRefs"]
        return {self.digest_of(item["name"]): item["weight"] for item in backends}

    def digest_of(self, name: str) -> str:
        deployment = self.kube.find(DEPLOYMENT, name)
        assert deployment is not None
        args = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        return str(args[args.index("--model-digest") + 1])

    def replicas(self, digest: str) -> int:
        found = [item for item in self.kube.all(DEPLOYMENT) if self.digest_of(item["metadata"]["name"]) == digest]
        return int(found[0]["spec"]["replicas"]) if found else 0

    # --- time -------------------------------------------------------------------------------------------------------

    async def start(self, **spec: Any) -> None:
        """A rollout whose first revision is stable and served."""
        self.kube.put(rollout(**spec))
        await self.run(30)
        assert self.status["phase"] == "Healthy", self.status.get("message")

    async def run(self, seconds: float, tick: float = 5.0) -> None:
        """Let time go by: controllers act, traffic flows, the loop passes as often as it asks for."""
        passed = 0.0
        await self.settle()
        while passed < seconds:
            self.clock.advance(tick)
            self.serve_traffic(tick)
            await self.settle()
            passed += tick

    async def settle(self) -> None:
        """Passes until nothing more is to be done at this moment."""
        for _ in range(40):
            self.act()
            if not await self.once():
                self.act()
                if not await self.once():
                    return
        raise AssertionError(f"the loop never rests: {self.status.get('message')}")

    async def once(self) -> bool:
        """One pass; whether it wrote anything (errors count as writing: the loop tries again)."""
        before = len(self.kube.writes)
        uid = self.rollout["metadata"]["uid"]
        try:
            await self.reconciler.reconcile(Key("default", "support", uid))
        except KubeError:
            return True
        await asyncio.sleep(0)
        return len(self.kube.writes) > before

    def act(self) -> None:
        """The cluster's own controllers."""
        for deployment in self.kube.all(DEPLOYMENT):
            self._act_on(deployment)
        for route in self.kube.all(HTTP_ROUTE):
            self._accept(route)

    def serve_traffic(self, seconds: float) -> None:
        route = self.kube.find(HTTP_ROUTE, "support")
        if route is None:
            return
        for backend in route["spec"]["rules"][0]["backendRefs"]:
            self._serve(backend["name"], backend["weight"] / 100 * self.requests_per_second * seconds)

    def _serve(self, name: str, requests: float) -> None:
        digest = self.digest_of(name)
        pods = [item for item in self.kube.all(POD) if item["metadata"]["name"].startswith(name) and _ready(item)]
        for pod in pods:
            count = self.providers.counts.setdefault(name, {}).setdefault(pod["metadata"]["name"], [0, 0])
            arrived = requests / len(pods) + self._rest.get(pod["metadata"]["name"], 0)
            self._rest[pod["metadata"]["name"]] = arrived % 1
            failed = int(arrived) * self.failing.get(digest, 0.0) + self._rest.get(f"{pod['metadata']['name']}/bad", 0)
            self._rest[f"{pod['metadata']['name']}/bad"] = failed % 1
            count[1] += int(arrived)
            count[0] += int(failed)

    def _act_on(self, deployment: dict[str, Any]) -> None:
        name, wanted = deployment["metadata"]["name"], deployment["spec"]["replicas"]
        ready = 0 if self.digest_of(name) in self.broken else wanted
        if deployment.get("status", {}).get("readyReplicas", 0) != ready:
            self.kube.patch(Ref(DEPLOYMENT, "default", name), {"status": {"readyReplicas": ready}})
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        pods = {f"{name}-{index}" for index in range(wanted)}
        for item in self.kube.all(POD):
            pod = item["metadata"]["name"]
            if item["metadata"]["labels"][REVISION] == labels[REVISION] and pod not in pods:
                self.kube.remove(Ref(POD, "default", pod))
        for index, pod in enumerate(sorted(pods)):
            self._pod(pod, index, labels, index < ready)

    def _pod(self, name: str, index: int, labels: Mapping[str, str], ready: bool) -> None:
        ref = Ref(POD, "default", name)
        live = self.kube.objects.get(ref)
        if live is None:
            status = {"podIP": f"10.0.0.{index + 1}", "startTime": timestamp(self.clock.now)}
            metadata = {"name": name, "namespace": "default", "labels": dict(labels)}
            self.kube.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status})
        condition = [{"type": "Ready", "status": "True" if ready else "False"}]
        if self.kube.objects[ref]["status"].get("conditions") != condition:
            self.kube.patch(ref, {"status": {"conditions": condition}})

    def _accept(self, route: dict[str, Any]) -> None:
        if not self.accepting:
            return
        generation = route["metadata"]["generation"]
        kinds = ("Accepted", "ResolvedRefs")
        conditions = [{"type": kind, "status": "True", "observedGeneration": generation} for kind in kinds]
        parents = [{"parentRef": {"name": "public"}, "conditions": conditions}]
        if route.get("status", {}).get("parents") != parents:
            self.kube.patch(ref_of(route), {"status": {"parents": parents}})

    def restart(self, pod: str, restarts: int) -> None:
        """The container of a pod restarted: its counters begin anew."""
        status = {"containerStatuses": [{"name": "server", "restartCount": restarts}]}
        self.kube.patch(Ref(POD, "default", pod), {"status": status})
        self.providers.counts.setdefault(pod.rpartition("-")[0], {})[pod] = [0, 0]

    def stuck(self, digest: str, reason: str, message: str) -> None:
        """The containers of a model's servers can't start."""
        waiting = [{"name": "server", "state": {"waiting": {"reason": reason, "message": message}}}]
        for item in self.kube.all(POD):
            name = item["metadata"]["name"]
            if self.digest_of(name.rpartition("-")[0]) == digest:
                self.kube.patch(Ref(POD, "default", name), {"status": {"containerStatuses": waiting}})

    def names(self, kind: Kind) -> list[str]:
        return [item["metadata"]["name"] for item in self.kube.all(kind)]


def _ready(pod: Mapping[str, Any]) -> bool:
    return any(item["type"] == "Ready" and item["status"] == "True" for item in pod["status"].get("conditions", ()))
