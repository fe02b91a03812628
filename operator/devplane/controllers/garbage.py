"""The garbage collector: what is owned goes with its owners, by uid; foreground and orphan deletion."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devplane.controllers.loop import Controller, Key
from devplane.errors import ApiError
from devplane.objects import Obj, finalizers, is_deleting, name_of, uid_of

if TYPE_CHECKING:
    from devplane.machinery.client import Client

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Node:
    """Where an object is, and the uids of its owners."""

    resource: str
    namespace: str
    name: str
    owners: tuple[str, ...]

    @classmethod
    def of(cls, resource: str, obj: Mapping[str, Any]) -> Node:
        owners = tuple(one["uid"] for one in obj["metadata"].get("ownerReferences") or ())
        return cls(resource, obj["metadata"].get("namespace", ""), name_of(obj), owners)


class Graph:
    """Every object by uid, and who depends on whom."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self._dependents: dict[str, set[str]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()

    def put(self, uid: str, node: Node) -> None:
        self._unlink(uid)
        self.nodes[uid] = node
        for owner in node.owners:
            self._dependents.setdefault(owner, set()).add(uid)

    def drop(self, uid: str) -> None:
        self._unlink(uid)
        self.nodes.pop(uid, None)
        self._gone[uid] = None
        while len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)

    def _unlink(self, uid: str) -> None:
        for owner in self.nodes[uid].owners if uid in self.nodes else ():
            below = self._dependents.get(owner, set())
            below.discard(uid)
            if not below:
                self._dependents.pop(owner, None)

    def dependents(self, uid: str) -> list[str]:
        return sorted(self._dependents.get(uid, ()))

    def is_gone(self, uid: str) -> bool:
        """Whether its deletion was seen."""
        return uid in self._gone


class GarbageCollector:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._graph = Graph()

    def controller(self) -> Controller:
        return Controller("garbage-collector", self._client, ("*",), self._concerned, self.sync)

    def _concerned(self, resource: str, type_: str, obj: Obj) -> Iterable[Key]:
        uid, node = uid_of(obj), Node.of(resource, obj)
        if type_ == "DELETED":
            self._graph.drop(uid)
            return [("", other) for other in (*self._graph.dependents(uid), *node.owners)]
        self._graph.put(uid, node)
        return [("", other) for other in (uid, *node.owners) if self._matters(other, obj)]

    def _matters(self, uid: str, obj: Obj) -> bool:
        """An object without owners that is not being deleted needs nothing."""
        return uid != uid_of(obj) or bool(obj["metadata"].get("ownerReferences")) or is_deleting(obj)

    def sync(self, key: Key) -> None:
        obj = self._live(key[1])
        if obj is None:
            return
        if is_deleting(obj):
            if FOREGROUND in finalizers(obj):
                self._delete_dependents(obj)
            elif ORPHAN in finalizers(obj):
                self._orphan_dependents(obj)
        elif obj["metadata"].get("ownerReferences"):
            self._judge(obj)

    def _live(self, uid: str) -> Obj | None:
        node = self._graph.nodes.get(uid)
        if node is None:
            return None
        found = self._get(node)
        return found if found is not None and uid_of(found) == uid else None

    def _get(self, node: Node) -> Obj | None:
        try:
            return self._client.get(node.resource, node.namespace, node.name)
        except ApiError:  # the resource itself is no longer served
            return None

    def _delete_dependents(self, owner: Obj) -> None:
        """Foreground: the owner stays until no dependent is left that blocks it."""
        uid = uid_of(owner)
        for dependent in self._graph.dependents(uid):
            found = self._live(dependent)
            if found is not None and not is_deleting(found):
                policy = "Foreground" if self._graph.dependents(dependent) else "Background"
                self._delete(dependent, policy)
        left = [found for dependent in self._graph.dependents(uid) if (found := self._live(dependent)) is not None]
        if not any(_blocks(found, uid) for found in left):
            self._drop_finalizer(owner, FOREGROUND)

    def _orphan_dependents(self, owner: Obj) -> None:
        for dependent in self._graph.dependents(uid_of(owner)):
            found = self._live(dependent)
            if found is not None:
                self._disown(dependent, found, {uid_of(owner)})
        self._drop_finalizer(owner, ORPHAN)

    def _judge(self, obj: Obj) -> None:
        """An object all of whose owners are gone goes too; one that keeps an owner forgets the others."""
        owners = obj["metadata"]["ownerReferences"]
        absent = {one["uid"] for one in owners if self._is_absent(obj, one)}
        if not absent:
            return
        if len(absent) < len(owners):
            self._disown(uid_of(obj), obj, absent)
        else:
            self._delete(uid_of(obj), "Background")

    def _is_absent(self, obj: Obj, owner: Mapping[str, Any]) -> bool:
        """By uid: an owner of the same name that was made anew is another one."""
        if owner["uid"] in self._graph.nodes:
            return False
        if self._graph.is_gone(owner["uid"]):
            return True
        resource = self._client.resource_of(owner["apiVersion"], owner["kind"])
        if resource is None:
            return False
        namespace = obj["metadata"].get("namespace", "") if self._client.is_namespaced(resource) else ""
        found = self._client.get(resource, namespace, owner["name"])
        return found is None or uid_of(found) != owner["uid"]

    def _delete(self, uid: str, policy: str) -> None:
        node = self._graph.nodes[uid]
        try:
            self._client.delete(node.resource, node.namespace, node.name, uid=uid, propagation=policy)
        except ApiError as error:
            if error.code not in {404, 409}:
                raise

    def _disown(self, uid: str, obj: Obj, owners: set[str]) -> None:
        node = self._graph.nodes[uid]
        rest = [one for one in obj["metadata"].get("ownerReferences") or () if one["uid"] not in owners]
        change = {"metadata": {"ownerReferences": rest or None}}
        self._client.patch(node.resource, node.namespace, node.name, change)

    def _drop_finalizer(self, obj: Obj, finalizer: str) -> None:
        node = self._graph.nodes[uid_of(obj)]
        rest = [one for one in finalizers(obj) if one != finalizer]
        self._client.patch(node.resource, node.namespace, node.name, {"metadata": {"finalizers": rest or None}})


def _blocks(dependent: Mapping[str, Any], owner: str) -> bool:
    references = dependent["metadata"].get("ownerReferences") or ()
    return any(one["uid"] == owner and one.get("blockOwnerDeletion") for one in references)
