"""Which PersistentVolume a claim gets of those that somebody made by hand. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from devplane.objects import Obj, is_deleting, name_of, namespace_of, quantity, uid_of
from devplane.storage.selectors import selects


def best_match(claim: Mapping[str, Any], volumes: Iterable[Obj]) -> Obj | None:
    """The one that is kept for the claim, or else the smallest that is free and large enough."""
    fitting = [one for one in volumes if may_have(claim, one) and _fits(claim, one)]
    return min(fitting, key=lambda one: (not _is_kept(one), _size(one), name_of(one)), default=None)


def may_have(claim: Mapping[str, Any], volume: Mapping[str, Any]) -> bool:
    """Whether a volume is free, or kept for this claim."""
    held = volume["spec"].get("claimRef")
    if is_deleting(volume):
        return False
    return held is None or (
        (held.get("namespace"), held.get("name")) == (namespace_of(claim), name_of(claim))
        and held.get("uid", uid_of(claim)) == uid_of(claim)
    )


def _is_kept(volume: Mapping[str, Any]) -> bool:
    return "claimRef" in volume["spec"]


def _size(volume: Mapping[str, Any]) -> Any:
    return quantity((volume["spec"].get("capacity") or {}).get("storage", "0"))


def _fits(claim: Mapping[str, Any], volume: Mapping[str, Any]) -> bool:
    wanted, offered = claim["spec"], volume["spec"]
    asked = quantity(((wanted.get("resources") or {}).get("requests") or {}).get("storage", "0"))
    return (
        (wanted.get("storageClassName") or "") == (offered.get("storageClassName") or "")
        and (wanted.get("volumeMode") or "Filesystem") == (offered.get("volumeMode") or "Filesystem")
        and set(wanted.get("accessModes") or ()) <= set(offered.get("accessModes") or ())
        and _size(volume) >= asked
        and selects(wanted.get("selector") or {}, volume["metadata"].get("labels") or {})
    )
