"""Children feed the cache and wake their owners. A kind that is not installed is watched as soon as it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import kopf

from tunebird.kube.meta import Kind, Manifest
from tunebird.runtime.cache import OURS, WATCHED


def register(registry: kopf.OperatorRegistry) -> None:
    """Tell kopf. The label is checked again here: a server may ignore the selector of a watch."""
    for kind in WATCHED:
        group, _, version = kind.api_version.rpartition("/")
        kopf.on.event(group, version, kind.plural, labels=OURS, id=kind.plural, registry=registry)(child_seen(kind))


def child_seen(kind: Kind) -> Callable[..., Awaitable[None]]:
    """The handler for children of a kind."""

    async def seen(event: kopf.RawEvent, memo: Any, **_: Any) -> None:
        manifest: Manifest = {"apiVersion": kind.api_version, "kind": kind.kind, **event["object"]}
        memo.app.child_seen(kind, manifest, gone=event["type"] == "DELETED")

    return seen
