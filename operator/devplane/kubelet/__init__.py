"""The kubelet: pods of this node as local processes. See `pod.py` for the life of one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import aiohttp

from devplane.errors import ApiError
from devplane.kubelet.entry import refusal
from devplane.kubelet.inputs.contents import Contents
from devplane.kubelet.inputs.volumes import SHARED_MEMORY, memory_prefix
from devplane.kubelet.launch import Node
from devplane.kubelet.network.addresses import Addresses
from devplane.kubelet.network.services import Network
from devplane.kubelet.pod import Pod
from devplane.kubelet.processes import cgroups
from devplane.kubelet.processes import logs as stored
from devplane.kubelet.processes.execution import Conversation, Wanted
from devplane.kubelet.processes.ports import Ports
from devplane.kubelet.processes.process import LAST_WAIT
from devplane.kubelet.record import Record
from devplane.node import HOST_IP, allocatable, has_failed
from devplane.objects import (
    Obj,
    container_statuses,
    containers,
    is_deleting,
    is_terminal,
    name_of,
    namespace_of,
    now,
    uid_of,
)

if TYPE_CHECKING:
    from devplane.context import Context
    from devplane.machinery.client import Client

log = logging.getLogger("devplane.kubelet")

NO_GROUPS = "memory limits are kept by looking ten times a second, not by control groups: %s"


class Kubelet:
    """`start` returns at once; `stop` lets pods end in order, in the time it is given, and then ends all processes."""

    def __init__(self, client: Client, context: Context) -> None:
        self._client = client
        self._context = context
        self._pods: dict[str, Pod] = {}
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._watching: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._ports = Ports()
        self._network = Network(client, self._ports.reach)
        self._failed: set[str] = set()
        self._contents = {name: Contents(client) for name in context.nodes}

    async def start(self) -> None:
        known = self._client.list("pods")
        taken = {one["status"].get("podIP", "") for one in known if one.get("status")}
        self._addresses = Addresses(self._context.pod_network, taken - {""})
        self._session = aiohttp.ClientSession()
        self._network.start()
        self._node = Node(
            self._client,
            self._context,
            self._session,
            HOST_IP,
            allocatable(self._context),
            self._ports,
            self._network.hosts,
            self._groups(),
        )
        self._sweep({uid_of(pod) for pod in known})
        self._watching = asyncio.create_task(self._watch(), name="kubelet")

    def _groups(self) -> cgroups.Groups | None:
        given = self._context.cgroup
        if given is not None:
            return cgroups.named(given)
        try:
            return cgroups.own()
        except cgroups.NoGroupsError as why:
            log.info(NO_GROUPS, why)
            return None

    async def stop(self, seconds: float = 0) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._shut_down(seconds)
        for task in self._lives.values():
            task.cancel()
        await asyncio.gather(*self._lives.values(), return_exceptions=True)
        await asyncio.gather(*(pod.abandon() for pod in self._pods.values()))
        await self._network.stop()
        self._sweep_memory()
        if self._session is not None:
            await self._session.close()

    async def _shut_down(self, seconds: float) -> None:
        """Containers that are not gone in time are killed; a moment more is left for their statuses."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds + LAST_WAIT):
                await asyncio.gather(*(pod.shut_down(seconds) for pod in self._pods.values()))

    def _sweep(self, known: set[str]) -> None:
        """What pods left behind that were deleted while nobody looked, and what a killed kubelet did."""
        root = self._context.data_dir / "pods"
        for directory in root.iterdir() if root.is_dir() else ():
            if directory.name not in known:
                shutil.rmtree(directory, ignore_errors=True)
        self._sweep_memory()

    def _sweep_memory(self) -> None:
        """Memory volumes live no longer than this process."""
        if SHARED_MEMORY.is_dir():
            for directory in SHARED_MEMORY.glob(f"{memory_prefix(self._context.data_dir)}*"):
                shutil.rmtree(directory, ignore_errors=True)

    async def _watch(self) -> None:
        async for resource, type_, obj in self._client.watch("nodes", "pods", "configmaps", "secrets"):
            if resource == "nodes":
                await self._on_node(obj)
            elif resource == "pods":
                self._on_pod(type_, obj)
            else:
                self._on_content("configMap" if resource == "configmaps" else "secret", obj)

    async def _on_node(self, node: Obj) -> None:
        """A node that fails loses its processes, as if its power were cut; one that returns finds its pods again."""
        name = name_of(node)
        if has_failed(node) and name not in self._failed:
            self._failed.add(name)
            for pod in [one for one in self._pods.values() if one.node_name == name]:
                await self._lose(pod)
        elif not has_failed(node) and name in self._failed:
            self._failed.discard(name)
            for found in self._client.list("pods", fields=f"spec.nodeName={name}"):
                self._on_pod("ADDED", found)

    async def _lose(self, pod: Pod) -> None:
        life = self._lives.pop(pod.uid)
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
        await pod.abandon()
        del self._pods[pod.uid]

    def _on_pod(self, type_: str, pod: Obj) -> None:
        uid = uid_of(pod)
        held = self._pods.get(uid)
        if type_ == "DELETED":
            if held is not None:
                held.removed()
        elif pod["spec"].get("nodeName") not in self._context.nodes or pod["spec"]["nodeName"] in self._failed:
            return
        elif held is not None:
            held.updated(pod)
            if held.finished:
                held.record.confirm()
        elif not is_terminal(pod):
            self._take(pod)
        elif is_deleting(pod):
            with contextlib.suppress(ApiError):
                self._client.delete("pods", namespace_of(pod), name_of(pod), uid=uid, grace_seconds=0)

    def _take(self, pod: Obj) -> None:
        """A pod that is new here has to fit; one that began here goes on."""
        name = pod["spec"]["nodeName"]
        node = self._client.get("nodes", "", name)
        if node is not None and not is_deleting(pod) and not (pod.get("status") or {}).get("startTime"):
            others = [one.pod for one in self._pods.values() if one.node_name == name and not one.gone.is_set()]
            if (why := refusal(pod, node, others)) is not None:
                Record(self._client, pod).refuse(pod, why)
                return
        self._adopt(pod)

    def _adopt(self, pod: Obj) -> None:
        ip = (pod.get("status") or {}).get("podIP") or self._addresses.take()
        if pod["spec"].get("hostNetwork"):
            ip = HOST_IP
        held = self._pods[uid_of(pod)] = Pod(pod, self._node, ip, self._contents[pod["spec"]["nodeName"]])
        if ip != HOST_IP:
            self._ports.enter(ip, held)
        self._lives[held.uid] = asyncio.create_task(self._live(held), name=f"pod {held.namespace}/{held.name}")

    async def _live(self, pod: Pod) -> None:
        try:
            await pod.run()
        except Exception:
            log.exception("pod %s/%s ended with an error of the kubelet", pod.namespace, pod.name)
            await pod.abandon()
        await pod.gone.wait()
        pod.discard()
        self._ports.leave(pod.ip)
        self._addresses.release(pod.ip)
        del self._pods[pod.uid], self._lives[pod.uid]

    def _on_content(self, kind: str, obj: Obj) -> None:
        for pod in self._pods.values():
            if pod.namespace == namespace_of(obj) and not pod.finished and pod.refers_to(kind, name_of(obj)):
                pod.refresh()

    def _held(self, ns: str, pod: str) -> Pod | None:
        return next((one for one in self._pods.values() if (one.namespace, one.name) == (ns, pod)), None)

    def kill(self, ns: str, pod: str, container: str) -> bool:
        """SIGKILL to what runs of a container; False where nothing does."""
        found = self._held(ns, pod)
        return found is not None and found.kill(container)

    def reach(self, address: str, port: int) -> bool:
        """Whether a connection there reaches the pod whose address it is, if anybody."""
        return self._ports.reach(address, port)

    async def execute(
        self, ns: str, pod: str, container: str, argv: Sequence[str], wanted: Wanted
    ) -> Conversation | None:
        """A command in a container; None where that does not run. Raises `StartError`."""
        found = self._held(ns, pod)
        return None if found is None else await found.execute(container, argv, wanted)

    async def attach(self, ns: str, pod: str, container: str, wanted: Wanted) -> Conversation | None:
        """The first process of a container, from now on; None where it does not run."""
        found = self._held(ns, pod)
        return None if found is None else await found.attach(container, wanted)

    def logs(
        self,
        ns: str,
        pod: str,
        container: str = "",
        follow: bool = False,
        tail_lines: int | None = None,
        since_seconds: int | None = None,
        since_time: datetime | None = None,
        timestamps: bool = False,
        previous: bool = False,
    ) -> AsyncIterator[bytes]:
        """A container's log; refusals (`ApiError`) are raised by the call, before the first chunk."""
        found = self._client.get("pods", ns, pod)
        if found is None:
            raise ApiError.not_found("pods", pod)
        name = _container_name(found, container)
        attempt = _attempt(found, name, previous)
        since = since_time if since_seconds is None else now() - timedelta(seconds=since_seconds)
        path = stored.log_file(self._node.pod_directory(uid_of(found)), name, attempt)
        uid = uid_of(found)
        is_open = (lambda: self._is_running(uid, name, attempt)) if follow and not previous else None
        return stored.read(path, stored.Selection(tail_lines, since, timestamps), is_open)

    def _is_running(self, uid: str, container: str, attempt: int) -> bool:
        pod = self._pods.get(uid)
        return pod is not None and pod.is_running(container, attempt)


