"""A rollout whose status is lost (a backup, a re-created resource): it is read from what runs and is routed. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from tunebird.kube.meta import REVISION, Manifest
from tunebird.rollout.manifests import RECORD, ROLLOUT_NUMBER
from tunebird.rollout.progress import Progress, Revision


def rebuilt(deployments: Iterable[Manifest], shares: Mapping[str, int] | None, selected: str) -> Progress:
    """Progress with the stable revision: the one with most traffic, else the one that the stable Service selects, else
    one that answers; empty when nothing runs. The number goes on after the highest that was ever given."""
    found = {revision.name: (revision, item) for item in deployments if (revision := _revision(item))}
    if not found:
        return Progress()
    number = max(_number(item) for _, item in found.values())
    routed = sorted((shares or {}).items(), key=lambda pair: -pair[1])
    candidates = (*(name for name, share in routed if share > 0), selected, *_answering(found))
    stable = next((found[name][0] for name in candidates if name in found), None)
    return Progress(number=number, stable=stable)


def _revision(deployment: Manifest) -> Revision | None:
    metadata = deployment["metadata"]
    try:
        revision = Revision(**json.loads(metadata.get("annotations", {})[RECORD]))
    except (KeyError, ValueError, TypeError):
        return None
    return revision if metadata.get("labels", {}).get(REVISION) == revision.name else None


def _number(deployment: Manifest) -> int:
    text = deployment["metadata"].get("annotations", {}).get(ROLLOUT_NUMBER, "0")
    return int(text) if text.isdigit() else 0


def _answering(found: Mapping[str, tuple[Revision, Manifest]]) -> list[str]:
    """Revisions with ready pods, those of the earliest rollout first: a canary comes later than its stable."""
    ready = [(item, name) for name, (_, item) in found.items() if (item.get("status") or {}).get("readyReplicas")]
    return [name for item, name in sorted(ready, key=lambda pair: _number(pair[0]))]
