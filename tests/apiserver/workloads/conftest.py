"""A control plane in this process, with controllers and kubelet, driven through its own client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from devplane.app import Devplane, Options

Obj = dict[str, Any]
PATIENCE = 60.0  # how long a test waits for what must come; it costs time only where it does not


class World:
    """A running devplane, and the few things that a story does with it. `history` is what watchers saw."""

    def __init__(self, devplane: Devplane) -> None:
        self.devplane = devplane
        self.client = devplane.client
        self.history: list[tuple[str, str, Obj]] = []
        self._seen = asyncio.Event()

    async def record(self) -> None:
        async for change in self.client.watch("*"):
            self.history.append(change)
            self._seen.set()

    async def until(self, holds: Callable[[], Any], what: str = "") -> Any:
        """The first truthy answer, asked again after every change."""
        async with asyncio.timeout(PATIENCE):
            while not (answer := holds()):
                self._seen.clear()
                await self._seen.wait()
        return answer

    def pods(self, ns: str = "default", labels: str = "") -> list[Obj]:
        return self.client.list("pods", ns, labels=labels)

    def events(self, reason: str = "", ns: str = "default") -> list[Obj]:
        return [one for one in self.client.list("events", ns) if not reason or one["reason"] == reason]

    def messages(self, reason: str, ns: str = "default") -> list[str]:
        return [one["message"] for one in self.events(reason, ns)]

    async def log(self, pod: str, ns: str = "default", **options: Any) -> str:
        assert self.devplane.kubelet is not None
        chunks = [chunk async for chunk in self.devplane.kubelet.logs(ns, pod, **options)]
        return b"".join(chunks).decode()

    def has(self, resource: str, name: str, type_: str, ns: str = "default") -> bool:
        found = self.client.get(resource, ns, name)
        conditions = ((found or {}).get("status") or {}).get("conditions") or ()
        return any(one["type"] == type_ and one["status"] == "True" for one in conditions)


async def started(data_dir: Path, **options: Any) -> World:
    devplane = Devplane(Options(data_dir=data_dir, **options))
    await devplane.start()
    return World(devplane)


@asynccontextmanager
async def recorded(data_dir: Path, **options: Any) -> AsyncIterator[World]:
    """A world that is ready for pods, and keeps what it saw."""
    one = await started(data_dir, **options)
    recording = asyncio.create_task(one.record())
    await one.until(lambda: one.client.get("serviceaccounts", "default", "default"))
    try:
        yield one
    finally:
        recording.cancel()
        await one.devplane.stop()
        await asyncio.gather(recording, return_exceptions=True)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with recorded(tmp_path / "devplane") as one:
        yield one


def pod(name: str, *command: str, **spec: Any) -> Obj:
    """A pod with one container `c`; `container` adds to it."""
    container = {"name": "c", "image": "busybox:1", "command": list(command), **spec.pop("container", {})}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container], **spec}
    return {"metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def job(name: str, *command: str, pod_spec: Obj | None = None, **spec: Any) -> Obj:
    template = pod(name, *command, **(pod_spec or {}))["spec"]
    return {"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": {"spec": template}, **spec}}