def _container_name(pod: Obj, wanted: str) -> str:
    names = [one["name"] for one in containers(pod)]
    if wanted:
        if wanted not in names:
            raise ApiError.bad_request(f"container {wanted} is not valid for pod {name_of(pod)}")
        return wanted
    mains = [one["name"] for one in pod["spec"]["containers"]]
    default = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    if len(mains) > 1 and default not in mains:
        choices = f"[{' '.join(mains)}]"
        raise ApiError.bad_request(
            f"a container name must be specified for pod {name_of(pod)}, choose one of: {choices}"
        )
    return str(default if default in mains else mains[0])


def _attempt(pod: Obj, container: str, previous: bool) -> int:
    """Which start of the container is meant."""
    status = next((one for one in container_statuses(pod) if one["name"] == container), None)
    if status is None:
        raise not_started(pod, container, "ContainerCreating")
    restarts = int(status["restartCount"])
    waiting = status["state"].get("waiting")
    if previous:
        ended_now = bool(waiting and status["lastState"])
        if restarts == 0 and not ended_now:
            raise ApiError.bad_request(f'previous terminated container "{container}" in pod "{name_of(pod)}" not found')
        return restarts if ended_now else restarts - 1
    if waiting and not status["lastState"]:
        raise not_started(pod, container, waiting["reason"])
    return restarts


_PULLING = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}


def not_started(pod: Obj, container: str, reason: str) -> ApiError:
    """What a kubelet says when there is no log yet."""
    why = _PULLING.get(reason, reason)
    return ApiError.bad_request(f'container "{container}" in pod "{name_of(pod)}" is waiting to start: {why}')
