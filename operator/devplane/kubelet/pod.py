"""One pod of this node: volumes, init containers, containers, deadline, and a status that follows all of them."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any

from devplane.access.tokens import Bound, InvalidTokenError
from devplane.kubelet.backoff import Backoff
from devplane.kubelet.checks import probes
from devplane.kubelet.container import Container
from devplane.kubelet.inputs import environment
from devplane.kubelet.inputs.contents import Contents
from devplane.kubelet.inputs.environment import PodFacts, configured
from devplane.kubelet.inputs.sources import Objects
from devplane.kubelet.inputs.volumes import VolumeError, Volumes
from devplane.kubelet.launch import Launch, Node
from devplane.kubelet.processes import execution
from devplane.kubelet.processes.execution import Conversation, Wanted
from devplane.kubelet.processes.process import Command, ContainerProcess, StartError
from devplane.kubelet.record import SHUTDOWN, Record
from devplane.kubelet.recovery import earlier
from devplane.kubelet.status import CREATING, INITIALIZING, ContainerView, PodView, Running, Terminated
from devplane.kubelet.waiting import all_of, first_of
from devplane.objects import Obj, is_deleting, moment, name_of, namespace_of, now, uid_of

DEADLINE = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")


class Pod:
    """Runs one pod until it ends or is deleted; `run` is its whole life. It is the `Place` of its containers."""

    def __init__(self, pod: Obj, node: Node, ip: str, contents: Contents) -> None:
        self.name, self.namespace, self.uid = name_of(pod), namespace_of(pod), uid_of(pod)
        self.directory = node.pod_directory(self.uid)
        self.finished = False
        self._pod = pod
        self._node = node
        self._contents = contents
        self.record = Record(node.client, pod)
        self.node_name: str = pod["spec"].get("nodeName", "")
        self.ip = ip
        self._sandbox = self._is_ending = False
        self._failure: tuple[str, str] | None = None
        started = (pod.get("status") or {}).get("startTime")
        self._started_at = moment(started) if started else now()
        self._news = asyncio.Event()
        self._moved = asyncio.Event()
        self._told = _told(pod)
        self._doomed = asyncio.Event()
        self.gone = asyncio.Event()
        self.ended = asyncio.Event()
        self._shutdown_at: float | None = None
        objects = Objects(node.client, self.namespace, contents)
        self._volumes = Volumes(self._facts(), self.directory / "volumes", objects, objects.claim, self._token)
        self._launch = Launch(node, self.directory, self._volumes, objects, self._facts)
        self._inits = [self._container(spec, is_init=True) for spec in pod["spec"].get("initContainers") or ()]
        self._mains = [self._container(spec, is_init=False) for spec in pod["spec"]["containers"]]
        self._running: dict[Container, asyncio.Task[None]] = {}

    @property
    def pod(self) -> Obj:
        """The object as it was seen last."""
        return self._pod

    @property
    def roots(self) -> list[int]:
        return [one.running[0].root for one in (*self._inits, *self._mains) if one.running is not None]

    # What the kubelet tells it.

    def updated(self, pod: Obj) -> None:
        self._pod = pod
        told, self._told = self._told, _told(pod)
        if told != self._told:
            self.refresh()
        for container, spec in zip((*self._inits, *self._mains), _containers(pod), strict=True):
            container.respecify(spec)
        if pod["spec"].get("readinessGates") and self._sandbox:
            self.changed()
        if is_deleting(pod):
            self._doomed.set()

    def removed(self) -> None:
        """The object is gone: everything ends at once."""
        self.gone.set()
        self._doomed.set()

    def refresh(self) -> None:
        """Something that the pod may refer to has changed."""
        news, self._news = self._news, asyncio.Event()
        news.set()
        if self._sandbox:
            self._renew()

    def refers_to(self, kind: str, name: str) -> bool:
        return self._volumes.uses(kind, name) or not self._sandbox or self._is_waiting()

    def _is_waiting(self) -> bool:
        return any(not isinstance(one.view.state, Running | Terminated) for one in (*self._inits, *self._mains))

    # Its life.

    async def run(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if is_deleting(self._pod):
            self._doomed.set()
        try:
            if not self._doomed.is_set():
                self._contents.register(self._pod)
                await first_of(self._live(), self._doomed.wait(), self._past_deadline())
            if self._shutdown_at is None or is_deleting(self._pod):
                await self._end()
            else:
                await self._leave()
        finally:
            self._contents.unregister(self.uid)
            self.ended.set()

    async def _past_deadline(self) -> None:
        seconds = self._pod["spec"].get("activeDeadlineSeconds")
        if seconds is None:
            await asyncio.Event().wait()
            return
        left = (self._started_at + timedelta(seconds=seconds) - now()).total_seconds()
        await asyncio.sleep(max(left, 0))
        self._failure = DEADLINE
        self.record.post(self._pod, "Normal", *DEADLINE)

    async def _live(self) -> None:
        self.changed()
        await self._set_up_volumes()
        self._launch.enter()
        self._sandbox = True
        renewing = asyncio.create_task(self._renew_tokens())
        try:
            if await self._initialize():
                await self._run_mains()
        finally:
            renewing.cancel()

    async def _set_up_volumes(self) -> None:
        backoff = Backoff(first=0.5, most=120)
        backoff.step(now())
        while True:
            try:
                self._volumes.set_up()
                return
            except VolumeError as error:
                self.record.post(self._pod, "Warning", "FailedMount", str(error))
                await self.news(backoff.step(now()))

    async def _renew_tokens(self) -> None:
        while (due := self._volumes.renewal()) is not None:
            await asyncio.sleep(max((due - now()).total_seconds(), 1))
            self._renew()

    def _renew(self) -> None:
        for wrong in self._volumes.refresh(self._facts()):
            self.record.post(self._pod, "Warning", "FailedMount", str(wrong))

    async def _initialize(self) -> bool:
        """Init containers one after the other; sidecars stay. False: one of them failed for good."""
        for container in self._inits:
            if container.view.is_sidecar:
                self._start(container)
                await self._until(lambda container=container: container.view.started)  # type: ignore[misc]
            elif not (isinstance(container.view.state, Terminated) and container.view.state.exit_code == 0):
                await all_of([self._start(container)])
                if not (isinstance(container.view.state, Terminated) and container.view.state.exit_code == 0):
                    return False
        return True

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._moved.wait()

    async def _run_mains(self) -> None:
        started = []
        for container in self._mains:
            if not self._ended(container):
                started.append(self._start(container))
                await self._until(lambda container=container: container.is_past_start)  # type: ignore[misc]
        await all_of(started)

    def _ended(self, container: Container) -> bool:
        """Ended in an earlier life of this process, and not to be started again."""
        state = container.view.state
        return isinstance(state, Terminated) and not restarts(self._pod, container.view)(state.exit_code)

    def _start(self, container: Container) -> asyncio.Task[None]:
        task = asyncio.create_task(container.run(), name=f"{self.namespace}/{self.name}/{container.view.name}")
        self._running[container] = task
        return task

    async def shut_down(self, seconds: float) -> None:
        """The node goes down in so many seconds: SIGTERM and the pod's own grace within them, and a status that says
        so. A pod that is never restarted has failed, unless it still succeeds; any other goes on at the next start."""
        self._shutdown_at = asyncio.get_running_loop().time() + seconds
        self._doomed.set()
        await self.ended.wait()

    async def _leave(self) -> None:
        ran = any(isinstance(one.view.state, Running) for one in (*self._inits, *self._mains))
        await self._stop_all(Container.leave)
        if not ran or self._pod["spec"].get("restartPolicy", "Always") != "Never":
            self._sandbox = False
            self.changed()
            return
        if any(not isinstance(one.view.state, Terminated) or one.view.state.exit_code for one in self._mains):
            self._failure = SHUTDOWN
            self.record.mark_disrupted()
        self._conclude()

    async def _end(self) -> None:
        """Stop what runs; show the end, at once for all of it; let go of an object that waits for that."""
        self.changed()
        self._is_ending = True
        await self._stop_all(Container.stop)
        self._conclude()

    async def _stop_all(self, way: Callable[[Container, float], Coroutine[Any, Any, None]]) -> None:
        """Sidecars last and in reverse order."""
        await asyncio.gather(*(self._stop(one, way(one, self._time_to_end())) for one in self._mains))
        for one in reversed(self._inits):
            await self._stop(one, way(one, self._time_to_end()))

    def _conclude(self) -> None:
        self._settle()
        self._is_ending = self._sandbox = False
        self.finished = True
        self.changed()
        self._volumes.tear_down()
        self._launch.quit()
        self.record.confirm()

    def _settle(self) -> None:
        """What never had its turn keeps waiting."""
        view = self._view()
        begun = [at for at, one in enumerate(view.inits) if one.has_started]
        for container in self._inits[: max(begun, default=-1) + 1]:
            container.settle()
        for container in self._mains if view.initialized else ():
            container.settle()

    def _time_to_end(self) -> float:
        if self.gone.is_set():
            return 0
        if self._shutdown_at is not None:
            return min(self.grace, max(self._shutdown_at - asyncio.get_running_loop().time(), 0))
        return float(
            self._pod["metadata"].get("deletionGracePeriodSeconds", self.grace)
            if is_deleting(self._pod)
            else self.grace
        )

    async def _stop(self, container: Container, stopping: Coroutine[Any, Any, None]) -> None:
        task = self._running.get(container)
        if task is None:
            stopping.close()
            return
        await stopping
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def abandon(self) -> None:
        """End the processes and leave the object as it is: the kubelet itself ends."""
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def kill(self, container: str) -> bool:
        found = self._named(container)
        return found is not None and found.kill()

    def _named(self, container: str) -> Container | None:
        return next((one for one in (*self._inits, *self._mains) if one.view.name == container), None)

    async def execute(self, container: str, argv: Sequence[str], wanted: Wanted) -> Conversation | None:
        """A command in a container; None where that does not run. Raises `StartError`."""
        found = self._named(container)
        if found is None or found.running is None:
            return None
        process, command = found.running
        local = self._launch.rewritten(found.spec, command, argv)
        return await execution.execute(process, local, wanted)

    async def attach(self, container: str, wanted: Wanted) -> Conversation | None:
        """What a container writes, and reads, from now on; None where it does not run."""
        found = self._named(container)
        if found is None or found.running is None:
            return None
        with contextlib.suppress(StartError):
            return await execution.attach(found.running[0], wanted, stdin_once=bool(found.spec.get("stdinOnce")))
        return None

    def is_running(self, container: str, attempt: int) -> bool:
        """Whether this start of a container still runs or is about to."""
        if self.finished:
            return False
        one = next(one for one in (*self._inits, *self._mains) if one.view.name == container)
        return one.view.restarts == attempt and isinstance(one.view.state, Running)

    def discard(self) -> None:
        """The object is gone, and with it logs and everything else of the pod."""
        self._volumes.tear_down()
        self._launch.quit()
        shutil.rmtree(self.directory, ignore_errors=True)

    # What its containers ask of it (place.Place).

    @property
    def grace(self) -> float:
        seconds = self._pod["spec"].get("terminationGracePeriodSeconds")
        return 30.0 if seconds is None else float(seconds)

    def changed(self) -> None:
        """Write the status that is true now; on the way out, when all has ended."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
        if self._is_ending:
            return
        self._pod = self.record.write(self._view()) or self._pod

    def event(self, container: Obj, type_: str, reason: str, message: str) -> None:
        kind = "initContainers" if any(container is one.spec for one in self._inits) else "containers"
        self.record.post(self._pod, type_, reason, message, f"spec.{kind}{{{container['name']}}}")

    def pull(self, container: Obj) -> None:
        self._launch.pull(container, self.event)

    def command(self, container: Obj, attempt: int) -> Command:
        return self._launch.command(container, attempt)

    def target(self, container: Obj, command: Command, process: ContainerProcess) -> probes.Target:
        return self._launch.target(container, command, process)

    def explain(self, container: Obj) -> None:
        self._launch.explain(container, self.event)

    async def news(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    # Parts.

    def _facts(self) -> PodFacts:
        return PodFacts(
            configured(self._pod, self._started_at), self.ip, self._node.host_ip, self.node_name, self._node.allocatable
        )

    def _view(self) -> PodView:
        return PodView(
            inits=tuple(one.view for one in self._inits),
            mains=tuple(one.view for one in self._mains),
            started_at=self._started_at,
            host_ip=self._node.host_ip,
            ip=self.ip if self._sandbox or self.finished else "",
            sandbox=self._sandbox,
            finished=self.finished,
            failure=self._failure,
        )

    def _container(self, spec: Obj, *, is_init: bool) -> Container:
        waiting = INITIALIZING if self._pod["spec"].get("initContainers") else CREATING
        view = earlier(self._pod, ContainerView(spec, waiting, is_init=is_init))
        return Container(view, self, restarts(self._pod, view))

    def _token(self, audience: str, seconds: int) -> str:
        """Of the pod's service account, bound to the pod."""
        account = self._pod["spec"].get("serviceAccountName") or "default"
        tokens, bound = self._node.context.tokens, Bound(self.name, self.uid)
        try:
            return tokens.mint(self.namespace, account, [audience] if audience else [], seconds, bound)
        except InvalidTokenError as error:
            raise environment.ConfigError(f"failed to fetch token: {error}") from error


def _containers(pod: Obj) -> list[Obj]:
    return [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]


def _told(pod: Obj) -> tuple[Obj | None, Obj | None]:
    """What its containers and volumes may refer to; the status is the kubelet's own, and no news to it."""
    return pod["metadata"].get("labels"), pod["metadata"].get("annotations")


def restarts(pod: Obj, view: ContainerView) -> Callable[[int], bool]:
    """Whether a container starts again, by its exit code."""
    policy = "Always" if view.is_sidecar else pod["spec"].get("restartPolicy", "Always")
    if view.is_init and not view.is_sidecar and policy == "Always":
        policy = "OnFailure"
    return lambda code: policy == "Always" or (policy == "OnFailure" and code != 0)
