"""Claims that ask for more than they have: their volume grows where it is a directory of devplane's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from devplane.controllers.consumers import CLAIMS, VOLUMES
from devplane.controllers.loop import Controller, Key, own_key
from devplane.controllers.volumes import PROVISIONED_BY, PROVISIONER
from devplane.objects import Obj, is_deleting, name_of, quantity

if TYPE_CHECKING:
    from devplane.machinery.client import Client

COMPONENT = "volume_expand"
WAITS = "waiting for an external controller to expand this PVC"


class GrowthController:
    def __init__(self, client: Client) -> None:
        self._client = client

    def controller(self) -> Controller:
        return Controller(COMPONENT, self._client, (CLAIMS,), self._concerned, self.sync)

    def _concerned(self, _resource: str, type_: str, claim: Obj) -> Iterable[Key]:
        return [own_key(claim)] if type_ != "DELETED" and wants_more(claim) else []

    def sync(self, key: Key) -> None:
        claim = self._client.get(CLAIMS, *key)
        if claim is None or is_deleting(claim) or not wants_more(claim):
            return
        volume = self._client.get(VOLUMES, "", claim["spec"].get("volumeName") or "")
        if volume is None:
            return
        if (volume["metadata"].get("annotations") or {}).get(PROVISIONED_BY) == PROVISIONER:
            self._grow(claim, volume)
        else:
            self._client.event(claim, "Normal", "ExternalExpanding", WAITS, COMPONENT)

    def _grow(self, claim: Obj, volume: Obj) -> None:
        """A directory has room as it is: only what is written of it changes."""
        size = {"storage": claim["spec"]["resources"]["requests"]["storage"]}
        self._client.patch(VOLUMES, "", name_of(volume), {"spec": {"capacity": size}})
        self._client.patch(CLAIMS, *own_key(claim), {"status": {"capacity": size}}, subresource="status")
        self._client.event(claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded", PROVISIONER)


def wants_more(claim: Obj) -> bool:
    status = claim.get("status") or {}
    if status.get("phase") != "Bound":
        return False
    wanted = ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0")
    return quantity(wanted) > quantity((status.get("capacity") or {}).get("storage", "0"))
