"""The declared nodes: their objects, Leases and heartbeats."""

from __future__ import annotations

import asyncio
import platform
from typing import TYPE_CHECKING

from devplane.node import DECLARED, GPU, HOST_IP, allocatable, has_failed
from devplane.objects import Obj, condition, now, stamp

if TYPE_CHECKING:
    from devplane.context import Context
    from devplane.machinery.client import Client

LEASES = "leases.coordination.k8s.io"
LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
RENEW_SECONDS = 10
HEARTBEATS = 30
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)
EVENTS = {
    "MemoryPressure": "NodeHasSufficientMemory",
    "DiskPressure": "NodeHasNoDiskPressure",
    "PIDPressure": "NodeHasSufficientPID",
    "Ready": "NodeReady",
}


class NodeKeeper:
    """Renews Leases every ten seconds and statuses every five minutes, like kubelets; a failed node is silent."""

    name = "node"

    def __init__(self, client: Client, context: Context) -> None:
        self._client = client
        self._context = context
        self._cordoned: dict[str, bool] = {}

    async def run(self) -> None:
        self._remove_others()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat(), name="node heartbeats")
            group.create_task(self._watch(), name="nodes that return")

    async def _beat(self) -> None:
        for name in self._context.nodes:
            self._start(name)
        while True:
            for name in self._context.nodes:
                self._report(name)
            for _ in range(HEARTBEATS):
                for name in self._context.nodes:
                    self._renew(name)
                await asyncio.sleep(RENEW_SECONDS)

    async def _watch(self) -> None:
        """A node that returns reports at once."""
        silent: set[str] = set()
        async for _, _, node in self._client.watch("nodes"):
            name = node["metadata"]["name"]
            if has_failed(node):
                silent.add(name)
            elif name in silent and name in self._context.nodes:
                silent.discard(name)
                self._start(name)
                self._report(name)
            if name in self._context.nodes and not has_failed(node):
                self._tell_cordon(node)

    def _tell_cordon(self, node: Obj) -> None:
        """A kubelet tells of its node's cordon when that changes, and from its start on when it is there."""
        name, is_cordoned = node["metadata"]["name"], bool(node["spec"].get("unschedulable"))
        before, self._cordoned[name] = self._cordoned.get(name, False), is_cordoned
        if before != is_cordoned:
            reason = "NodeNotSchedulable" if is_cordoned else "NodeSchedulable"
            self._tell(node, reason, f"Node {name} status is now: {reason}")

    def _tell(self, node: Obj, reason: str, message: str) -> None:
        about = {**node, "host": node["metadata"]["name"]}
        self._client.event(about, "Normal", reason, message, "kubelet")

    def _start(self, name: str) -> None:
        self._make(name)
        node = self._client.get("nodes", "", name)
        if node is not None and not has_failed(node):
            self._tell(node, "Starting", "Starting kubelet.")

    def _make(self, name: str) -> None:
        if self._client.get("nodes", "", name) is None:
            self._client.create("nodes", "", {"metadata": {"name": name, "labels": self._labels(name)}})

    def _remove_others(self) -> None:
        """Nodes of an earlier start with other ones."""
        for node in self._client.list("nodes", labels=f"{DECLARED}=true"):
            if node["metadata"]["name"] not in self._context.nodes:
                self._client.delete("nodes", "", node["metadata"]["name"])

    def _report(self, name: str) -> None:
        self._make(name)
        held = self._client.get("nodes", "", name)
        assert held is not None
        if has_failed(held):
            return
        self._client.patch("nodes", "", name, {"status": self._status(held)}, subresource="status")
        for type_, status, *_ in CONDITIONS:
            if (condition(held, type_) or {}).get("status") != status:
                self._tell(held, EVENTS[type_], f"Node {name} status is now: {EVENTS[type_]}")

    def _labels(self, name: str) -> dict[str, str]:
        system, machine = self._platform()
        labels = {
            "kubernetes.io/arch": machine,
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": system,
            DECLARED: "true",
        }
        return {**labels, f"{GPU}.present": "true"} if self._context.gpus else labels

    @staticmethod
    def _platform() -> tuple[str, str]:
        return platform.system().lower(), ARCHITECTURES.get(platform.machine(), platform.machine())

    def _status(self, node: Obj) -> Obj:
        amounts = allocatable(self._context)
        system, machine = self._platform()
        return {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": [self._condition(node, *one) for one in CONDITIONS],
            "addresses": [
                {"type": "InternalIP", "address": HOST_IP},
                {"type": "Hostname", "address": node["metadata"]["name"]},
            ],
            "nodeInfo": {
                "machineID": "",
                "systemUUID": "",
                "bootID": "",
                "kernelVersion": platform.release(),
                "osImage": platform.platform(),
                "containerRuntimeVersion": f"processes://{platform.python_version()}",
                "kubeletVersion": "v1.33.0-embedded",
                "kubeProxyVersion": "",
                "operatingSystem": system,
                "architecture": machine,
            },
        }

    @staticmethod
    def _condition(node: Obj, type_: str, status: str, reason: str, message: str) -> Obj:
        when = stamp(now())
        before = condition(node, type_)
        since = before["lastTransitionTime"] if before is not None and before["status"] == status else when
        times = {"lastHeartbeatTime": when, "lastTransitionTime": since}
        return {"type": type_, "status": status, **times, "reason": reason, "message": message}

    def _renew(self, name: str) -> None:
        node = self._client.get("nodes", "", name)
        if node is None or has_failed(node):
            return
        renewed = self._client.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": renewed}
        if self._client.get(LEASES, LEASE_NAMESPACE, name) is None:
            self._client.create(LEASES, LEASE_NAMESPACE, {"metadata": {"name": name}, "spec": spec})
        else:
            self._client.patch(LEASES, LEASE_NAMESPACE, name, {"spec": spec})
