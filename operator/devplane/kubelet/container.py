"""One container of a pod, from its first start to its last end: image, configuration, restarts, probes, the way out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from devplane.kubelet import probes
from devplane.kubelet.backoff import Backoff
from devplane.kubelet.environment import ConfigError
from devplane.kubelet.process import LAST_WAIT, Command, ContainerProcess, Exit, StartError
from devplane.kubelet.status import (
    CREATING,
    EPOCH,
    INITIALIZING,
    LOST,
    LOST_MESSAGE,
    ContainerView,
    Running,
    Terminated,
    Waiting,
    duration,
)
from devplane.objects import Obj, now

MESSAGE_LIMIT = 4096
LOG_FALLBACK_BYTES = 2048
LOG_FALLBACK_LINES = 80
LEAST_GRACE = 2.0
RUNTIME = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed"
CANNOT_START = f"{RUNTIME}: unable to start container process: {{}}: unknown"


class ImageError(Exception):
    """The image is not there: the waiting reason and message, and whether devplane would pull it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Place(Protocol):
    """What a container needs of its pod."""

    name: str
    namespace: str
    uid: str
    directory: Path

    @property
    def grace(self) -> float: ...

    def changed(self) -> None: ...

    def event(self, container: Obj, type_: str, reason: str, message: str) -> None: ...

    def pull(self, container: Obj) -> None:
        """Raises ImageError."""

    def command(self, container: Obj, attempt: int) -> Command:
        """Raises ConfigError."""

    def target(self, container: Obj, command: Command, process: ContainerProcess) -> probes.Target: ...

    async def news(self, seconds: float) -> None:
        """Wait for a change in what the pod refers to, or so many seconds."""


@dataclass(slots=True)
class _Probing:
    """The probes of one start."""

    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.tasks.clear()


