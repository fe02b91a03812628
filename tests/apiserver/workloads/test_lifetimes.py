"""What goes with what: owners and dependents, namespaces and their contents, pods and the control plane's own life."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from tests.apiserver.workloads.conftest import PATIENCE, Obj, World, job, pod, started


def config_map(world: World, name: str, *owners: Obj, blocking: bool = True, **metadata: Any) -> Obj:
    references = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": one["metadata"]["name"],
            "uid": one["metadata"]["uid"],
            "blockOwnerDeletion": blocking,
        }
        for one in owners
    ]
    body = {"metadata": {"name": name, "ownerReferences": references, **metadata}}
    return world.client.create("configmaps", "default", body)


def held(world: World, name: str) -> Obj | None:
    return world.client.get("configmaps", "default", name)


async def test_dependents_go_after_their_owner(world: World) -> None:
    owner = config_map(world, "owner")
    config_map(world, "below", config_map(world, "middle", owner))
    world.client.delete("configmaps", "default", "owner", propagation="Background")
    assert held(world, "owner") is None
    await world.until(lambda: held(world, "middle") is None and held(world, "below") is None)


async def test_object_stays_while_one_owner_lives(world: World) -> None:
    first, second = config_map(world, "first"), config_map(world, "second")
    config_map(world, "shared", first, second)
    world.client.delete("configmaps", "default", "first")
    shared = await world.until(
        lambda: len((held(world, "shared") or {})["metadata"]["ownerReferences"]) == 1 and held(world, "shared")
    )
    assert shared["metadata"]["ownerReferences"][0]["name"] == "second"


async def test_foreground_deletion_waits_for_what_blocks_it(world: World) -> None:
    owner = config_map(world, "owner")
    config_map(world, "slow", owner, finalizers=["example.com/wait"])
    world.client.delete("configmaps", "default", "owner", propagation="Foreground")
    await world.until(lambda: "deletionTimestamp" in held(world, "slow")["metadata"])  # type: ignore[index]
    assert held(world, "owner")["metadata"]["finalizers"] == ["foregroundDeletion"]  # type: ignore[index]
    world.client.patch("configmaps", "default", "slow", {"metadata": {"finalizers": None}})
    await world.until(lambda: held(world, "owner") is None)


async def test_orphans_are_left_without_the_owner(world: World) -> None:
    config_map(world, "left", config_map(world, "owner"))
    world.client.delete("configmaps", "default", "owner", propagation="Orphan")
    await world.until(lambda: held(world, "owner") is None)
    assert "ownerReferences" not in held(world, "left")["metadata"]  # type: ignore[index]


async def test_owner_of_another_uid_does_not_count(world: World) -> None:
    owner = config_map(world, "owner")
    stranger = {"metadata": {**owner["metadata"], "uid": "00000000-0000-0000-0000-000000000000"}}
    config_map(world, "child", stranger)
    await world.until(lambda: held(world, "child") is None)


async def test_namespace_begins_with_an_account_and_the_ca(world: World) -> None:
    world.client.create("namespaces", "", {"metadata": {"name": "fresh"}})
    await world.until(lambda: world.client.get("configmaps", "fresh", "kube-root-ca.crt"))
    assert world.client.get("serviceaccounts", "fresh", "default") is not None


async def test_namespace_goes_when_its_last_object_has_gone(world: World) -> None:
    world.client.create("namespaces", "", {"metadata": {"name": "going"}})
    await world.until(lambda: world.client.get("serviceaccounts", "going", "default"))
    world.client.create("configmaps", "going", {"metadata": {"name": "held", "finalizers": ["example.com/wait"]}})
    world.client.create("jobs.batch", "going", job("sleeper", "sh", "-c", "sleep 60"))
    await world.until(lambda: [one for one in world.pods("going") if one["status"]["phase"] == "Running"])
    world.client.delete("namespaces", "", "going")
    await world.until(
        lambda: (
            len(remaining := world.client.list("configmaps", "going")) == 1 and not world.pods("going") and remaining
        )
    )
    await world.until(lambda: "pods" not in said(world, "NamespaceContentRemaining"))
    assert said(world, "NamespaceContentRemaining") == (
        "Some resources are remaining: configmaps. has 1 resource instances"
    )
    assert said(world, "NamespaceFinalizersRemaining") == (
        "Some content in the namespace has finalizers remaining: example.com/wait in 1 resource instances"
    )
    world.client.patch("configmaps", "going", "held", {"metadata": {"finalizers": None}})
    await world.until(lambda: world.client.get("namespaces", "", "going") is None)


def said(world: World, type_: str) -> str:
    status = world.client.get("namespaces", "", "going")["status"]
    return next((one["message"] for one in status.get("conditions") or () if one["type"] == type_), "pods")


async def test_claim_in_use_is_deleted_after_its_pod(world: World) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    made = world.client.create("persistentvolumeclaims", "default", {"metadata": {"name": "data"}, "spec": spec})
    assert made["spec"]["storageClassName"] == "local-path"
    volumes = [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]
    world.client.create(
        "pods", "default", pod("user", "sh", "-c", "sleep 60", volumes=volumes, terminationGracePeriodSeconds=0)
    )
    await world.until(lambda: world.pods()[0]["status"]["phase"] == "Running")
    world.client.delete("persistentvolumeclaims", "default", "data")
    assert world.client.get("persistentvolumeclaims", "default", "data") is not None
    world.client.delete("pods", "default", "user")
    await world.until(lambda: world.client.get("persistentvolumeclaims", "default", "data") is None)


async def test_claim_of_a_class_that_may_grow_has_more_at_once(world: World) -> None:
    by_us = {"provisioner": "devplane/local-path", "allowVolumeExpansion": True}
    world.client.create("storageclasses.storage.k8s.io", "", {"metadata": {"name": "grows"}, **by_us})
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "grows",
    }
    world.client.create("persistentvolumeclaims", "default", {"metadata": {"name": "data"}, "spec": spec})

    def capacity() -> Obj | None:
        found: Obj = world.client.get("persistentvolumeclaims", "default", "data") or {}
        return found["status"].get("capacity")  # type: ignore[no-any-return]

    await world.until(lambda: capacity() == {"storage": "1Gi"})
    more = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    world.client.patch("persistentvolumeclaims", "default", "data", more)
    await world.until(lambda: capacity() == {"storage": "2Gi"})
    [volume] = world.client.list("persistentvolumes")
    assert volume["spec"]["capacity"] == {"storage": "2Gi"}
    await world.until(lambda: world.messages("VolumeResizeSuccessful") == ["Resize volume succeeded"])


async def test_pods_of_a_stopped_control_plane_fail_or_start_again(tmp_path: Path) -> None:
    first = await started(tmp_path / "d")
    watching = asyncio.create_task(first.record())
    first.client.create("jobs.batch", "default", job("cut", "sh", "-c", "sleep 60"))
    first.client.create("pods", "default", pod("again", "sh", "-c", "sleep 60", restartPolicy="Always"))
    await first.until(lambda: [one["status"]["phase"] for one in first.pods()] == ["Running", "Running"])
    watching.cancel()
    await first.devplane.stop()

    second = await started(tmp_path / "d")
    watching = asyncio.create_task(second.record())
    await second.until(lambda: second.has("jobs.batch", "cut", "Failed"))
    cut = next(one for one in second.pods() if one["metadata"]["name"].startswith("cut-"))
    state = cut["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (state["exitCode"], state["reason"], cut["status"]["reason"]) == (137, "Error", "Terminated")

    def again() -> Obj:
        return second.client.get("pods", "default", "again")["status"]["containerStatuses"][0]  # type: ignore[index,no-any-return]

    await second.until(lambda: again()["restartCount"] == 1 and "running" in again()["state"])
    watching.cancel()
    await second.devplane.stop()


SERVE = """
import asyncio, sys
from pathlib import Path
from devplane.app import Devplane, Options
async def main():
    devplane = Devplane(Options(data_dir=Path(sys.argv[1])))
    await devplane.start()
    body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "busybox:1",
            "command": ["sh", "-c", "sleep 3600 & setsid sleep 3600 & echo $$$$ $!; wait"]}]}}
    devplane.client.create("pods", "default", body)
    while True:
        try:
            text = b"".join([chunk async for chunk in devplane.kubelet.logs("default", "p")])
        except Exception:
            text = b""
        if text.endswith(b"\\n"):
            print(text.decode(), end="", flush=True)
            break
        await asyncio.sleep(0.02)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_processes_end_with_a_control_plane_that_is_killed(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[3] / "operator")
    served = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVE, str(tmp_path / "d")),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert served.stdout is not None
    try:
        pids = await killed(served)
    finally:
        with contextlib.suppress(ProcessLookupError):
            served.kill()
    async with asyncio.timeout(PATIENCE):
        while any(alive(pid) for pid in pids):  # noqa: ASYNC110 - nothing tells of the end of another's child
            await asyncio.sleep(0.02)


async def killed(served: asyncio.subprocess.Process) -> list[int]:
    """The processes of its pod, alive until it was killed."""
    assert served.stdout is not None
    pids = [int(word) for word in (await served.stdout.readline()).split()]
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    served.kill()
    await served.wait()
    return pids
