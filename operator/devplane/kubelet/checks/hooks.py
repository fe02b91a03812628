"""Lifecycle hooks, for as long as their container is there and has time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from devplane.kubelet.checks import probes
from devplane.objects import Obj

Hook = Mapping[str, Any]

LEAST_GRACE = 2.0


def hook_of(spec: Obj, name: str) -> Hook | None:
    """``postStart`` or ``preStop`` of a container."""
    return (spec.get("lifecycle") or {}).get(name)


async def run_hook(hook: Hook, target: probes.Target, seconds: float, gone: asyncio.Event) -> probes.Outcome:
    """Not longer than `seconds`, nor than the container itself."""
    running = asyncio.create_task(probes.hook(hook, target))
    ended = asyncio.create_task(gone.wait())
    try:
        await asyncio.wait({running, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return running.result() if running.done() else probes.Outcome(False, "it did not end in time")
    finally:
        for task in (running, ended):
            task.cancel()
        await asyncio.gather(running, ended, return_exceptions=True)