class Container:
    """`restarts` answers for an exit code whether the container starts again."""

    def __init__(self, view: ContainerView, place: Place, restarts: Callable[[int], bool]) -> None:
        self.view = view
        self._place = place
        self._restarts = restarts
        self._backoff = Backoff()
        self._process: ContainerProcess | None = None
        self._command: Command | None = None
        self._gone = asyncio.Event()
        self._probing = _Probing()
        self._stopping = False
        self._attempt = view.restarts
        self._ending: asyncio.Future[None] | None = None

    @property
    def spec(self) -> Obj:
        return self.view.spec

    @property
    def is_past_start(self) -> bool:
        """Running, or waiting for something that may take long: the next container's turn."""
        return self.view.state not in (CREATING, INITIALIZING)

    @property
    def running(self) -> tuple[ContainerProcess, Command] | None:
        """What runs now, and how it was started."""
        if self._process is None or self._command is None:
            return None
        return self._process, self._command

    async def run(self) -> None:
        """Until it has ended for good."""
        while not self._stopping:
            ended = await self._once()
            self._show(state=ended, ready=False, started=False)
            if self._stopping or not self._restarts(ended.exit_code):
                return
            await self._back_off(ended)

    async def stop(self, grace: float) -> None:
        """preStop, SIGTERM, and SIGKILL when `grace` seconds are over."""
        self._stopping = True
        if self._process is not None:
            self._place.event(self.spec, "Normal", "Killing", f"Stopping container {self.view.name}")
            await self._end_process(grace)

    async def leave(self, grace: float) -> None:
        """As `stop`, without the wait where the process can't hear a SIGTERM."""
        self._stopping = True
        await self._end_process(grace, ContainerProcess.leave)

    def kill(self) -> bool:
        """SIGKILL from outside: what follows is its restart policy's affair. False when nothing runs."""
        if self._process is not None:
            self._process.kill()
        return self._process is not None

    def settle(self) -> None:
        """After the end: what did not run last has ended too, or is not known any more."""
        if isinstance(self.view.state, Terminated):
            return
        ended = self.view.last or Terminated(137, LOST, LOST_MESSAGE)
        self._show(state=ended, last=None if self.view.last is ended else self.view.last, ready=False, started=False)

    def show_waiting(self, reason: str) -> None:
        if isinstance(self.view.state, Waiting):
            self._show(state=Waiting(reason))

    def _show(self, **changes: Any) -> None:
        shown = replace(self.view, **changes)
        if shown != self.view:
            self.view = shown
            self._place.changed()

    async def _once(self) -> Terminated:
        await self._have_image()
        command = await self._configured()
        return await self._run(command)

    async def _have_image(self) -> None:
        backoff = Backoff()
        backoff.step(now())
        while True:
            try:
                self._place.pull(self.spec)
                return
            except ImageError as error:
                await self._without_image(error, backoff.step(now()))

    async def _without_image(self, error: ImageError, delay: float) -> None:
        image = self.spec["image"]
        self._place.event(self.spec, "Warning", "Failed", f"Error: {error.reason}")
        self._show(state=Waiting(error.reason, str(error)))
        if error.reason == "ErrImageNeverPull":
            await self._place.news(delay)
            return
        await self._place.news(1)
        waiting = f'Back-off pulling image "{image}": ErrImagePull: {error}'
        self._place.event(self.spec, "Normal", "BackOff", f'Back-off pulling image "{image}"')
        self._place.event(self.spec, "Warning", "Failed", "Error: ImagePullBackOff")
        self._show(state=Waiting("ImagePullBackOff", waiting))
        await self._place.news(delay)

    async def _configured(self) -> Command:
        while True:
            message = f'Container image "{self.spec["image"]}" already present on machine'
            self._place.event(self.spec, "Normal", "Pulled", message)
            self._attempt = self.view.restarts + (1 if self._last_end() is not None else 0)
            try:
                return self._place.command(self.spec, self._attempt)
            except ConfigError as error:
                self._place.event(self.spec, "Warning", "Failed", f"Error: {error}")
                self._show(state=Waiting("CreateContainerConfigError", str(error)), seen_image=True)
                await self._place.news(10)

    def _last_end(self) -> Terminated | None:
        return self.view.state if isinstance(self.view.state, Terminated) else self.view.last

    async def _run(self, command: Command) -> Terminated:
        identity = f"containerd://{uuid4().hex}{uuid4().hex}"
        self._place.event(self.spec, "Normal", "Created", f"Created container: {self.view.name}")
        before = {"last": self._last_end(), "restarts": self._attempt, "seen_image": True, "container_id": identity}
        self._command = command
        try:
            self._process = await ContainerProcess.start(command)
        except StartError as error:
            return self._not_started(str(error), before)
        started_at = now()
        self._gone.clear()
        self._place.event(self.spec, "Normal", "Started", f"Started container {self.view.name}")
        ended = await self._until_end(self._process, lambda: self._begin(started_at, before))
        self._show(**before)
        return self._terminated(ended, started_at, command)

    async def _begin(self, started_at: datetime, before: Mapping[str, Any]) -> None:
        """It is Running when its postStart hook is through, and probed from then on."""
        if self.running is None or not await self._post_start(*self.running):
            return
        is_started, is_ready = "startupProbe" not in self.spec, not self._is_gated("readinessProbe")
        self._show(state=Running(started_at), started=is_started, ready=is_started and is_ready, **before)
        self._start_probes()

    def _is_gated(self, probe: str) -> bool:
        return probe in self.spec

    def _not_started(self, why: str, before: Mapping[str, Any]) -> Terminated:
        message = CANNOT_START.format(why)
        self._place.event(self.spec, "Warning", "Failed", f"Error: {message}")
        self._show(**before)
        return Terminated(128, "StartError", message, EPOCH, now(), self.view.container_id)

    async def _until_end(self, process: ContainerProcess, begin: Callable[[], Awaitable[None]]) -> Exit:
        beginning = asyncio.ensure_future(begin())
        try:
            return await process.wait()
        except asyncio.CancelledError:
            process.kill()
            await asyncio.wait({asyncio.create_task(process.wait())}, timeout=LAST_WAIT)
            raise
        finally:
            beginning.cancel()
            self._probing.stop()
            self._process = None
            process.close()
            self._gone.set()

    def _terminated(self, ended: Exit, started_at: datetime, command: Command) -> Terminated:
        reason = "OOMKilled" if ended.out_of_memory else "Error" if ended.code else "Completed"
        message = self._message(ended.code, command)
        return Terminated(ended.code, reason, message, started_at, now(), self.view.container_id)

    def _message(self, code: int, command: Command) -> str:
        file = termination_log(self._place.directory, self.view.name)
        text = file.read_bytes()[:MESSAGE_LIMIT].decode(errors="replace") if file.is_file() else ""
        if not text and code and self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            return _last_lines(command.log)
        return text

    async def _back_off(self, ended: Terminated) -> None:
        delay = self._backoff.step(now())
        if delay:
            pod = f"{self._place.name}_{self._place.namespace}({self._place.uid})"
            message = f"back-off {duration(round(delay))} restarting failed container={self.view.name} pod={pod}"
            event = f"Back-off restarting failed container {self.view.name} in pod {pod}"
            self._place.event(self.spec, "Warning", "BackOff", event)
            self._show(state=Waiting("CrashLoopBackOff", message), last=ended)
            await asyncio.sleep(delay)

    async def _end_process(
        self, grace: float, ask: Callable[[ContainerProcess], None] = ContainerProcess.terminate
    ) -> None:
        process = self._process
        if process is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(await self._after_pre_stop(grace)):
                ask(process)
                await self._gone.wait()
        process.kill()
        await self._gone.wait()

    def _hook(self, name: str) -> Mapping[str, Any] | None:
        return (self.spec.get("lifecycle") or {}).get(name)

    async def _after_pre_stop(self, grace: float) -> float:
        """The seconds that are left after preStop, which a forced end does without; a few are always left."""
        hook = self._hook("preStop")
        if hook is None or self.running is None or grace <= 0:
            return grace
        process, command = self.running
        clock = asyncio.get_running_loop().time
        begun = clock()
        outcome = await self._run_hook(hook, self._place.target(self.spec, command, process), grace)
        if not outcome.ok:
            self._place.event(self.spec, "Warning", "FailedPreStopHook", "PreStopHook failed")
        return max(grace - (clock() - begun), LEAST_GRACE)

    async def _run_hook(self, hook: Mapping[str, Any], target: probes.Target, seconds: float) -> probes.Outcome:
        """Not longer than the container itself."""
        running = asyncio.create_task(probes.hook(hook, target))
        gone = asyncio.create_task(self._gone.wait())
        try:
            await asyncio.wait({running, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return running.result() if running.done() else probes.Outcome(False, "it did not end in time")
        finally:
            for task in (running, gone):
                task.cancel()
            await asyncio.gather(running, gone, return_exceptions=True)

    async def _post_start(self, process: ContainerProcess, command: Command) -> bool:
        """Whether the container may go on."""
        hook = self._hook("postStart")
        if hook is None:
            return True
        outcome = await probes.hook(hook, self._place.target(self.spec, command, process))
        if not outcome.ok:
            self._place.event(self.spec, "Warning", "FailedPostStartHook", "PostStartHook failed")
            self._own(self._end_process(self._place.grace))
        return outcome.ok

    def _start_probes(self) -> None:
        if self.running is None:
            return
        process, command = self.running
        target = self._place.target(self.spec, command, process)
        if startup := self.spec.get("startupProbe"):
            self._probing.tasks.append(asyncio.create_task(self._startup(startup, target)))
        else:
            self._start_other_probes(target)

    def _start_other_probes(self, target: probes.Target) -> None:
        if readiness := self.spec.get("readinessProbe"):
            self._watch(readiness, target, self._on_readiness, initial=False)
        if liveness := self.spec.get("livenessProbe"):
            self._watch(liveness, target, self._failing("Liveness", liveness), initial=True)

    def _watch(
        self, spec: Mapping[str, Any], target: probes.Target, report: Callable[[probes.Report], None], *, initial: bool
    ) -> None:
        self._probing.tasks.append(asyncio.create_task(probes.watch(spec, target, report, initial)))

    async def _startup(self, spec: Mapping[str, Any], target: probes.Target) -> None:
        passed = asyncio.Event()
        failing = self._failing("Startup", spec)

        def report(heard: probes.Report) -> None:
            passed.set() if heard.outcome.ok else failing(heard)

        self._watch(spec, target, report, initial=False)
        watching = self._probing.tasks[-1]
        await passed.wait()
        watching.cancel()
        self._show(started=True, ready=not self._is_gated("readinessProbe"))
        self._start_other_probes(target)

    def _on_readiness(self, heard: probes.Report) -> None:
        if not heard.outcome.ok:
            self._unhealthy("Readiness", heard.outcome.message)
        if heard.decided:
            self._show(ready=heard.outcome.ok)

    def _failing(self, kind: str, spec: Mapping[str, Any]) -> Callable[[probes.Report], None]:
        def report(heard: probes.Report) -> None:
            if heard.outcome.ok:
                return
            self._unhealthy(kind, heard.outcome.message)
            if heard.decided:
                what = f"Container {self.view.name} failed {kind.lower()} probe, will be restarted"
                self._place.event(self.spec, "Normal", "Killing", what)
                grace = spec.get("terminationGracePeriodSeconds")
                self._own(self._end_process(self._place.grace if grace is None else float(grace)))

        return report

    def _unhealthy(self, kind: str, message: str) -> None:
        self._place.event(self.spec, "Warning", "Unhealthy", f"{kind} probe failed: {message}")

    def _own(self, work: Awaitable[None]) -> None:
        self._ending = asyncio.ensure_future(work)


def termination_log(directory: Path, container: str) -> Path:
    return directory / "containers" / container / "termination-log"


def _last_lines(log: Path) -> str:
    if not log.exists():
        return ""
    entries = log.read_bytes().splitlines()[-LOG_FALLBACK_LINES:]
    text = b"".join(line.split(b" ", 3)[3] + b"\n" for line in entries if line.count(b" ") >= 3)
    return text[-LOG_FALLBACK_BYTES:].decode(errors="replace")
