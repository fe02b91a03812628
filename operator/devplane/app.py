"""Puts the control plane together: store, API server, controllers, kubelet; start and stop in the right order."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from devplane.access.authentication import Authentication
from devplane.access.certs import Credentials, credentials, faults_token, kubeconfig, write_private
from devplane.access.first_roles import first_roles
from devplane.access.rbac import CLUSTER_ADMIN, CLUSTER_ROLES, MASTERS
from devplane.access.tokens import Tokens
from devplane.context import Context, ImageTable
from devplane.faults.endpoint import FaultEndpoint
from devplane.kubelet.network.loopback import Block
from devplane.machinery.client import Client
from devplane.machinery.custom_resources import Definitions
from devplane.machinery.targets import Write
from devplane.machinery.verbs import SERVICE_NETWORK, Api
from devplane.node import node_names
from devplane.resources.builtin import builtin_resources
from devplane.resources.registry import Registry
from devplane.server.handler import Server
from devplane.storage.lock import Lock
from devplane.storage.store import Store

if TYPE_CHECKING:
    from devplane.kubelet import Kubelet

log = logging.getLogger("devplane")

Obj = dict[str, Any]

MOST_NODES = 100
MOST_GPUS = 1024
MOST_PORTS = 65535
MOST_SHUTDOWN_SECONDS = 86400
# exec puts its command into the address; Go's server takes 1 MiB.
LONGEST_LINE = 1 << 20
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


FIRST_ACCESS: dict[str, Obj] = {
    "clusterroles": {"rules": CLUSTER_ADMIN},
    "clusterrolebindings": {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": MASTERS}],
    },
}


class BindError(ValueError):
    """An address that this server must not listen on."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `serve` is started with. `has_nodes` False leaves controllers and kubelet out: an API server alone."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 0
    images: ImageTable = field(default_factory=ImageTable)
    kubeconfig: Path | None = None
    has_nodes: bool = True
    gpus: int = 0
    nodes: int = 1
    shutdown_seconds: float = 25
    cgroup: Path | None = None


def check_loopback(host: str) -> None:
    """Pods are local processes: whoever reaches this server runs programs as its user."""
    try:
        is_local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = False
    if not is_local:
        raise BindError(f"host {host!r} is not a loopback address; devplane listens on 127.0.0.1 only")


def check_numbers(options: Options) -> None:
    """Each by the name of its option."""
    _check_number("--nodes", options.nodes, 1, MOST_NODES, f"give 1 to {MOST_NODES}")
    _check_number("--gpus", options.gpus, 0, MOST_GPUS, f"give each node 0 to {MOST_GPUS}")
    _check_number("--port", options.port, 0, MOST_PORTS, f"give 1 to {MOST_PORTS}, or 0 for a free one")
    seconds = f"give 0 to {MOST_SHUTDOWN_SECONDS}"
    _check_number("--shutdown-seconds", options.shutdown_seconds, 0, MOST_SHUTDOWN_SECONDS, seconds)


def _check_number(option: str, value: float, least: float, most: float, remedy: str) -> None:
    if not least <= value <= most:  # nan is neither
        raise ValueError(f"{option} {value:g}: {remedy}")


def _last_port(noted: Path) -> int:
    """Where the start before listened, and copied kubeconfigs and running clients look; 0 where there was none."""
    try:
        return int(noted.read_text())
    except (OSError, ValueError):
        return 0


