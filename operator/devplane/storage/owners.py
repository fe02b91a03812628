"""Objects by the owner that controls them, so that a controller finds its own, and what nobody controls, among many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Obj = dict[str, Any]
Owner = tuple[str, str, str, str]
"""The resource and namespace of what is owned, the kind and name of the owner; both empty for what nobody controls."""


class Owners:
    """Follows every change of the store."""

    def __init__(self) -> None:
        self._names: dict[Owner, set[str]] = {}

    def follow(self, resource: str, before: Obj | None, after: Obj | None) -> None:
        """`before` None is a new object, `after` None one that is gone."""
        was, now = (None if obj is None else _owner(resource, obj) for obj in (before, after))
        if was == now:
            return
        if before is not None and was is not None:
            names = self._names[was]
            names.discard(before["metadata"]["name"])
            if not names:
                del self._names[was]
        if after is not None and now is not None:
            self._names.setdefault(now, set()).add(after["metadata"]["name"])

    def names(self, owner: Owner) -> Iterable[str]:
        return sorted(self._names.get(owner, ()))


def _owner(resource: str, obj: Obj) -> Owner:
    metadata = obj["metadata"]
    namespace, references = metadata.get("namespace", ""), metadata.get("ownerReferences")
    for one in references if isinstance(references, list) else ():
        if isinstance(one, dict) and one.get("controller"):
            return resource, namespace, str(one.get("kind")), str(one.get("name"))
    return resource, namespace, "", ""
