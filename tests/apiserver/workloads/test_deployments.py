"""Deployments, their pods and the EndpointSlices in front of them, with real servers."""

from __future__ import annotations

import sys
from typing import Any

import aiohttp

Obj = dict[str, Any]

SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(os.environ["VERSION"].encode())
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8080), Handler).serve_forever()
"""


def web(version: str, replicas: int = 2, **spec: Any) -> Obj:
    container = {
        "name": "c",
        "image": "python:3",
        "command": [sys.executable, "-c", SERVER],
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [
            {"name": "VERSION", "value": version},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
    }
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
    }
    return {
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template, **spec},
    }


SERVICE = {
    "metadata": {"name": "web"},
    "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
}


def is_complete(world: Any, name: str = "web") -> bool:
    found = world.client.get("deployments.apps", "default", name)
    status = found.get("status", {})
    reasons = [one["reason"] for one in status.get("conditions", ()) if one["type"] == "Progressing"]
    return status.get("observedGeneration") == found["metadata"]["generation"] and reasons == ["NewReplicaSetAvailable"]


def ready_addresses(world: Any) -> list[str]:
    found = world.client.list("endpointslices.discovery.k8s.io", "default", labels="kubernetes.io/service-name=web")
    endpoints = [one for slice_ in found for one in slice_.get("endpoints") or ()]
    return [one["addresses"][0] for one in endpoints if one["conditions"]["ready"]]


async def test_deployment_serves_on_the_addresses_of_its_endpoint_slice(world: Any) -> None:
    world.client.create("services", "default", SERVICE)
    world.client.create("deployments.apps", "default", web("1"))
    await world.until(lambda: is_complete(world))
    addresses = await world.until(lambda: len(found := ready_addresses(world)) == 2 and found)
    async with aiohttp.ClientSession() as session:
        for address in addresses:
            async with session.get(f"http://{address}:8080/") as response:
                assert await response.text() == "1"
    of_web = "kubernetes.io/service-name=web"
    (slice_,) = world.client.list("endpointslices.discovery.k8s.io", "default", labels=of_web)
    assert slice_["ports"] == [{"name": "http", "protocol": "TCP", "port": 8080}]
    assert slice_["metadata"]["ownerReferences"][0]["name"] == "web"


async def test_rolling_update_never_goes_below_its_replicas(world: Any) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    world.client.create("deployments.apps", "default", web("1", strategy=strategy))
    await world.until(lambda: is_complete(world))
    world.history.clear()
    world.client.update("deployments.apps", "default", web("2", strategy=strategy))
    await world.until(lambda: is_complete(world))
    await world.until(lambda: len(world.pods()) == 2)
    statuses = [obj["status"] for resource, _, obj in world.history if resource == "deployments.apps"]
    assert all(status["availableReplicas"] >= 2 and status["replicas"] <= 3 for status in statuses)
    assert {pod["spec"]["containers"][0]["env"][0]["value"] for pod in world.pods()} == {"2"}
    deployment = world.client.get("deployments.apps", "default", "web")
    assert deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    assert [one["message"] for one in deployment["status"]["conditions"] if one["type"] == "Available"] == [
        "Deployment has minimum availability."
    ]


async def test_going_back_to_an_old_template_makes_it_the_newest_revision(world: Any) -> None:
    world.client.create("deployments.apps", "default", web("1", replicas=1))
    await world.until(lambda: is_complete(world))
    world.client.update("deployments.apps", "default", web("2", replicas=1))
    await world.until(lambda: is_complete(world))
    world.client.update("deployments.apps", "default", web("1", replicas=1))
    await world.until(lambda: is_complete(world))
    sets = world.client.list("replicasets.apps", "default")
    revisions = {one["metadata"]["annotations"]["deployment.kubernetes.io/revision"] for one in sets}
    assert revisions == {"2", "3"}


async def test_scaling_changes_the_number_of_pods(world: Any) -> None:
    world.client.create("deployments.apps", "default", web("1", replicas=1))
    await world.until(lambda: is_complete(world))
    world.client.patch("deployments.apps", "default", "web", {"spec": {"replicas": 3}}, subresource="scale")
    await world.until(lambda: len(world.pods()) == 3 and is_complete(world))
    world.client.patch("deployments.apps", "default", "web", {"spec": {"replicas": 0}}, subresource="scale")
    await world.until(lambda: not world.pods())
    replica_set = world.client.list("replicasets.apps", "default")[0]
    assert f"Scaled down replica set {replica_set['metadata']['name']} from 3 to 0" in world.messages(
        "ScalingReplicaSet"
    )


async def test_settled_deployment_is_left_alone(world: Any) -> None:
    world.client.create("services", "default", SERVICE)
    world.client.create("deployments.apps", "default", web("1", replicas=1))
    await world.until(lambda: is_complete(world) and ready_addresses(world))
    revision = world.devplane.store.revision
    world.client.patch("deployments.apps", "default", "web", {"metadata": {"labels": {"touched": "yes"}}})
    await world.until(lambda: len(world.history) and world.history[-1][2]["metadata"].get("labels", {}).get("touched"))
    assert world.devplane.store.revision == revision + 1


async def test_deleting_a_deployment_takes_its_pods_along(world: Any) -> None:
    world.client.create("deployments.apps", "default", web("1", replicas=2))
    await world.until(lambda: is_complete(world))
    world.client.delete("deployments.apps", "default", "web", propagation="Foreground")
    await world.until(lambda: world.client.get("deployments.apps", "default", "web") is None)
    assert world.pods() == []
    assert world.client.list("replicasets.apps", "default") == []
