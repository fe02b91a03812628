"""How long the operator takes from the decision to give a canary no traffic to weight 0 in the HTTPRoute.

    PYTHONPATH=operator:tests python benchmarks/operator_rollback.py

The decision is a person's `abort`, so that no sampling is in the figure: annotation sent to route written, as a client
sees it. The limit that the project has set itself is 2 s. The Gateway's controller is played by this program.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fakes.operators import Cluster
from fakes.processes import ROOT, devplane, until
from tunebird.kube.errors import Conflict
from tunebird.kube.login import login
from tunebird.kube.meta import HTTP_ROUTE, MODEL_ROLLOUT, Manifest, Ref
from tunebird.kube.rest import RestKube

REPEATS = 5
GATEWAY_API = ROOT / "operator" / "tunebird" / "cli" / "addons" / "gateway-api.yaml"
ROLLOUT = Ref(MODEL_ROLLOUT, "ml", "support")
ROUTE = Ref(HTTP_ROUTE, "ml", "support")
SERVER = {"image": "bench/server:*", "entrypoint": [sys.executable, "-m", "http.server"]}


def rollout(version: int) -> dict[str, Any]:
    return {
        "apiVersion": MODEL_ROLLOUT.api_version,
        "kind": MODEL_ROLLOUT.kind,
        "metadata": {"name": ROLLOUT.name, "namespace": ROLLOUT.namespace},
        "spec": {
            "model": {"source": {"uri": "hf://bench/model", "digest": f"sha256:{version:064x}"}},
            "server": {
                "runtime": "custom",
                "image": "bench/server:1",
                "args": ["--bind", "$(POD_IP)", "8000"],
                "replicas": 1,
                "gpusPerReplica": 0,
            },
            "traffic": {"type": "GatewayAPI", "gatewayAPI": {"parentRefs": [{"name": "public"}]}},
            "strategy": {"type": "Canary", "steps": [{"setWeight": 50}, {"pause": {}}]},
        },
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = folder / "images.yaml"
        images.write_text(json.dumps({"images": [SERVER]}))
        with devplane(folder, 0, "--images", str(images)) as kubeconfig:
            os.environ["KUBECONFIG"] = str(kubeconfig)
            cluster = Cluster(folder, kubeconfig, module="tunebird")
            cluster.prepare()
            cluster.kubectl("apply", "--server-side", "-f", str(GATEWAY_API))
            until(lambda: "httproutes" in cluster.kubectl("api-resources"), "routes are served")
            with cluster.operator():
                asyncio.run(measure(cluster))


async def measure(cluster: Cluster) -> None:
    async with RestKube(await login(), clock=lambda: datetime.now(UTC)) as api:
        controller = asyncio.create_task(accept_routes(api))
        cluster.apply(rollout(0))
        await when(api, ROLLOUT, lambda live: phase(live) == "Healthy")
        taken = [await one(api, cluster, version) for version in range(1, REPEATS + 1)]
        controller.cancel()
    print(f"abort to weight 0: median {statistics.median(taken):.3f} s, worst {max(taken):.3f} s of {REPEATS}")


async def one(api: RestKube, cluster: Cluster, version: int) -> float:
    """A new model gets half of the traffic; abort; until it has none."""
    cluster.apply(rollout(version))
    live = await when(api, ROLLOUT, lambda seen: step(seen) == (version, "pause"))
    number, index = live["status"]["rollout"]["number"], live["status"]["step"]["index"]
    await when(api, ROUTE, lambda route: weights(route) == [50, 50])
    began = time.monotonic()
    await api.merge(ROLLOUT, {"metadata": {"annotations": {"tunebird.dev/abort": f"{number}/{index}"}}})
    await when(api, ROUTE, lambda route: weights(route)[1:] in ([0], []))
    taken = time.monotonic() - began
    await when(api, ROLLOUT, lambda seen: phase(seen) == "RolledBack")
    return taken


async def when(api: RestKube, ref: Ref, holds: Callable[[Manifest], bool]) -> Manifest:
    """The object, once it is so."""
    async with asyncio.timeout(120):
        while True:
            live = await api.get(ref)
            if live is not None and holds(live):
                return live
            await asyncio.sleep(0.01)


async def accept_routes(api: RestKube) -> None:
    """What a Gateway's controller does: accept every generation of the route."""
    while True:
        await asyncio.sleep(0.05)
        live = await api.get(ROUTE)
        if live is not None and not accepted(live):
            with suppress(Conflict):
                await api.replace_status({**live, "status": {"parents": [parent(live)]}})


def accepted(route: Manifest) -> bool:
    parents = route.get("status", {}).get("parents", ())
    generations = [item["observedGeneration"] for one in parents for item in one["conditions"]]
    return bool(generations) and set(generations) == {route["metadata"]["generation"]}


def parent(route: Manifest) -> dict[str, Any]:
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    common = {"status": "True", "message": "", "lastTransitionTime": moment}
    conditions = [
        {"type": kind, "reason": kind, "observedGeneration": route["metadata"]["generation"], **common}
        for kind in ("Accepted", "ResolvedRefs")
    ]
    reference = {"group": "gateway.networking.k8s.io", "kind": "Gateway", **route["spec"]["parentRefs"][0]}
    return {"parentRef": reference, "controllerName": "example.com/bench", "conditions": conditions}


def phase(live: Manifest) -> str:
    return str(live.get("status", {}).get("phase", ""))


def step(live: Manifest) -> tuple[int, str]:
    status = live.get("status", {})
    return int(status.get("rollout", {}).get("number", 0)) - 1, str((status.get("step") or {}).get("kind", ""))


def weights(route: Manifest) -> list[int]:
    return [backend.get("weight", 1) for backend in route["spec"]["rules"][0]["backendRefs"]]


if __name__ == "__main__":
    main()
