"""Verbs: annotations ``tunebird.dev/VERB=VALUE`` by which people ask for something without changing `spec`. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tunebird.kube.meta import GROUP, Manifest

LONGEST = 128  # as much of a value as is remembered; a longer one is no verb's anyway
OTHERS = 4  # unknown ones that are answered: with the known ones no more than can be remembered
_FRAMEWORK = ("kopf-managed",)


def asked(manifest: Manifest, known: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Each verb with its value, the known ones first; of the others, by name, only the first few."""
    annotations = manifest["metadata"].get("annotations") or {}
    prefix = f"{GROUP}/"
    there = {key.removeprefix(prefix): value[:LONGEST] for key, value in annotations.items() if key.startswith(prefix)}
    names = [name for name in known if there.get(name)]
    others = sorted(name for name in there if name not in {*known, *_FRAMEWORK} and there[name])
    return tuple((name, there[name]) for name in (*names, *others[:OTHERS]))
