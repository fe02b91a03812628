"""The Service `kubernetes` and the Endpoints of Services, as clients of older habits read them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.apiserver.workloads.conftest import Obj, World, pod, recorded, started
from tests.apiserver.workloads.test_names import output, server, service
from tests.apiserver.workloads.test_nodes import KUBECTL, kubectl

from devplane.kubelet.network.services import refusal
from devplane.outside.remote import Remote

SLICES = "endpointslices.discovery.k8s.io"
API = ("default", "kubernetes")


def got(world: World, resource: str, name: str = "kubernetes") -> Obj:
    found = world.client.get(resource, "default", name)
    assert found is not None
    return found


def port_of(world: World) -> int:
    return int(world.devplane.server_url.rpartition(":")[2])


def leads_here(world: World) -> bool:
    """Whether Service, Endpoints and EndpointSlice are there and name the server."""
    port = {"name": "https", "port": port_of(world), "protocol": "TCP"}
    service_, endpoints, endpoint_slice = (world.client.get(one, *API) for one in ("services", "endpoints", SLICES))
    if service_ is None or endpoints is None or endpoint_slice is None:
        return False
    return (
        service_["spec"]["ports"] == [{**port, "targetPort": port["port"]}]
        and endpoints["subsets"] == [{"addresses": [{"ip": "127.0.0.1"}], "ports": [port]}]
        and endpoint_slice["ports"] == [port]
        and endpoint_slice["endpoints"] == [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}]
    )


def ask(world: World, host: str) -> tuple[int, Any]:
    credentials = world.devplane.credentials
    remote = Remote(f"https://{host}:{port_of(world)}", credentials.ca_pem, credentials.admin_token)
    return remote.ask("GET", "/api/v1/namespaces/default/services/kubernetes")


async def test_api_server_is_reached_at_the_cluster_ip_of_its_service(world: World) -> None:
    assert leads_here(world)
    found = got(world, "services")
    assert found["metadata"]["labels"] == {"component": "apiserver", "provider": "kubernetes"}
    assert got(world, "endpoints")["metadata"]["labels"] == {"endpointslice.kubernetes.io/skip-mirror": "true"}
    code, answered = await asyncio.to_thread(ask, world, found["spec"]["clusterIP"])
    assert (code, answered["metadata"]["uid"]) == (200, found["metadata"]["uid"])


@pytest.mark.skipif(bool(refusal()), reason=f"no private mounts here: {refusal()}")
async def test_pod_finds_the_api_server_by_name_and_by_its_environment(world: World) -> None:
    script = "for n in kubernetes.default.svc.cluster.local kubernetes; do getent hosts $n; done; "
    found = await output(world, "probe", script + "echo $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT")
    assert found.count(got(world, "services")["spec"]["clusterIP"]) == 2
    assert found[-2:] == ["127.0.0.1", str(port_of(world))]


async def test_what_is_deleted_is_there_again(world: World) -> None:
    before = got(world, "services")
    for resource in ("services", "endpoints", SLICES):
        old = got(world, resource)["metadata"]["uid"]
        world.client.delete(resource, *API)
        await world.until(lambda: leads_here(world))
        assert got(world, resource)["metadata"]["uid"] != old
    assert got(world, "services")["spec"]["clusterIP"] == before["spec"]["clusterIP"]


async def test_next_start_leads_to_its_own_port(tmp_path: Path) -> None:
    async with recorded(tmp_path / "devplane") as world:
        uid = got(world, "services")["metadata"]["uid"]
    async with recorded(tmp_path / "devplane") as world:
        assert leads_here(world)
        assert got(world, "services")["metadata"]["uid"] == uid
        world.client.delete(SLICES, *API)
        world.client.delete("endpoints", *API)
        world.client.delete("services", *API)
        elsewhere = {"clusterIP": "127.191.255.9", "ports": [{"port": 443}]}
        world.client.create("services", "default", {"metadata": {"name": "kubernetes"}, "spec": elsewhere})
    async with recorded(tmp_path / "devplane") as world:
        assert leads_here(world)
        assert got(world, "services")["spec"]["clusterIP"] != "127.191.255.9"


async def test_quota_without_room_for_the_service_keeps_no_server_from_starting(tmp_path: Path) -> None:
    full = {"metadata": {"name": "none"}, "spec": {"hard": {"services": "0"}}}
    async with recorded(tmp_path / "devplane") as world:
        world.client.create("resourcequotas", "default", full)
        world.client.delete("services", *API)
    async with recorded(tmp_path / "devplane") as world:
        assert world.client.get("services", *API) is None
        world.client.delete("resourcequotas", "default", "none")
        await world.until(lambda: leads_here(world))


async def test_endpoints_follow_the_pods_of_a_service_and_go_with_it(world: World) -> None:
    world.client.create("services", "default", service("web", {"app": "web"}, ports=[{"port": 80, "targetPort": 8000}]))
    await world.until(lambda: world.client.get("endpoints", "default", "web"))
    assert not got(world, "endpoints", "web").get("subsets")
    world.client.create("pods", "default", server("web"))
    await world.until(lambda: (got(world, "endpoints", "web").get("subsets") or [{}])[0].get("addresses"))
    found, address = got(world, "endpoints", "web"), got(world, "pods", "web")["status"]["podIP"]
    assert found["metadata"]["labels"] == {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    assert [one["ip"] for one in found["subsets"][0]["addresses"]] == [address]
    world.client.delete("endpoints", "default", "web")
    await world.until(lambda: world.client.get("endpoints", "default", "web"))
    world.client.delete("services", "default", "web")
    await world.until(lambda: world.client.get("endpoints", "default", "web") is None)


async def test_endpoints_whose_service_went_unseen_go_at_the_next_start(tmp_path: Path) -> None:
    labels = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    alone = await started(tmp_path / "devplane", has_nodes=False)
    alone.client.create("endpoints", "default", {"metadata": {"name": "own"}})
    alone.client.create("endpoints", "default", {"metadata": {"name": "left", "labels": labels}})
    await alone.devplane.stop()
    async with recorded(tmp_path / "devplane") as world:
        await world.until(lambda: world.client.get("endpoints", "default", "left") is None)
        assert world.client.get("endpoints", "default", "own") is not None


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
async def test_kubectl_shows_endpoints_and_warns_that_they_are_of_the_past(world: World) -> None:
    said = await kubectl(world, "get", "endpoints", "kubernetes")
    assert "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice" in said
    assert f"127.0.0.1:{port_of(world)}" in said
    assert "Warning" not in await kubectl(world, "get", "services,endpointslices")
    world.client.create("pods", "default", pod("idle", "sleep", "600"))
    described = await kubectl(world, "describe", "service", "kubernetes")
    assert f"127.0.0.1:{port_of(world)}" in described
