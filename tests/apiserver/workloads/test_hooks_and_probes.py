"""Lifecycle hooks, probes by gRPC, sidecars and earlier logs, held to what the documentation of Kubernetes says.

- hooks: https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/
- termination: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination
- probes: https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/
- sidecars: https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
- logs: https://kubernetes.io/docs/concepts/cluster-administration/logging/
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from tests.apiserver.workloads.conftest import PATIENCE, Obj, World, pod

GRPC_SERVER = Path(__file__).parents[2] / "fakes" / "grpc_health.py"
VOLUME = {"volumes": [{"name": "v", "emptyDir": {}}]}
MOUNT = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
FOREVER = ("sh", "-c", "trap 'exit 0' TERM; sleep 3600 & wait")


def create(world: World, body: Obj) -> Obj:
    return world.client.create("pods", "default", body)


def status(world: World, name: str, group: str = "containerStatuses", at: int = 0) -> Obj:
    return (world.client.get("pods", "default", name)["status"].get(group) or [{}] * (at + 1))[at]  # type: ignore[index]


def hook(name: str, *command: str) -> Obj:
    return {"lifecycle": {name: {"exec": {"command": list(command)}}}}


def seen(world: World, name: str) -> list[Obj]:
    """The statuses of the pod's first container, in order."""
    return [
        obj["status"]["containerStatuses"][0]
        for kind, _, obj in world.history
        if kind == "pods" and obj["metadata"]["name"] == name and obj["status"].get("containerStatuses")
    ]


async def test_container_is_not_running_before_post_start_is_through(world: World) -> None:
    """ "The Container's status is not set to RUNNING until the postStart handler completes."""
    after = hook("postStart", "sh", "-c", "until [ -e /v/go ]; do sleep 0.02; done")
    create(world, pod("held", *FOREVER, container={**after, **MOUNT}, **VOLUME))
    await world.until(lambda: world.messages("Started"))
    assert status(world, "held")["state"] == {"waiting": {"reason": "ContainerCreating"}}
    pod_uid = world.client.get("pods", "default", "held")["metadata"]["uid"]  # type: ignore[index]
    assert world.devplane.kubelet is not None
    (world.devplane.context().data_dir / "pods" / pod_uid / "volumes" / "v" / "go").touch()
    await world.until(lambda: "running" in status(world, "held")["state"])


async def test_container_is_killed_when_its_post_start_fails(world: World) -> None:
    """ "If either a PostStart or PreStop hook fails, it kills the Container."""
    create(world, pod("bad", *FOREVER, container=hook("postStart", "sh", "-c", "exit 1")))
    await world.until(lambda: world.client.get("pods", "default", "bad")["status"]["phase"] == "Succeeded")  # type: ignore[index]
    assert world.messages("FailedPostStartHook") == ["PostStartHook failed"]
    assert [one for one in seen(world, "bad") if "running" in one["state"]] == []


async def test_next_container_starts_after_the_hook_of_the_one_before(world: World) -> None:
    first = hook("postStart", "sh", "-c", "sleep 0.3; echo hook >> /v/order")
    second = {"name": "second", "image": "busybox:1", "command": ["sh", "-c", "echo second >> /v/order"], **MOUNT}
    body = pod("ordered", "sh", "-c", "until grep second /v/order; do sleep 0.02; done; cat /v/order")
    body["spec"]["containers"][0] |= {**first, **MOUNT}
    body["spec"]["containers"].append(second)
    body["spec"] |= VOLUME
    create(world, body)
    await world.until(lambda: world.client.get("pods", "default", "ordered")["status"]["phase"] == "Succeeded")  # type: ignore[index]
    assert (await world.log("ordered", container="c")).splitlines()[-2:] == ["hook", "second"]


async def test_grace_period_begins_before_pre_stop_and_leaves_time_for_sigterm(world: World) -> None:
    """ "If the preStop hook is still running after the grace period expires, the kubelet requests a small, one-off
    grace period extension of 2 seconds."""
    script = "trap 'echo told; exit 6' TERM; echo up; sleep 3600 & wait"
    body = pod("slow", "sh", "-c", script, container=hook("preStop", "sleep", "3600"), terminationGracePeriodSeconds=1)
    create(world, body)
    await world.until(lambda: "running" in status(world, "slow").get("state", {}))
    world.client.delete("pods", "default", "slow")
    await world.until(lambda: world.client.get("pods", "default", "slow") is None)
    assert seen(world, "slow")[-1]["state"]["terminated"]["exitCode"] == 6
    assert world.messages("FailedPreStopHook") == ["PreStopHook failed"]


