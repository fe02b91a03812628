"""The probes of one start of a container: what they find is shown, and what fails its liveness is ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from devplane.kubelet.checks import probes
from devplane.objects import Obj


class Probed(Protocol):
    """The container, as its probes see it."""

    @property
    def spec(self) -> Obj: ...

    def show(self, **changes: Any) -> None: ...

    def post(self, type_: str, reason: str, message: str) -> None: ...

    def fail(self, kind: str, grace_seconds: float | None) -> None:
        """Stop this start, whose probe of that `kind` has failed; None: with the pod's own grace."""


class Health:
    """`start` when the container is Running, `stop` when it has ended."""

    def __init__(self, container: Probed) -> None:
        self._container = container
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, target: probes.Target) -> None:
        if startup := self._container.spec.get("startupProbe"):
            self._tasks.append(asyncio.create_task(self._startup(startup, target)))
        else:
            self._start_others(target)

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()

    def _start_others(self, target: probes.Target) -> None:
        spec = self._container.spec
        if readiness := spec.get("readinessProbe"):
            self._watch(readiness, target, self._on_readiness, initial=False)
        if liveness := spec.get("livenessProbe"):
            self._watch(liveness, target, self._failing("Liveness", liveness), initial=True)

    def _watch(
        self,
        spec: Mapping[str, Any],
        target: probes.Target,
        report: Callable[[probes.Report], None],
        *,
        initial: bool | None,
    ) -> asyncio.Task[None]:
        watching = asyncio.create_task(probes.watch(spec, target, report, initial))
        self._tasks.append(watching)
        return watching

    async def _startup(self, spec: Mapping[str, Any], target: probes.Target) -> None:
        passed = asyncio.Event()
        failing = self._failing("Startup", spec)

        def report(heard: probes.Report) -> None:
            passed.set() if heard.outcome.ok else failing(heard)

        watching = self._watch(spec, target, report, initial=None)
        await passed.wait()
        watching.cancel()
        self._container.show(started=True, ready="readinessProbe" not in self._container.spec)
        self._start_others(target)

    def _on_readiness(self, heard: probes.Report) -> None:
        if not heard.outcome.ok:
            self._unhealthy("Readiness", heard.outcome.message)
        if heard.decided:
            self._container.show(ready=heard.outcome.ok)

    def _failing(self, kind: str, spec: Mapping[str, Any]) -> Callable[[probes.Report], None]:
        def report(heard: probes.Report) -> None:
            if heard.outcome.ok:
                return
            self._unhealthy(kind, heard.outcome.message)
            if heard.decided:
                grace = spec.get("terminationGracePeriodSeconds")
                self._container.fail(kind.lower(), None if grace is None else float(grace))
                self.stop()

        return report

    def _unhealthy(self, kind: str, message: str) -> None:
        self._container.post("Warning", "Unhealthy", f"{kind} probe failed: {message}")
