"""How the containers of one pod start: image, environment, command, directories; and how probes reach them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from devplane.kubelet.checks import probes
from devplane.kubelet.collisions import collision
from devplane.kubelet.inputs import environment, images
from devplane.kubelet.inputs.environment import PodFacts, Sources
from devplane.kubelet.inputs.kubeconfig import kubeconfig
from devplane.kubelet.inputs.links import api_server, links
from devplane.kubelet.inputs.paths import Rewriter, archive_names
from devplane.kubelet.inputs.volumes import Volumes
from devplane.kubelet.last_words import termination_log
from devplane.kubelet.network.hosts import HostsFiles
from devplane.kubelet.network.names import hostname
from devplane.kubelet.place import ImageError
from devplane.kubelet.processes import execution
from devplane.kubelet.processes.cgroups import Group, Groups
from devplane.kubelet.processes.logs import log_file
from devplane.kubelet.processes.ports import Ports
from devplane.kubelet.processes.process import Command, ContainerProcess
from devplane.objects import Obj, namespace_of, quantity, uid_of

if TYPE_CHECKING:
    from devplane.context import Context
    from devplane.machinery.client import Client

Tell = Callable[[Obj, str, str, str], None]
"""Post an event of a container: (container, type, reason, message)."""


@dataclass(frozen=True, slots=True)
class Node:
    """What all pods share."""

    client: Client
    context: Context
    session: aiohttp.ClientSession
    host_ip: str
    allocatable: Mapping[str, str]
    ports: Ports
    hosts: HostsFiles | None = None
    groups: Groups | None = None

    def pod_directory(self, uid: str) -> Path:
        return self.context.data_dir / "pods" / uid


class Launch:
    def __init__(
        self, node: Node, directory: Path, volumes: Volumes, sources: Sources, facts: Callable[[], PodFacts]
    ) -> None:
        self._node = node
        self._directory = directory
        self._volumes = volumes
        self._sources = sources
        self._facts = facts

    def pull(self, container: Obj, tell: Tell) -> None:
        image, table = container["image"], self._node.context.images
        if images.find(table, image) is not None:
            return
        if wrong := images.malformed(image):
            tell(container, "Warning", "InspectFailed", wrong)
            raise ImageError("InvalidImageName", wrong)
        if container.get("imagePullPolicy") == "Never":
            message = f'Container image "{image}" is not present with pull policy of Never'
            tell(container, "Warning", "ErrImageNeverPull", message)
            raise ImageError("ErrImageNeverPull", message)
        why = images.absent(table, image)
        tell(container, "Normal", "Pulling", f'Pulling image "{image}"')
        tell(container, "Warning", "Failed", f'Failed to pull image "{image}": {why}')
        raise ImageError("ErrImagePull", why)

    def command(self, container: Obj, attempt: int) -> Command:
        image = images.find(self._node.context.images, container["image"])
        assert image is not None
        services = self._links()
        own = environment.environment(container, self._facts(), self._sources, services)
        given = {**services, **own}
        rewrite = self._rewriter(container, given, anew=True)
        local = {name: rewrite(value) for name, value in own.items()}
        env = {**self._machine(image), **image.env, **services, **local}
        entrypoint = tuple(rewrite(word) for word in environment.words(container.get("command"), given))
        arguments = tuple(rewrite(word) for word in environment.words(container.get("args"), given))
        memory = (container.get("resources") or {}).get("limits", {}).get("memory")
        file = log_file(self._directory, container["name"], attempt)
        self._make_room(container["name"], attempt)
        argv = entrypoint + arguments if entrypoint else image.entrypoint + (arguments or image.cmd)
        if not argv:
            raise environment.ConfigError("no command specified")
        limit = int(quantity(memory)) if memory else None
        place = self._working_directory(container, rewrite)
        name, has_stdin, has_tty = hostname(self._facts().pod), container.get("stdin"), container.get("tty")
        group = self._group(container, attempt, limit)
        return Command(argv, env, place, file, limit, self._hosts(), name, bool(has_stdin), bool(has_tty), group)

    def _group(self, container: Obj, attempt: int, limit: int | None) -> Group | None:
        groups = self._node.groups
        if groups is None or not limit:
            return None
        try:
            return groups.make(f"{uid_of(self._facts().pod)}-{container['name']}-{attempt}", limit)
        except OSError as error:
            raise environment.ConfigError(f"control group for a memory limit of {limit} bytes: {error}") from error

    def rewritten(self, container: Obj, command: Command, argv: Sequence[str]) -> tuple[str, ...]:
        """A further command of a container with the local paths of its mounts."""
        rewrite = self._rewriter(container, command.env)
        local = tuple(rewrite(word) for word in argv)
        return local + archive_names(local, rewrite.local) if local != tuple(argv) else local

    def target(self, container: Obj, command: Command, process: ContainerProcess) -> probes.Target:
        async def execute(argv: list[str], seconds: float) -> tuple[int, str]:
            local = self.rewritten(container, command, argv)
            return await execution.run(process, local, seconds, probes.OUTPUT_LIMIT)

        return probes.Target(container, self._facts().pod_ip, self._node.session, execute, self._node.ports.reach)

    def explain(self, container: Obj, tell: Tell) -> None:
        """An event, where a container has ended with an error while somebody else has a port of it."""
        facts = self._facts()
        services = self._node.client.list("services", namespace_of(facts.pod))
        if holder := collision(self._node.ports, facts.pod_ip, facts.pod, container, services):
            tell(container, "Warning", "PortTaken", str(holder))

    def _hosts(self) -> Path | None:
        return None if self._node.hosts is None else self._directory / "hosts"

    def enter(self) -> None:
        """The pod can be named from now on, and names others."""
        if self._node.hosts is not None:
            facts = self._facts()
            self._node.hosts.add(facts.pod, facts.pod_ip, self._directory / "hosts")

    def quit(self) -> None:
        if self._node.hosts is not None:
            self._node.hosts.remove(uid_of(self._facts().pod))

    def _links(self) -> dict[str, str]:
        """How a pod finds the Services that are there now, and the API server."""
        _, _, address = self._node.context.server_url.partition("://")
        host, _, port = address.rpartition(":")
        pod = self._facts().pod
        wanted = pod["spec"].get("enableServiceLinks", True)
        own = self._node.client.list("services", namespace_of(pod)) if wanted else []
        return links([*own, api_server(host, int(port))])

    def _machine(self, image: images.Image) -> dict[str, str]:
        """What is there before the image and the spec have their say."""
        pod = self._facts().pod
        home, scratch = self._directory / "home", self._directory / "tmp"
        for place in (home, scratch):
            place.mkdir(exist_ok=True)
        env = {
            "PATH": os.pathsep.join((*image.path, os.environ.get("PATH", os.defpath))),
            "HOSTNAME": hostname(pod),
            "HOME": str(home),
            "TMPDIR": str(scratch),
        }
        config = kubeconfig(pod, self._node.context, self._directory)
        return env if config is None else {**env, "KUBECONFIG": str(config)}

    def _rewriter(self, container: Obj, known: Mapping[str, str], *, anew: bool = False) -> Rewriter:
        message = termination_log(self._directory, container["name"])
        path = container.get("terminationMessagePath") or "/dev/termination-log"
        return Rewriter({path: str(message), **self._volumes.local(container, known, anew=anew)})

    def _working_directory(self, container: Obj, rewrite: Rewriter) -> Path:
        root = self._directory / "containers" / container["name"] / "root"
        wanted = container.get("workingDir")
        place = Path(rewrite(wanted)) if wanted else root
        if not place.is_dir():
            place = root / str(place).lstrip("/") if place != root else root
            place.mkdir(parents=True, exist_ok=True)
        return place

    def _make_room(self, name: str, attempt: int) -> None:
        """An empty termination log, and of older logs only the last."""
        message = termination_log(self._directory, name)
        message.parent.mkdir(parents=True, exist_ok=True)
        message.write_bytes(b"")
        file = log_file(self._directory, name, attempt)
        file.parent.mkdir(parents=True, exist_ok=True)
        log_file(self._directory, name, attempt - 2).unlink(missing_ok=True)
