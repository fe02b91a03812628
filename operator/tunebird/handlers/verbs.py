"""Verbs are annotations `tunebird.dev/<verb>`; one is answered once it stands in status.consumedVerbs. Pure."""

from __future__ import annotations

from tunebird.kube.meta import GROUP, Manifest

JOB_VERBS = ("retry",)


def pending(body: Manifest) -> bool:
    """Whether a FineTuneJob carries a verb that was not answered yet."""
    annotations = body["metadata"].get("annotations") or {}
    consumed = {(item["verb"], item["value"]) for item in (body.get("status") or {}).get("consumedVerbs") or ()}
    asked = {(verb, annotations[f"{GROUP}/{verb}"]) for verb in JOB_VERBS if f"{GROUP}/{verb}" in annotations}
    return bool(asked - consumed)
