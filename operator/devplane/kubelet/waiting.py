"""Waits that a pod's life is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any


async def first_of(*ways: Coroutine[Any, Any, Any]) -> None:
    """Until the first of `ways` is over; an error of it is raised."""
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def all_of(tasks: Collection[asyncio.Task[None]]) -> None:
    """All of `tasks`, which go on when this wait is cancelled; their errors are raised here."""
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()
