"""Names and ports of Services for the pods of this machine, kept to what Services and EndpointSlices say."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from typing import TYPE_CHECKING

from devplane.kubelet.network import names
from devplane.kubelet.network.hosts import HostsFiles
from devplane.kubelet.network.lookups import Lookups
from devplane.kubelet.network.proxy import Proxy
from devplane.kubelet.processes.ports import Reach
from devplane.kubelet.processes.process import SHIM

if TYPE_CHECKING:
    from devplane.machinery.client import Client

log = logging.getLogger("devplane.kubelet")

SLICES = "endpointslices.discovery.k8s.io"
PAUSE = 0.02
NO_NAMES = (
    "names of Services do not resolve inside pods: %s; start devplane as root, or allow unprivileged user namespaces "
    "(sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)"
)


def refusal() -> str:
    """Why processes can't have an /etc/hosts of their own here, in the system's words; empty where they can."""
    if sys.platform != "linux":
        return f"{sys.platform} has no mount namespaces"
    tried = subprocess.run(
        [sys.executable, "-I", "-S", str(SHIM), "--probe"], capture_output=True, text=True, check=False, timeout=10
    )
    return "" if tried.returncode == 0 else tried.stdout.strip() or "unshare failed"


class Network:
    """`hosts` is what pods are added to; None where names can't be had."""

    def __init__(self, client: Client, reach: Reach) -> None:
        self._client = client
        self._proxy = Proxy(reach)
        self._changed = asyncio.Event()
        self._lookups = Lookups(self._changed.set)
        self._tasks: list[asyncio.Task[None]] = []
        self.hosts: HostsFiles | None = None

    def start(self) -> None:
        why = refusal()
        if why:
            log.warning(NO_NAMES, why)
        else:
            self.hosts = HostsFiles()
        self._follow()
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._keep())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._lookups.stop()
        await self._proxy.stop()

    async def _watch(self) -> None:
        async for _ in self._client.watch("services", SLICES):
            self._changed.set()

    async def _keep(self) -> None:
        """A burst of changes is one."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(PAUSE)
            self._changed.clear()
            self._follow()

    def _follow(self) -> None:
        known = names.services(self._client.list("services"), self._client.list(SLICES))
        self._proxy.follow(known)
        if self.hosts is not None:
            self._lookups.follow(names.outer_names(known))
            self.hosts.follow(known, self._lookups.known)
