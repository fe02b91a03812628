"""Which objects a controller owns: those that it controls and selects, and orphans that it selects and adopts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from devplane.objects import (
    Obj,
    controller_of,
    controller_reference,
    is_controlled_by,
    is_deleting,
    is_terminal,
    name_of,
    namespace_of,
    uid_of,
)
from devplane.storage.selectors import selects

if TYPE_CHECKING:
    from devplane.controllers.loop import Key
    from devplane.machinery.client import Client


def claimed(client: Client, resource: str, owner: Obj) -> list[Obj]:
    """What of `resource` is `owner`'s. What it controls and does not select any more is let go."""
    found = client.controlled(resource, namespace_of(owner), owner["kind"], name_of(owner))
    own = [one for one in found if is_controlled_by(one, uid_of(owner))]
    if is_deleting(owner):
        return own
    kept = [one for one in own if _is_selected(owner, one) or is_deleting(one)]
    for one in own:
        if one not in kept:
            _release(client, resource, owner, one)
    return kept + [_adopted(client, resource, owner, one) for one in _orphans(client, resource, owner)]


def adopters(client: Client, resource: str, orphan: Mapping[str, Any]) -> list[Key]:
    """Owners that may adopt `orphan`."""
    if controller_of(orphan) is not None or is_deleting(orphan):
        return []
    namespace = namespace_of(orphan)
    found = client.list(resource, namespace, where=lambda owner: _is_selected(owner, orphan))
    return [(namespace, name_of(owner)) for owner in found]


def _is_selected(owner: Mapping[str, Any], one: Mapping[str, Any]) -> bool:
    return selects(owner["spec"]["selector"], one["metadata"].get("labels") or {})


def _orphans(client: Client, resource: str, owner: Obj) -> list[Obj]:
    def may_be_adopted(one: Obj) -> bool:
        is_over = is_deleting(one) or (resource == "pods" and is_terminal(one))
        return not is_over and _is_selected(owner, one)

    return client.uncontrolled(resource, namespace_of(owner), may_be_adopted)


def _adopted(client: Client, resource: str, owner: Obj, one: Obj) -> Obj:
    reference = controller_reference(owner, owner["apiVersion"], owner["kind"])
    return _with_owners(client, resource, one, [*(one["metadata"].get("ownerReferences") or ()), reference])


def _release(client: Client, resource: str, owner: Obj, one: Obj) -> None:
    rest = [held for held in one["metadata"]["ownerReferences"] if held["uid"] != uid_of(owner)]
    _with_owners(client, resource, one, rest)


def _with_owners(client: Client, resource: str, one: Obj, owners: list[Obj]) -> Obj:
    change = {"metadata": {"ownerReferences": owners or None}}
    return client.patch(resource, namespace_of(one), name_of(one), change)