async def test_pre_stop_over_http_reaches_the_pod(world: World) -> None:
    script = (
        "import http.server, os\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.end_headers(); self.wfile.flush()\n"
        "        os._exit(9 if self.path == '/bye' else 0)\n"
        "http.server.HTTPServer((os.environ['IP'], 8000), H).serve_forever()"
    )
    address = [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    bye = {"lifecycle": {"preStop": {"httpGet": {"port": 8000, "path": "/bye"}}}}
    ready = {"readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1}}
    body = pod("http", sys.executable, "-c", script, container={"env": address, **bye, **ready})
    create(world, {**body, "spec": {**body["spec"], "terminationGracePeriodSeconds": 20}})
    await world.until(lambda: world.has("pods", "http", "Ready"))
    world.client.delete("pods", "default", "http")
    await world.until(lambda: world.client.get("pods", "default", "http") is None)
    assert seen(world, "http")[-1]["state"]["terminated"]["exitCode"] == 9


async def test_hooks_and_probes_see_the_names_of_the_pod(world: World) -> None:
    script = "hostname > /v/name; until [ -s /v/name ]; do sleep 0.02; done"
    body = pod("named", *FOREVER, container={**hook("postStart", "sh", "-c", script), **MOUNT}, **VOLUME)
    create(world, body)
    await world.until(lambda: "running" in status(world, "named").get("state", {}))
    uid = world.client.get("pods", "default", "named")["metadata"]["uid"]  # type: ignore[index]
    assert (world.devplane.context().data_dir / "pods" / uid / "volumes" / "v" / "name").read_text() == "named\n"


def grpc_pod(name: str, answer: str, service: str = "") -> Obj:
    probe = {"grpc": {"port": 9000, "service": service}, "periodSeconds": 1}
    address = [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    command = (sys.executable, str(GRPC_SERVER), "$(IP)", "9000", answer)
    return pod(name, *command, container={"env": address, "readinessProbe": probe})


async def test_grpc_probe_finds_a_server_that_serves(world: World) -> None:
    create(world, grpc_pod("good", "SERVING", "model"))
    await world.until(lambda: world.has("pods", "good", "Ready"))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("NOT_SERVING", 'service unhealthy (responded with "NOT_SERVING")'),
        ("UNIMPLEMENTED", "error: health rpc probe failed: the server does not serve grpc.health.v1.Health"),
        ("CLOSE", "error: health rpc probe failed: the connection was closed"),
    ],
)
async def test_grpc_probe_says_what_is_wrong(world: World, answer: str, why: str) -> None:
    create(world, grpc_pod("bad", answer))
    await world.until(lambda: any(why in one for one in world.messages("Unhealthy")))
    assert status(world, "bad")["ready"] is False


async def test_main_containers_wait_until_a_sidecar_has_started(world: World) -> None:
    """ "the kubelet ... after a sidecar-style init container is running (the kubelet has set the started status for
    that init container to true), the kubelet then starts the next init container"""
    probe = {"exec": {"command": ["test", "-e", "/v/up"]}, "periodSeconds": 1, "failureThreshold": 30}
    script = "sleep 0.3; touch /v/up; trap 'exit 0' TERM; sleep 3600 & wait"
    side = {"name": "side", "image": "busybox:1", "command": ["sh", "-c", script], "restartPolicy": "Always"}
    main = {"container": MOUNT, "initContainers": [{**side, **MOUNT, "startupProbe": probe}], **VOLUME}
    create(world, pod("late", "sh", "-c", "ls /v", **main))
    await world.until(lambda: world.client.get("pods", "default", "late")["status"]["phase"] == "Succeeded")  # type: ignore[index]
    assert await world.log("late", container="c") == "up\n"


async def test_sidecar_that_ends_is_started_again_and_does_not_hold_up_the_pod(world: World) -> None:
    """ "sidecar containers ... can be started, stopped, or restarted without affecting the main application
    container"; and a Job with one still completes."""
    side = {"name": "side", "image": "busybox:1", "command": ["sh", "-c", "echo $$; exit 1"], "restartPolicy": "Always"}
    script = "until [ -e /v/done ]; do sleep 0.02; done"
    body = pod("with", "sh", "-c", script, container=MOUNT, initContainers=[{**side, **MOUNT}], **VOLUME)
    create(world, body)
    await world.until(lambda: status(world, "with", "initContainerStatuses").get("restartCount", 0) >= 1)
    await world.until(lambda: "running" in status(world, "with")["state"])
    uid = world.client.get("pods", "default", "with")["metadata"]["uid"]  # type: ignore[index]
    (world.devplane.context().data_dir / "pods" / uid / "volumes" / "v" / "done").touch()
    await world.until(lambda: world.client.get("pods", "default", "with")["status"]["phase"] == "Succeeded")  # type: ignore[index]


async def test_log_of_the_start_before_is_kept(world: World) -> None:
    """ "You can use `kubectl logs --previous` to retrieve logs from a previous instantiation of a container."""
    script = (
        "n=$(cat /v/n 2>/dev/null || echo 0); echo $((n + 1)) > /v/n; echo start $n; [ $n = 0 ] && exit 1; sleep 3600"
    )
    create(world, pod("twice", "sh", "-c", script, container=MOUNT, restartPolicy="Always", **VOLUME))
    await world.until(
        lambda: status(world, "twice").get("restartCount") == 1 and "running" in status(world, "twice")["state"]
    )
    async with asyncio.timeout(PATIENCE):
        while await world.log("twice") != "start 1\n":  # noqa: ASYNC110 - nothing tells of a line in a log
            await asyncio.sleep(0.02)
    assert await world.log("twice", previous=True) == "start 0\n"
