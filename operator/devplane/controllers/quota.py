"""The status of ResourceQuotas: what is used of what they limit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from devplane.controllers.loop import Controller, Key, own_key
from devplane.errors import ApiError
from devplane.machinery.quota import Items, is_enforced, text, usage
from devplane.objects import Obj, is_deleting, namespace_of

if TYPE_CHECKING:
    from devplane.machinery.client import Client

QUOTAS = "resourcequotas"


class QuotaController:
    def __init__(self, client: Client) -> None:
        self._client = client

    def controller(self) -> Controller:
        return Controller("resource-quota", self._client, ("*",), self._concerned, self.sync)

    def _concerned(self, resource: str, _: str, obj: Obj) -> Iterable[Key]:
        if resource == QUOTAS:
            return [own_key(obj)]
        ns = namespace_of(obj)
        return [own_key(one) for one in self._client.list(QUOTAS, ns)] if ns else []

    def sync(self, key: Key) -> None:
        quota = self._client.get(QUOTAS, *key)
        if quota is None or is_deleting(quota) or not is_enforced(quota):
            return
        hard = quota["spec"].get("hard") or {}
        used = {name: text(name, amount) for name, amount in usage(quota, self._items(key[0])).items()}
        status = quota.get("status") or {}
        if (status.get("hard"), status.get("used")) != (hard, used):
            self._client.update_status(QUOTAS, key[0], {**quota, "status": {"hard": hard, "used": used}})

    def _items(self, ns: str) -> Items:
        def items(resource: str) -> list[Obj]:
            try:
                return self._client.list(resource, ns)
            except ApiError:  # a resource that is not served has no objects
                return []

        return items
