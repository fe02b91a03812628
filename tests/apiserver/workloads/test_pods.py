"""Pods as local processes: environment, volumes, restarts, probes, logs, and how they end."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path

import pytest
from tests.apiserver.workloads.conftest import PATIENCE, Obj, World, pod

from devplane.errors import ApiError


def create(world: World, body: Obj) -> Obj:
    return world.client.create("pods", "default", body)


def phase(world: World, name: str) -> str:
    return str(world.client.get("pods", "default", name)["status"]["phase"])


def status(world: World, name: str, group: str = "containerStatuses", at: int = 0) -> Obj:
    return (world.client.get("pods", "default", name)["status"].get(group) or [{}] * (at + 1))[at]


def waiting(world: World, name: str) -> Obj:
    return (status(world, name).get("state") or {}).get("waiting") or {}


async def ended(world: World, name: str) -> str:
    await world.until(lambda: phase(world, name) in {"Succeeded", "Failed"})
    return phase(world, name)


async def test_environment_comes_from_everywhere_it_may_come_from(world: World) -> None:
    world.client.create("configmaps", "default", {"metadata": {"name": "conf"}, "data": {"COLOUR": "red", "1st": "x"}})
    secret = base64.b64encode(b"hush").decode()
    world.client.create("secrets", "default", {"metadata": {"name": "sec"}, "data": {"word": secret}})
    env = [
        {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "word"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "word", "optional": True}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "ALL", "value": "$(COLOUR)/$(WORD)/$(UNKNOWN)/$$(WORD)"},
    ]
    container = {
        "env": env,
        "envFrom": [{"configMapRef": {"name": "conf"}}],
        "args": ["-c", "echo $ALL $NAME $IP $LABEL $CPUS ${NONE-unset} $(COLOUR)"],
        "resources": {"limits": {"cpu": "500m"}},
    }
    create(world, pod("env", "sh", container=container))
    assert await ended(world, "env") == "Succeeded"
    ip = world.client.get("pods", "default", "env")["status"]["podIP"]
    assert ip.startswith("127.")
    assert await world.log("env") == f"red/hush/$(UNKNOWN)/$(WORD) env {ip} env 1 unset red\n"


async def test_missing_secret_is_a_config_error_until_it_is_there(world: World) -> None:
    env = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "late", "key": "k"}}}]
    create(world, pod("wait", "sh", "-c", "echo $A", container={"env": env}))
    found = await world.until(
        lambda: waiting(world, "wait").get("reason") == "CreateContainerConfigError" and waiting(world, "wait")
    )
    assert found["message"] == 'secret "late" not found'
    world.client.create("secrets", "default", {"metadata": {"name": "late"}, "stringData": {"k": "here"}})
    assert await ended(world, "wait") == "Succeeded"
    assert await world.log("wait") == "here\n"


async def test_mounted_paths_are_found_where_the_spec_says(world: World) -> None:
    world.client.create("configmaps", "default", {"metadata": {"name": "conf"}, "data": {"a.txt": "A", "b.txt": "B"}})
    volumes = [
        {"name": "conf", "configMap": {"name": "conf", "items": [{"key": "a.txt", "path": "deep/first"}]}},
        {"name": "scratch", "emptyDir": {}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "info", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    ]
    mounts = [
        {"name": "conf", "mountPath": "/etc/conf"},
        {"name": "scratch", "mountPath": "/desk"},
        {"name": "scratch", "mountPath": "/only", "subPath": "part"},
        {"name": "shm", "mountPath": "/dev/shm"},
        {"name": "info", "mountPath": "/info"},
    ]
    script = (
        "cat /etc/conf/deep/first; cat /info/labels; echo; pwd > /desk/here; echo x > /only/file; ls /desk/part; "
        "echo fast > /dev/shm/f; cat /dev/shm/f; echo $DIR /desktop; test $(pwd) = $DIR && echo home"
    )
    container = {"volumeMounts": mounts, "env": [{"name": "DIR", "value": "/desk"}], "workingDir": "/desk"}
    create(world, pod("mounts", "sh", "-c", script, container=container, volumes=volumes))
    assert await ended(world, "mounts") == "Succeeded"
    lines = (await world.log("mounts")).splitlines()
    assert lines[0] == 'Aapp="mounts"'
    assert lines[1:3] == ["file", "fast"]
    assert lines[3].endswith("/desk /desktop") is False
    assert lines[3].endswith(" /desktop")
    assert lines[4] == "home"


async def test_changed_config_map_reaches_a_running_pod(world: World) -> None:
    world.client.create("configmaps", "default", {"metadata": {"name": "conf"}, "data": {"k": "old", "gone": "x"}})
    script = "until [ $(cat /c/k) = new ]; do sleep 0.05; done; ls /c; cat /c/k"
    volumes = [{"name": "c", "configMap": {"name": "conf"}}]
    container = {"volumeMounts": [{"name": "c", "mountPath": "/c"}]}
    create(world, pod("follow", "sh", "-c", script, container=container, volumes=volumes))
    await world.until(lambda: phase(world, "follow") == "Running")
    world.client.update("configmaps", "default", {"metadata": {"name": "conf"}, "data": {"k": "new"}})
    await ended(world, "follow")
    assert await world.log("follow") == "k\nnew"


async def test_projected_token_is_accepted_for_its_audience_only(world: World) -> None:
    token = {"serviceAccountToken": {"path": "token", "audience": "tunebird.dev/report", "expirationSeconds": 600}}
    volumes = [{"name": "t", "projected": {"sources": [token]}}]
    container = {"volumeMounts": [{"name": "t", "mountPath": "/t"}]}
    create(world, pod("token", "sh", "-c", "cat /t/token", container=container, volumes=volumes))
    await ended(world, "token")
    verified = world.devplane.tokens.verify(await world.log("token"), ["tunebird.dev/report"])
    assert verified.user.name == "system:serviceaccount:default:default"
    assert verified.user.extra["authentication.kubernetes.io/pod-name"] == ["token"]


async def test_claim_is_a_directory_that_outlives_its_pod(world: World) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    world.client.create("persistentvolumeclaims", "default", {"metadata": {"name": "data"}, "spec": spec})
    volumes = [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]
    container = {"volumeMounts": [{"name": "d", "mountPath": "/data"}]}
    create(world, pod("write", "sh", "-c", "echo kept > /data/f", container=container, volumes=volumes))
    assert await ended(world, "write") == "Succeeded"
    world.client.delete("pods", "default", "write")
    create(world, pod("read", "sh", "-c", "cat /data/f", container=container, volumes=volumes))
    await ended(world, "read")
    assert await world.log("read") == "kept\n"
    claim = world.client.get("persistentvolumeclaims", "default", "data")
    assert claim["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
    volume = world.client.get("persistentvolumes", "", claim["spec"]["volumeName"])
    assert volume["status"]["phase"] == "Bound"
    world.client.delete("persistentvolumeclaims", "default", "data")
    await world.until(lambda: not world.client.list("persistentvolumes"))


async def test_crashing_container_backs_off_after_its_second_end(world: World) -> None:
    create(world, pod("crash", "sh", "-c", "echo once; exit 7", restartPolicy="Always"))
    found = await world.until(
        lambda: waiting(world, "crash").get("reason") == "CrashLoopBackOff" and status(world, "crash")
    )
    uid = world.client.get("pods", "default", "crash")["metadata"]["uid"]
    assert (
        found["state"]["waiting"]["message"] == f"back-off 10s restarting failed container=c pod=crash_default({uid})"
    )
    assert found["lastState"]["terminated"]["exitCode"] == 7
    assert found["restartCount"] == 1
    assert world.messages("BackOff") == [f"Back-off restarting failed container c in pod crash_default({uid})"]
    assert await world.log("crash") == "once\n"
    assert await world.log("crash", previous=True) == "once\n"


async def test_init_containers_come_first_and_a_sidecar_goes_last(world: World) -> None:
    image = {"image": "busybox:1"}
    inits = [
        {**image, "name": "first", "command": ["sh", "-c", "echo 1 > /v/order"]},
        {
            **image,
            "name": "side",
            "command": ["sh", "-c", "trap 'echo 3 >> /v/order; exit 0' TERM; touch /v/up; sleep 60 & wait"],
            "restartPolicy": "Always",
        },
    ]
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    script = "until [ -e /v/up ]; do sleep 0.02; done; cat /v/order; echo 2 >> /v/order"
    main = {"name": "c", **image, "command": ["sh", "-c", script], **mounts}
    spec = {
        "containers": [main],
        "initContainers": [{**one, **mounts} for one in inits],
        "volumes": [{"name": "v", "emptyDir": {}}],
    }
    create(world, pod("order", **spec))
    assert await ended(world, "order") == "Succeeded"
    assert await world.log("order") == "1\n"
    assert status(world, "order", "initContainerStatuses", 1)["state"]["terminated"]["exitCode"] == 0
    assert status(world, "order", "initContainerStatuses", 0)["ready"] is True


async def test_failing_init_container_fails_the_pod(world: World) -> None:
    init = {"name": "first", "image": "busybox:1", "command": ["sh", "-c", "exit 5"]}
    create(world, pod("init", "sh", "-c", "echo never", initContainers=[init]))
    assert await ended(world, "init") == "Failed"
    assert status(world, "init", "initContainerStatuses")["state"]["terminated"]["exitCode"] == 5


async def test_image_that_is_not_in_the_table_is_backed_off(world: World) -> None:
    create(world, pod("img", "true", container={"image": "nobody/knows:1"}))
    found = await world.until(
        lambda: waiting(world, "img").get("reason") == "ImagePullBackOff" and waiting(world, "img")
    )
    assert found["message"].startswith(
        'Back-off pulling image "nobody/knows:1": ErrImagePull: no entry of the image table'
    )
    assert {"Error: ErrImagePull", "Error: ImagePullBackOff"} <= set(world.messages("Failed"))
    with pytest.raises(
        ApiError, match='container "c" in pod "img" is waiting to start: trying and failing to pull image'
    ):
        await world.log("img")


async def test_no_news_shortens_the_back_off_of_an_image(world: World) -> None:
    create(world, pod("img", "true", container={"image": "nobody/knows:1"}))
    await world.until(lambda: waiting(world, "img").get("reason") == "ImagePullBackOff")
    for number in range(20):
        name = f"after-{number}"
        world.client.patch("pods", "default", "img", {"metadata": {"annotations": {"number": str(number)}}})
        world.client.create("configmaps", "default", {"metadata": {"name": name}, "data": {}})
        await asyncio.sleep(0)
    create(world, pod("later", "true"))
    await world.until(lambda: phase(world, "later") == "Succeeded")
    (event,) = world.events("BackOff")
    assert event["count"] <= 3, "each ten seconds or later"


async def test_failed_liveness_probe_restarts_the_container(world: World) -> None:
    probe = {"exec": {"command": ["sh", "-c", "echo sick; exit 1"]}, "failureThreshold": 1}
    probe |= {"periodSeconds": 1, "timeoutSeconds": 30}
    script = "trap 'exit 0' TERM; sleep 60 & wait"
    create(world, pod("ill", "sh", "-c", script, container={"livenessProbe": probe}, restartPolicy="Always"))
    await world.until(lambda: status(world, "ill").get("restartCount", 0) >= 1)
    assert world.messages("Unhealthy") == ["Liveness probe failed: sick\n"]
    assert world.messages("Killing") == ["Container c failed liveness probe, will be restarted"]


async def test_refused_readiness_probe_says_why(world: World) -> None:
    probe = {"httpGet": {"port": 9, "path": "/x"}, "periodSeconds": 1, "timeoutSeconds": 30}
    create(world, pod("unready", "sh", "-c", "sleep 60", container={"readinessProbe": probe}))
    await world.until(lambda: world.messages("Unhealthy"))
    ip = world.client.get("pods", "default", "unready")["status"]["podIP"]
    expected = f'Readiness probe failed: Get "http://{ip}:9/x": dial tcp {ip}:9: connect: connection refused'
    assert world.messages("Unhealthy") == [expected]
    assert status(world, "unready")["ready"] is False


async def test_startup_probe_holds_back_the_others(world: World) -> None:
    container = {
        "startupProbe": {"exec": {"command": ["test", "-e", "/v/up"]}, "periodSeconds": 1, "failureThreshold": 30},
        "readinessProbe": {"tcpSocket": {"port": 7070}, "periodSeconds": 1},
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
    }
    script = (
        "import os, pathlib, socket, time; "
        "s = socket.create_server((os.environ['IP'], 7070)); "
        "pathlib.Path('/v/up').touch(); time.sleep(60)"
    )
    create(
        world, pod("slow", sys.executable, "-c", script, container=container, volumes=[{"name": "v", "emptyDir": {}}])
    )
    await world.until(lambda: world.has("pods", "slow", "Ready"))
    seen = [
        obj["status"]["containerStatuses"][0]
        for kind, _, obj in world.history
        if kind == "pods" and obj["status"].get("containerStatuses")
    ]
    assert [one for one in seen if one["ready"] and not one["started"]] == []


async def test_graceful_end_gets_sigterm_and_its_time(world: World) -> None:
    script = "trap 'echo bye; exit 3' TERM; echo ready; sleep 60 & wait"
    create(world, pod("polite", "sh", "-c", script, terminationGracePeriodSeconds=20))
    await world.until(lambda: phase(world, "polite") == "Running")
    await wait_for_log(world, "polite", "ready\n")
    world.client.delete("pods", "default", "polite")
    await world.until(lambda: world.client.get("pods", "default", "polite") is None)
    last = [obj for kind, type_, obj in world.history if kind == "pods" and type_ == "DELETED"][-1]
    assert last["status"]["phase"] == "Failed"
    assert last["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3


async def wait_for_log(world: World, name: str, text: str) -> None:
    assert world.devplane.kubelet is not None
    async with asyncio.timeout(PATIENCE):
        async for chunk in world.devplane.kubelet.logs("default", name, follow=True):
            if text.encode() in chunk:
                return


async def test_process_without_a_handler_is_killed_after_the_grace_period(world: World) -> None:
    """The first process of a container gets only signals that it handles."""
    create(world, pod("deaf", "sleep", "60", terminationGracePeriodSeconds=1))
    await world.until(lambda: phase(world, "deaf") == "Running")
    world.client.delete("pods", "default", "deaf")
    await world.until(lambda: world.client.get("pods", "default", "deaf") is None)
    last = [obj for kind, type_, obj in world.history if kind == "pods" and type_ == "DELETED"][-1]
    assert last["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137


async def test_deadline_of_a_pod_fails_it(world: World) -> None:
    create(world, pod("late", "sh", "-c", "sleep 60", activeDeadlineSeconds=1, terminationGracePeriodSeconds=0))
    assert await ended(world, "late") == "Failed"
    found = world.client.get("pods", "default", "late")["status"]
    assert (found["reason"], found["message"]) == (
        "DeadlineExceeded",
        "Pod was active on the node longer than the specified deadline",
    )
    (told,) = world.events("DeadlineExceeded")
    assert (told["type"], told["message"], told["count"]) == ("Normal", found["message"], 1)
    assert told["source"] == {"component": "kubelet", "host": "devplane"}


async def test_pre_stop_runs_before_the_end(world: World) -> None:
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "touch /v/stopping"]}}}
    script = "echo up; until [ -e /v/stopping ]; do sleep 0.02; done; exit 4"
    container = {"lifecycle": hook, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    body = pod("hooked", "sh", "-c", script, container=container, volumes=[{"name": "v", "emptyDir": {}}])
    create(world, {**body, "spec": {**body["spec"], "terminationGracePeriodSeconds": 20}})
    await world.until(lambda: phase(world, "hooked") == "Running")
    world.client.delete("pods", "default", "hooked")
    await world.until(lambda: world.client.get("pods", "default", "hooked") is None)
    last = [obj for kind, type_, obj in world.history if kind == "pods" and type_ == "DELETED"][-1]
    assert last["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 4


async def test_termination_message_falls_back_to_the_log(world: World) -> None:
    container = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    create(world, pod("fall", "sh", "-c", "echo why >&2; exit 1", container=container))
    await ended(world, "fall")
    assert status(world, "fall")["state"]["terminated"]["message"] == "why\n"


async def test_logs_by_tail_and_time_and_while_they_grow(world: World) -> None:
    create(world, pod("chatty", "sh", "-c", "echo 1; echo 2; printf 3; sleep 0.3; echo; echo 4"))
    await world.until(lambda: phase(world, "chatty") == "Running")
    followed = asyncio.create_task(world.log("chatty", follow=True))
    await ended(world, "chatty")
    assert await followed == "1\n2\n3\n4\n"
    assert await world.log("chatty", tail_lines=2) == "3\n4\n"
    assert await world.log("chatty", since_seconds=3600) == "1\n2\n3\n4\n"
    stamp, _, text = (await world.log("chatty", timestamps=True, tail_lines=1)).partition(" ")
    assert (len(stamp), text) == (len("2026-11-21T11:00:38.588937184Z"), "4\n")
    with pytest.raises(ApiError, match="container q is not valid for pod chatty"):
        await world.log("chatty", container="q")
    with pytest.raises(ApiError, match='previous terminated container "c" in pod "chatty" not found'):
        await world.log("chatty", previous=True)


async def test_nothing_outlives_the_first_process(world: World) -> None:
    script = "setsid sleep 61 & echo $!"
    create(world, pod("parent", "sh", "-c", script))
    await ended(world, "parent")
    assert not alive(int(await world.log("parent")))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_pods_that_do_not_fit_wait_for_room(world: World) -> None:
    cpus = world.client.get("nodes", "", "devplane")["status"]["allocatable"]["cpu"]
    whole = {"resources": {"requests": {"cpu": cpus}}}
    create(world, pod("big", "sh", "-c", "sleep 60", container=whole, terminationGracePeriodSeconds=0))
    await world.until(lambda: phase(world, "big") == "Running")
    create(world, pod("second", "sh", "-c", "true", container=whole))
    await world.until(lambda: world.messages("FailedScheduling"))
    no_node, no_victim = "1 Insufficient cpu", "1 No preemption victims found for incoming pod"
    why = f"0/1 nodes are available: {no_node}. preemption: 0/1 nodes are available: {no_victim}."
    assert world.messages("FailedScheduling") == [why]
    world.client.delete("pods", "default", "big")
    assert await ended(world, "second") == "Succeeded"


async def test_kubeconfig_of_a_pod_speaks_as_its_service_account(world: World) -> None:
    script = (
        "import json, os, pathlib, yaml; "
        "c = yaml.safe_load(pathlib.Path(os.environ['KUBECONFIG']).read_text()); "
        "token = os.path.exists(c['users'][0]['user']['tokenFile']); "
        "print(json.dumps([c['clusters'][0]['cluster']['server'], token]))"
    )
    create(world, pod("api", sys.executable, "-c", script))
    assert await ended(world, "api") == "Succeeded"
    assert json.loads(await world.log("api")) == [world.devplane.server_url, True]