class Devplane:
    """One control plane in this process: `start`, then `stop`."""

    def __init__(self, options: Options) -> None:
        check_loopback(options.host)
        check_numbers(options)
        self._options = options
        self._tasks: list[asyncio.Task[Any]] = []
        self._runner: web.AppRunner | None = None
        self.kubelet: Kubelet | None = None
        self.server_url = ""
        options.data_dir.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(options.data_dir)
        self.store = Store(options.data_dir / "state.sqlite")
        self._block = Block(options.data_dir)
        self._network = self._block.services if options.has_nodes else SERVICE_NETWORK
        self.credentials: Credentials = credentials(options.data_dir, str(self._network[1]))
        self.api = Api(self.store, Registry(builtin_resources()), service_network=self._network)
        Definitions(self.api)
        self.client = Client(self.api)
        self.tokens = Tokens(self.credentials.signing_key, self.store, self.api.clock)
        self._server = Server(self.api, self.tokens, Authentication(self.credentials.admin_token, self.tokens))
        self._faults = FaultEndpoint(self._server.faults, faults_token(options.data_dir))
        self._server.extras.append(self._faults.register)

    @property
    def kubeconfig(self) -> Path:
        return self._options.kubeconfig or self._options.data_dir / "kubeconfig"

    async def start(self) -> None:
        """Listening, with the first namespaces there, when it returns."""
        self._make_first_objects()
        port = await self._listen()
        self.server_url = f"https://127.0.0.1:{port}"
        config = kubeconfig(self.server_url, self.credentials.ca_pem, self.credentials.admin_token)
        self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        write_private(self.kubeconfig, config)
        await self._serve_as_service(port)
        if self._options.has_nodes:
            await self._start_nodes()

    def _make_first_objects(self) -> None:
        for name in NAMESPACES:
            self._make("namespaces", {"metadata": {"name": name}})
        for role in ("clusterroles", "clusterrolebindings"):
            self._make(
                f"{role}.rbac.authorization.k8s.io", {"metadata": {"name": "cluster-admin"}, **FIRST_ACCESS[role]}
            )
        for one in first_roles():
            self._make(CLUSTER_ROLES, one)

    def _make(self, name: str, obj: Obj) -> None:
        resource = self.api.registry.named(name)
        assert resource is not None
        if self.store.get(name, "", obj["metadata"]["name"]) is None:
            self.api.create(resource, "", obj, Write("kube-apiserver"))

    async def _listen(self) -> int:
        runner = web.AppRunner(
            self._server.application(),
            handler_cancellation=True,
            access_log=None,
            shutdown_timeout=0.2,
            max_line_size=LONGEST_LINE,
            auto_decompress=False,  # as Kubernetes: requests are not compressed, and none unfolds in memory
        )
        await runner.setup()
        noted = self._options.data_dir / "port"
        try:
            await self._site(runner, self._options.port or _last_port(noted)).start()
        except OSError:
            if self._options.port:
                raise
            await self._site(runner, 0).start()
        self._runner = runner
        port: int = runner.addresses[0][1]
        noted.write_text(f"{port}\n")
        return port

    def _site(self, runner: web.AppRunner, port: int) -> web.TCPSite:
        return web.TCPSite(runner, self._options.host, port, ssl_context=self.credentials.server_context())

    async def _serve_as_service(self, port: int) -> None:
        """`default/kubernetes`, at its cluster IP where that is an address of this machine."""
        from devplane.controllers.api_service import ApiService

        service = ApiService(self.client.named("kube-apiserver"), self._network, "127.0.0.1", port)
        address = service.begin()
        self._tasks.append(asyncio.create_task(service.controller().run(), name="api-service"))
        if self._runner is None or not address or not ipaddress.ip_address(address).is_loopback:
            return
        try:
            await web.TCPSite(self._runner, address, port, ssl_context=self.credentials.server_context()).start()
        except OSError as error:
            log.info("The Service kubernetes is not reached at %s:%s: %s", address, port, error)

    async def _start_nodes(self) -> None:
        from devplane import controllers
        from devplane.kubelet import Kubelet

        context = self.context()
        self._tasks += controllers.start(self.client, context, self._server.webhooks)
        self.kubelet = Kubelet(self.client, context)
        await self.kubelet.start()
        self._faults.kubelet = self.kubelet
        self._server.connect(self.kubelet)

    def context(self) -> Context:
        return Context(
            data_dir=self._options.data_dir,
            images=self._options.images,
            server_url=self.server_url,
            ca_pem=self.credentials.ca_pem,
            tokens=self.tokens,
            cpu=str(os.cpu_count() or 1),
            memory=f"{_memory_mebibytes()}Mi",
            gpus=self._options.gpus,
            nodes=node_names(self._options.nodes),
            cgroup=self._options.cgroup,
            pod_network=self._block.pods,
        )

    async def stop(self) -> None:
        """Controllers first, which decide about ended pods at the next start; then pods, then the server."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.kubelet is not None:
            await self.kubelet.stop(self._options.shutdown_seconds)
        if self._runner is not None:
            await self._runner.cleanup()
        await self._server.webhooks.close()
        self.store.close()
        self._block.release()
        self._lock.release()


def _memory_mebibytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
