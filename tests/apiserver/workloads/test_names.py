"""Names of Services inside pods, resolved by programs that know nothing of devplane; ports on cluster IPs."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from tests.apiserver.workloads.conftest import PATIENCE, Obj, World, job, pod

from devplane.kubelet.network.services import refusal
from fakes.ports import free_port

pytestmark = pytest.mark.skipif(bool(refusal()), reason=f"no private mounts here: {refusal()}")

SERVE = (
    "import http.server, os\n"
    "class Answer(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        self.send_response(200); self.end_headers(); self.wfile.write(os.environ['HOSTNAME'].encode())\n"
    "    def log_message(self, *_): pass\n"
    "http.server.HTTPServer((os.environ['BIND'], int(os.environ['PORT'])), Answer).serve_forever()\n"
)
RANKS = """
import os, socket, time
rank, leader = int(os.environ["JOB_COMPLETION_INDEX"]), os.environ["MASTER_ADDR"]
if rank == 0:
    listener = socket.create_server((leader, 29511))
    peer, _ = listener.accept()
    print(socket.gethostname(), peer.recv(100).decode(), flush=True)
else:
    while True:
        try:
            peer = socket.create_connection((leader, 29511), 1)
            break
        except OSError:
            time.sleep(0.05)
    peer.sendall(socket.gethostname().encode())
    peer.close()
