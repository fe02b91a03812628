"""One container of a pod, from its first start to its last end: image, configuration, restarts, probes, the way out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from devplane.kubelet.backoff import Backoff
from devplane.kubelet.checks import probes
from devplane.kubelet.checks.health import Health
from devplane.kubelet.checks.hooks import LEAST_GRACE, hook_of, run_hook
from devplane.kubelet.inputs.environment import ConfigError
from devplane.kubelet.last_words import last_words
from devplane.kubelet.place import ImageError, Place
from devplane.kubelet.processes.process import LAST_WAIT, Command, ContainerProcess, Exit, StartError
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

RUNTIME = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed"
START_ERROR = "StartError"
ENDED_BY_SIGNAL = 137
CANNOT_START = f"{RUNTIME}: unable to start container process: {{}}: unknown"


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
        self._health = Health(self)
        self._stopping = False
        self._attempt = view.restarts
        self._last = view.state if isinstance(view.state, Terminated) else view.last
        self._failed = self._replaced = False
        self._renewed = asyncio.Event()
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
            before, ended = self._last, await self._once()
            self._last = ended
            again = not self._stopping and (self._replaced or self._restarts(ended.exit_code))
            self._show_end(ended, again=again)
            if not again:
                return
            await self._back_off(ended, before)

    def _show_end(self, ended: Terminated, *, again: bool) -> None:
        """What a failed probe ends starts again in the same breath, and what did not start waits for the next try."""
        if again and ended.reason == START_ERROR:
            waiting = Waiting("RunContainerError", ended.message)
            self.show(state=waiting, last=ended, ready=False, started=False)
        elif not (again and self._failed):
            self.show(state=ended, ready=False, started=False)

    async def stop(self, grace: float) -> None:
        """preStop, SIGTERM, and SIGKILL when `grace` seconds are over."""
        self._stopping = True
        if self._process is not None:
            self.post("Normal", "Killing", f"Stopping container {self.view.name}")
            await self._end_process(grace)

    async def leave(self, grace: float) -> None:
        """As `stop`, without the wait where the process can't hear a SIGTERM."""
        self._stopping = True
        await self._end_process(grace, ContainerProcess.leave)

    def respecify(self, spec: Obj) -> None:
        """Its image is all that can change: what runs starts again, whatever its restart policy says."""
        if spec["image"] == self.spec["image"]:
            return
        self.view = replace(self.view, spec=spec)
        self._renewed.set()
        if self._process is not None:
            self._failed = self._replaced = True
            self._end(f"Container {self.view.name} definition changed, will be restarted", self._place.grace)

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
        self.show(state=ended, last=None if self.view.last is ended else self.view.last, ready=False, started=False)

    def show(self, **changes: Any) -> None:
        shown = replace(self.view, **changes)
        if shown != self.view:
            self.view = shown
            self._place.changed()

    def post(self, type_: str, reason: str, message: str) -> None:
        self._place.event(self.spec, type_, reason, message)

    def fail(self, kind: str, grace_seconds: float | None) -> None:
        """Stop this start, whose probe of that `kind` has failed; None: with the pod's own grace."""
        self._failed = True
        name, again = self.view.name, self._restarts(ENDED_BY_SIGNAL)
        said = f"Container {name} failed {kind} probe, will be restarted" if again else f"Stopping container {name}"
        self._end(said, self._place.grace if grace_seconds is None else grace_seconds)

    def _end(self, why: str, grace: float) -> None:
        """Stop this start; the restart policy decides what follows."""
        self.post("Normal", "Killing", why)
        self._ending = asyncio.ensure_future(self._end_process(grace))

    async def _once(self) -> Terminated:
        await self._have_image()
        command = await self._configured()
        return await self._run(command)

    async def _have_image(self) -> None:
        backoff = Backoff()
        backoff.step(now())
        while True:
            self._renewed.clear()
            try:
                self._place.pull(self.spec)
                return
            except ImageError as error:
                await self._without_image(error, backoff.step(now()))

    async def _pause(self, seconds: float) -> None:
        """No news but that of another image shortens the wait: the image table is read once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._renewed.wait()

    async def _without_image(self, error: ImageError, delay: float) -> None:
        image = self.spec["image"]
        self.post("Warning", "Failed", f"Error: {error.reason}")
        self.show(state=Waiting(error.reason, str(error)))
        if error.reason != "ErrImagePull":
            await self._pause(delay)
            return
        await self._pause(1)
        if self._renewed.is_set():
            return
        waiting = f'Back-off pulling image "{image}": ErrImagePull: {error}'
        self.post("Normal", "BackOff", f'Back-off pulling image "{image}"')
        self.post("Warning", "Failed", "Error: ImagePullBackOff")
        self.show(state=Waiting("ImagePullBackOff", waiting))
        await self._pause(delay)

    async def _configured(self) -> Command:
        while True:
            message = f'Container image "{self.spec["image"]}" already present on machine'
            self.post("Normal", "Pulled", message)
            self._attempt = self.view.restarts + (1 if self._last is not None else 0)
            try:
                return self._place.command(self.spec, self._attempt)
            except ConfigError as error:
                self.post("Warning", "Failed", f"Error: {error}")
                self.show(state=Waiting("CreateContainerConfigError", str(error)), seen_image=True)
                await self._place.news(10)

    async def _run(self, command: Command) -> Terminated:
        identity = f"processes://{uuid4().hex}{uuid4().hex}"
        self.post("Normal", "Created", f"Created container: {self.view.name}")
        before = {"last": self._last, "restarts": self._attempt, "seen_image": True, "container_id": identity}
        self._command, self._failed, self._replaced = command, False, False
        try:
            self._process = await ContainerProcess.start(command)
        except StartError as error:
            return self._not_started(str(error), before)
        started_at = now()
        self._gone.clear()
        self.post("Normal", "Started", f"Started container {self.view.name}")
        ended = await self._until_end(self._process, lambda: self._begin(started_at, before))
        if ended.code and not ended.out_of_memory and not self._stopping:
            self._place.explain(self.spec)
        self.show(**before)
        return self._terminated(ended, started_at, command)

    async def _begin(self, started_at: datetime, before: Mapping[str, Any]) -> None:
        """It is Running when its postStart hook is through, and probed from then on."""
        running = self.running
        if running is None or not await self._post_start(*running):
            return
        is_started, is_ready = "startupProbe" not in self.spec, "readinessProbe" not in self.spec
        self.show(state=Running(started_at), started=is_started, ready=is_started and is_ready, **before)
        self._health.start(self._target(*running))

    def _not_started(self, why: str, before: Mapping[str, Any]) -> Terminated:
        message = CANNOT_START.format(why)
        self.post("Warning", "Failed", f"Error: {message}")
        self.show(**before)
        return Terminated(128, START_ERROR, message, EPOCH, now(), self.view.container_id)

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
            self._health.stop()
            self._process = None
            process.close()
            self._gone.set()

    def _terminated(self, ended: Exit, started_at: datetime, command: Command) -> Terminated:
        reason = "OOMKilled" if ended.out_of_memory else "Error" if ended.code else "Completed"
        message = last_words(self.spec, self._place.directory, ended.code, command.log)
        return Terminated(ended.code, reason, message, started_at, now(), self.view.container_id)

    async def _back_off(self, ended: Terminated, before: Terminated | None) -> None:
        """A start that a probe ended is judged by the end before it, as its own was not known yet."""
        judged = before if self._failed else ended
        if judged is None:
            return
        delay = self._backoff.step(now())
        left = delay - (now() - judged.finished_at).total_seconds() if self._failed else delay
        if left > 0:
            pod = f"{self._place.name}_{self._place.namespace}({self._place.uid})"
            message = f"back-off {duration(round(delay))} restarting failed container={self.view.name} pod={pod}"
            event = f"Back-off restarting failed container {self.view.name} in pod {pod}"
            self.post("Warning", "BackOff", event)
            self.show(state=Waiting("CrashLoopBackOff", message), last=ended, ready=False, started=False)
            await asyncio.sleep(left)

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

    def _target(self, process: ContainerProcess, command: Command) -> probes.Target:
        return self._place.target(self.spec, command, process)

    async def _after_pre_stop(self, grace: float) -> float:
        """The seconds that are left after preStop, which a forced end does without; a few are always left."""
        hook = hook_of(self.spec, "preStop")
        if hook is None or self.running is None or grace <= 0:
            return grace
        clock = asyncio.get_running_loop().time
        begun = clock()
        outcome = await run_hook(hook, self._target(*self.running), grace, self._gone)
        if not outcome.ok:
            self.post("Warning", "FailedPreStopHook", "PreStopHook failed")
        return max(grace - (clock() - begun), LEAST_GRACE)

    async def _post_start(self, process: ContainerProcess, command: Command) -> bool:
        """Whether the container may go on."""
        hook = hook_of(self.spec, "postStart")
        if hook is None:
            return True
        outcome = await probes.hook(hook, self._target(process, command))
        if not outcome.ok:
            self.post("Warning", "FailedPostStartHook", "PostStartHook failed")
            self._end("FailedPostStartHook", self._place.grace)
        return outcome.ok
