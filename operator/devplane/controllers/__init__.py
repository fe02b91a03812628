"""The controllers of the control plane: each one coroutine that brings its objects to where they should be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devplane.client import Client
    from devplane.context import Context


def start(client: Client, ctx: Context) -> list[asyncio.Task[None]]:
    """All controllers as tasks; cancel them to stop."""
    from devplane.controllers.job import JobController
    from devplane.controllers.scheduler import Scheduler

    controllers = [
        JobController(client.named("job-controller")).controller(),
        Scheduler(client.named("kube-scheduler"), ctx).controller(),
    ]
    return [asyncio.create_task(one.run(), name=one.name) for one in controllers]