"""


def service(name: str, selector: Obj, **spec: Any) -> Obj:
    return {"metadata": {"name": name}, "spec": {"selector": selector, **spec}}


def server(name: str, bind: str = "$(POD_IP)", port: int = 8000, **spec: Any) -> Obj:
    environment = [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "BIND", "value": bind},
        {"name": "PORT", "value": str(port)},
    ]
    probe = {"httpGet": {"path": "/", "port": port}, "periodSeconds": 1}
    container = {"env": environment, "readinessProbe": probe, "image": "python:3"}
    return pod(name, sys.executable, "-c", SERVE, container=container, **spec)


async def is_ready(world: World, *names: str) -> None:
    for name in names:
        await world.until(lambda name=name: ready(world.client.get("pods", "default", name)))  # type: ignore[misc]


def ready(found: Obj | None) -> bool:
    conditions = ((found or {}).get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


async def output(world: World, name: str, script: str, **spec: Any) -> list[str]:
    """What a pod prints that runs once."""
    ns = spec.pop("ns", "default")
    world.client.create("pods", ns, pod(name, "sh", "-c", script, **spec))
    await world.until(lambda: (world.client.get("pods", ns, name) or {})["status"]["phase"] in ("Succeeded", "Failed"))
    return (await world.log(name, ns)).split()


async def test_pods_of_an_indexed_job_meet_at_the_name_of_the_first(world: World) -> None:
    body = service("train", {"app": "train"}, clusterIP="None", publishNotReadyAddresses=True)
    world.client.create("services", "default", body)
    made = job("train", sys.executable, "-c", RANKS, completions=2, parallelism=2, completionMode="Indexed")
    template = made["spec"]["template"]
    template["metadata"] = {"labels": {"app": "train"}}
    template["spec"]["subdomain"] = "train"
    template["spec"]["containers"][0]["env"] = [{"name": "MASTER_ADDR", "value": "train-0.train.default.svc"}]
    world.client.create("jobs.batch", "default", made)
    await world.until(lambda: world.has("jobs.batch", "train", "Complete"))
    first = next(one for one in world.pods() if one["spec"]["hostname"] == "train-0")
    assert (await world.log(first["metadata"]["name"])).split() == ["train-0", "train-1"]


@pytest.mark.parametrize("name", ["web", "web.default", "web.default.svc", "web.default.svc.cluster.local"])
async def test_curl_reaches_a_service_by_each_of_its_names(world: World, name: str) -> None:
    ports = [{"port": 8080, "targetPort": 8000}]
    world.client.create("services", "default", service("web", {"app": "server"}, ports=ports))
    world.client.create("pods", "default", server("server"))
    await is_ready(world, "server")
    said = await output(world, "client", f"until curl -s http://{name}:8080/; do sleep 0.05; done")
    assert said == ["server"]


async def test_pod_knows_its_own_name_before_any_service_does(world: World) -> None:
    script = "getent hosts me.apart.default.svc me.apart && hostname"
    said = await output(world, "own", script, hostname="me", subdomain="apart")
    address = world.client.get("pods", "default", "own")["status"]["podIP"]  # type: ignore[index]
    assert said.count(address) == 2
    assert said[-1] == "me"


async def test_headless_service_resolves_to_each_of_its_ready_pods(world: World) -> None:
    world.client.create("services", "default", service("db", {"tier": "db"}, clusterIP="None"))
    addresses = set()
    for name in ("a", "b"):
        body = server(name, subdomain="db", hostname=name)
        body["metadata"]["labels"] = {"tier": "db"}
        world.client.create("pods", "default", body)
    world.client.create("pods", "default", {**pod("late", "sleep", "60"), "metadata": {"name": "late"}})
    await is_ready(world, "a", "b")
    addresses = {world.client.get("pods", "default", name)["status"]["podIP"] for name in ("a", "b")}  # type: ignore[index]
    script = "until [ $(getent ahostsv4 db | cut -d' ' -f1 | sort -u | wc -l) = 2 ]; do sleep 0.05; done; "
    script += "getent ahostsv4 db | cut -d' ' -f1 | sort -u; getent hosts b.db.default.svc | cut -d' ' -f1"
    *every, second = await output(world, "client", script)
    assert set(every) == addresses
    assert second == world.client.get("pods", "default", "b")["status"]["podIP"]  # type: ignore[index]


async def test_running_pod_learns_of_a_service_that_comes_later(world: World) -> None:
    script = "until getent hosts later.default.svc; do sleep 0.05; done"
    waiting = asyncio.create_task(output(world, "waiting", script))
    await world.until(lambda: (world.client.get("pods", "default", "waiting") or {}).get("status", {}).get("podIP"))
    made = world.client.create("services", "default", service("later", {}, ports=[{"port": 80}]))
    assert (await waiting)[0] == made["spec"]["clusterIP"]


async def test_short_name_is_the_own_namespaces(world: World) -> None:
    world.client.create("namespaces", "", {"metadata": {"name": "other"}})
    await world.until(lambda: world.client.get("serviceaccounts", "other", "default"))
    made = world.client.create("services", "other", service("web", {}, ports=[{"port": 80}]))
    script = "until getent hosts web.other; do sleep 0.05; done | cut -d' ' -f1; getent hosts web || echo absent"
    assert await output(world, "here", script) == [made["spec"]["clusterIP"], "absent"]
    assert "absent" not in await output(world, "there", script, ns="other")


async def test_pod_that_listens_on_all_addresses_keeps_the_port_of_its_service(world: World) -> None:
    port = free_port()  # on all addresses: those of other tests' pods are among them
    made = world.client.create("services", "default", service("web", {"app": "wide"}, ports=[{"port": port}]))
    world.client.create("pods", "default", server("wide", bind="", port=port, restartPolicy="Always"))
    await is_ready(world, "wide")
    assert await answer(made["spec"]["clusterIP"], port) == "wide"
    statuses = world.client.get("pods", "default", "wide")["status"]["containerStatuses"]  # type: ignore[index]
    assert statuses[0]["restartCount"] == 0


async def test_connections_are_spread_over_ready_pods_and_refused_without_any(world: World) -> None:
    made = world.client.create(
        "services", "default", service("web", {"tier": "web"}, ports=[{"port": 80, "targetPort": 8000}])
    )
    front = made["spec"]["clusterIP"]
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(front, 80)
    for name in ("a", "b"):
        body = server(name)
        body["metadata"]["labels"] = {"tier": "web"}
        world.client.create("pods", "default", body)
    await is_ready(world, "a", "b")
    async with asyncio.timeout(PATIENCE):
        while {await answer(front, 80) for _ in range(4)} != {"a", "b"}:  # noqa: ASYNC110 - which pod answers has no watch
            await asyncio.sleep(0.02)
    for name in ("a", "b"):
        world.client.delete("pods", "default", name, grace_seconds=0)
    async with asyncio.timeout(PATIENCE):
        while await answer(front, 80):  # noqa: ASYNC110 - a closing port has no watch
            await asyncio.sleep(0.02)


async def answer(host: str, port: int) -> str:
    """The body of a GET; empty when nobody listens."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except ConnectionError:
        return ""
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        return (await reader.read()).decode().rpartition("\r\n\r\n")[2]
    except ConnectionResetError:
        return ""
    finally:
        writer.close()
