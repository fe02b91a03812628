"""The one node: its object, its Lease and its heartbeat."""

from __future__ import annotations

import asyncio
import platform
from typing import TYPE_CHECKING

from devplane.node import GPU, HOST_IP, allocatable
from devplane.objects import Obj, condition, now, stamp

if TYPE_CHECKING:
    from devplane.client import Client
    from devplane.context import Context

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


class NodeKeeper:
    """Renews the Lease every ten seconds and the status every five minutes, like a kubelet."""

    name = "node"

    def __init__(self, client: Client, context: Context) -> None:
        self._client = client
        self._context = context

    async def run(self) -> None:
        while True:
            self._report()
            for _ in range(HEARTBEATS):
                self._renew()
                await asyncio.sleep(RENEW_SECONDS)

    def _report(self) -> None:
        name = self._context.node_name
        if self._client.get("nodes", "", name) is None:
            self._client.create("nodes", "", {"metadata": {"name": name, "labels": self._labels()}})
        held = self._client.get("nodes", "", name)
        assert held is not None
        self._client.patch("nodes", "", name, {"status": self._status(held)}, subresource="status")

    def _labels(self) -> dict[str, str]:
        system, machine = self._platform()
        labels = {
            "kubernetes.io/arch": machine,
            "kubernetes.io/hostname": self._context.node_name,
            "kubernetes.io/os": system,
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
                {"type": "Hostname", "address": self._context.node_name},
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

    def _renew(self) -> None:
        name = self._context.node_name
        renewed = now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": renewed}
        if self._client.get(LEASES, LEASE_NAMESPACE, name) is None:
            self._client.create(LEASES, LEASE_NAMESPACE, {"metadata": {"name": name}, "spec": spec})
        else:
            self._client.patch(LEASES, LEASE_NAMESPACE, name, {"spec": spec})
