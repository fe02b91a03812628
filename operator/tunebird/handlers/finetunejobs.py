"""A loop for each FineTuneJob that is not finished; finished ones cost nothing and carry no finalizer."""

from __future__ import annotations

from typing import Any

import kopf

from tunebird.finetune.observe import finished
from tunebird.kube.meta import FINE_TUNE_JOB, GROUP, VERSION, Key

STOP_SECONDS = 10  # for a pass under way, before it is cancelled


def register(registry: kopf.OperatorRegistry) -> None:
    """Tell kopf."""
    resource = (GROUP, VERSION, FINE_TUNE_JOB.plural)
    kopf.daemon(
        *resource, when=unfinished, cancellation_backoff=STOP_SECONDS, cancellation_timeout=1, registry=registry
    )(finetunejob)
    kopf.on.event(*resource, registry=registry)(finetunejob_seen)


def unfinished(body: kopf.Body, **_: Any) -> bool:
    """Whether there is work left for the job as it is now; a status that nobody can read is work."""
    try:
        return not finished(body)
    except ValueError:
        return True


async def finetunejob(
    namespace: str | None, name: str, uid: str, memo: Any, stopped: kopf.DaemonStopped, **_: Any
) -> None:
    """The loop."""
    await memo.app.finetunejobs.run(Key(namespace or "", name, uid), stopped)


async def finetunejob_seen(event: kopf.RawEvent, memo: Any, **_: Any) -> None:
    """News of a job."""
    memo.app.job_seen(event["object"], gone=event["type"] == "DELETED")
