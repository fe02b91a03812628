"""A loop for each ModelRollout, always: drift, new models and verbs come at any time."""

from __future__ import annotations

from typing import Any

import kopf

from tunebird.handlers.finetunejobs import STOP_SECONDS
from tunebird.kube.meta import GROUP, MODEL_ROLLOUT, VERSION, Key


def register(registry: kopf.OperatorRegistry) -> None:
    """Tell kopf."""
    resource = (GROUP, VERSION, MODEL_ROLLOUT.plural)
    kopf.daemon(*resource, cancellation_backoff=STOP_SECONDS, cancellation_timeout=1, registry=registry)(modelrollout)
    kopf.on.event(*resource, registry=registry)(modelrollout_seen)


async def modelrollout(
    namespace: str | None, name: str, uid: str, memo: Any, stopped: kopf.DaemonStopped, **_: Any
) -> None:
    """The loop."""
    await memo.app.modelrollouts.run(Key(namespace or "", name, uid), stopped)


async def modelrollout_seen(event: kopf.RawEvent, memo: Any, **_: Any) -> None:
    """News of a rollout."""
    memo.app.rollout_seen(event["object"], gone=event["type"] == "DELETED")
