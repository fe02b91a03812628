"""What a container needs of its pod, as the container sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from devplane.kubelet.checks import probes
from devplane.kubelet.processes.process import Command, ContainerProcess
from devplane.objects import Obj


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

    def explain(self, container: Obj) -> None:
        """Tell of what may have ended it with an error, beside itself."""

    async def news(self, seconds: float) -> None:
        """Wait for a change in what the pod refers to, or so many seconds."""
