"""Pods share the ports of the machine: none answers for another, and who loses a port to another is told."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import closing
from typing import Any

import pytest
from tests.apiserver.workloads.conftest import Obj, World, pod

from fakes.ports import free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells who listens")

# Answers with the address that was asked.
SERVE = """
import http.server, os, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(self.connection.getsockname()[0].encode())
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer.allow_reuse_address = False
http.server.ThreadingHTTPServer((os.environ["BIND"], int(sys.argv[1])), Answer).serve_forever()
"""


def server(name: str, port: int, bind: str, **spec: Any) -> Obj:
    environment = [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "BIND", "value": bind},
    ]
    container = {"env": environment, "image": "python:3", **spec.pop("container", {})}
    return pod(name, sys.executable, "-c", SERVE, str(port), container=container, **spec)


def probed(way: str, port: int) -> Obj:
    return {"readinessProbe": {way: {"port": port}, "periodSeconds": 1}}


def address(world: World, name: str) -> str:
    return str(world.client.get("pods", "default", name)["status"]["podIP"])  # type: ignore[index]


async def wide(world: World, port: int) -> None:
    """A pod that listens on all addresses, and is ready."""
    world.client.create("pods", "default", server("wide", port, "", container=probed("tcpSocket", port)))
    await world.until(lambda: world.has("pods", "wide", "Ready"))


def refusals(where: str) -> dict[str, str]:
    return {
        "httpGet": f'Get "http://{where}/": dial tcp {where}: connect: connection refused',
        "tcpSocket": f"dial tcp {where}: connect: connection refused",
        "grpc": f'timeout: failed to connect service "{where}" within 1s: context deadline exceeded',
    }


def unhealthy(world: World, name: str) -> list[str]:
    return [one["message"] for one in world.events("Unhealthy") if one["involvedObject"]["name"] == name]


@pytest.mark.parametrize("way", ["httpGet", "tcpSocket", "grpc"])
async def test_probe_is_not_answered_by_another_pod(world: World, way: str) -> None:
    port = free_port()
    await wide(world, port)
    world.client.create("pods", "default", pod("idle", "sleep", "1000", container=probed(way, port)))
    await world.until(lambda: unhealthy(world, "idle"))
    expected = refusals(f"{address(world, 'idle')}:{port}")[way]
    assert unhealthy(world, "idle") == [f"Readiness probe failed: {expected}"]
    assert not world.has("pods", "idle", "Ready")


async def asked(front: str, port: int) -> str:
    """Which address answered."""
    reader, writer = await asyncio.open_connection(front, port)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    try:
        return (await reader.read()).decode().rpartition("\r\n\r\n")[2]
    finally:
        writer.close()


async def served(front: str, port: int) -> str:
    """The first answer."""
    while True:
        try:
            return await asked(front, port)
        except OSError:
            await asyncio.sleep(0.05)


async def test_service_does_not_lead_to_another_pods_process(world: World) -> None:
    port, front_port = free_port(), free_port()
    await wide(world, port)
    idle = pod("idle", "sleep", "1000")
    idle["metadata"]["labels"] = {"app": "wide"}
    world.client.create("pods", "default", idle)
    await world.until(lambda: world.has("pods", "idle", "Ready"))
    ports = [{"port": front_port, "targetPort": port}]
    spec = {"selector": {"app": "wide"}, "ports": ports}
    made = world.client.create("services", "default", {"metadata": {"name": "both"}, "spec": spec})
    front = made["spec"]["clusterIP"]
    await world.until(lambda: len(endpoints(world, "both")) == 2)
    first = await served(front, front_port)
    assert {first, *[await asked(front, front_port) for _ in range(6)]} == {address(world, "wide")}


def endpoints(world: World, name: str) -> list[Obj]:
    found = world.client.list("endpointslices.discovery.k8s.io", "default", labels=f"kubernetes.io/service-name={name}")
    return [endpoint for one in found for endpoint in one.get("endpoints") or ()]


async def test_own_sidecar_answers_for_its_pod(world: World) -> None:
    port = free_port()
    body = server("two", port, "")
    body["spec"]["containers"].append(
        {"name": "idle", "image": "busybox", "command": ["sleep", "100"], **probed("httpGet", port)}
    )
    world.client.create("pods", "default", body)
    await world.until(lambda: world.has("pods", "two", "Ready"))


async def test_pod_that_loses_its_port_to_another_pod_is_told(world: World) -> None:
    port = free_port()
    await wide(world, port)
    # What it wants, its command alone says.
    world.client.create("pods", "default", server("late", port, "$(POD_IP)"))
    await world.until(lambda: world.messages("PortTaken"))
    [said] = world.events("PortTaken")
    assert said["message"].startswith(f"port {port} is taken on all addresses by pod default/wide (pid ")
    assert said["message"].endswith("): let that pod listen on $(POD_IP), or end it")
    about = said["involvedObject"]
    assert (said["type"], about["name"], about["fieldPath"]) == ("Warning", "late", "spec.containers{c}")


async def test_pod_that_loses_its_port_to_another_program_is_told(world: World) -> None:
    with closing(socket.create_server(("", 0))) as other:
        port = other.getsockname()[1]
        container = {"ports": [{"containerPort": port}]}
        world.client.create("pods", "default", server("late", port, "$(POD_IP)", container=container))
        await world.until(lambda: world.messages("PortTaken"))
    [said] = world.messages("PortTaken")
    assert said.startswith(f"port {port} is taken on all addresses by another program, pid {os.getpid()} (")


async def test_error_with_ports_of_its_own_says_nothing_of_ports(world: World) -> None:
    port = free_port()
    container = {"ports": [{"containerPort": port}]}
    world.client.create("pods", "default", pod("wrong", "sh", "-c", "exit 3", container=container))
    await world.until(lambda: world.client.get("pods", "default", "wrong")["status"].get("phase") == "Failed")  # type: ignore[index]
    assert world.messages("PortTaken") == []
