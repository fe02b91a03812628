"""The real operator process around reconcilers that only leave traces: a ConfigMap per object, and lines in a file.

TOY_TRACE=/tmp/trace python -m fakes.toy_operator
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tunebird import handlers
from tunebird.config import Config
from tunebird.kube.client import KubeApi
from tunebird.kube.meta import FINE_TUNE_JOB, MODEL_ROLLOUT, Key, Kind, Ref, owner_reference
from tunebird.kube.requeue import Requeue
from tunebird.runtime import logs
from tunebird.runtime.run import Parts, Reconcilers, run


class Toy:
    """Applies one ConfigMap for each object, and says so in the trace."""

    def __init__(self, kind: Kind, api: KubeApi, identity: str, trace: Path) -> None:
        self._kind = kind
        self._api = api
        self._identity = identity
        self._trace = trace

    async def reconcile(self, key: Key) -> Requeue:
        owner = await self._api.get(Ref(self._kind, key.namespace, key.name))
        if owner is None:
            return Requeue.never()
        await self._api.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": f"toy-{key.name}",
                    "namespace": key.namespace,
                    "ownerReferences": [owner_reference(owner)],
                },
                "data": {"generation": str(owner["metadata"]["generation"])},
            }
        )
        with self._trace.open("a") as trace:
            trace.write(f"{time.monotonic()} {self._identity} {self._kind.kind} {key}\n")
        return Requeue.never()


@asynccontextmanager
async def toys(parts: Parts) -> AsyncIterator[Reconcilers]:
    trace = Path(os.environ["TOY_TRACE"])
    identity = parts.config.identity
    yield Reconcilers(Toy(FINE_TUNE_JOB, parts.api, identity, trace), Toy(MODEL_ROLLOUT, parts.api, identity, trace))


if __name__ == "__main__":
    made = Config.from_env(os.environ)
    logs.configure(made.log_format)
    sys.exit(asyncio.run(run(made, toys, handlers.registry())))
