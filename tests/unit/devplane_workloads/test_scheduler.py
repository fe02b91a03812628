"""The scheduler on a store of its own: what it looks at, and who gets what room there is."""

from __future__ import annotations

from typing import Any

import pytest

from devplane.controllers.loop import Key
from devplane.controllers.scheduler import Scheduler
from devplane.machinery.client import Client
from devplane.machinery.verbs import Api
from devplane.resources.builtin import builtin_resources
from devplane.resources.registry import Registry
from devplane.storage.store import Change, Store

Obj = dict[str, Any]


class Counting(Client):
    """Counts the lists of pods."""

    lists = 0

    def list(self, resource: str, *args: Any, **options: Any) -> list[Obj]:
        self.lists += resource == "pods"
        return super().list(resource, *args, **options)


class World:
    """One node with a CPU, and a scheduler that is told of every change."""

    def __init__(self) -> None:
        store = Store()
        self.client = Counting(Api(store, Registry(builtin_resources())))
        self.client.create("namespaces", "", {"metadata": {"name": "default"}})
        self.client.create("nodes", "", {"metadata": {"name": "n1"}})
        self.client.patch(
            "nodes", "", "n1", {"status": {"allocatable": {"cpu": "1", "pods": "9"}}}, subresource="status"
        )
        self._scheduler = Scheduler(self.client)
        self._changes: list[Change] = []
        for resource in ("pods", "nodes", "persistentvolumeclaims"):
            store.subscribe(resource, self._changes.append)

    def settle(self) -> None:
        """As the loop does: what changed is looked at, until nothing changes."""
        while self._changes:
            keys: dict[Key, None] = {}
            for change in self._changes:
                keys |= dict.fromkeys(self._scheduler._concerned(change.resource, change.type, change.object))
            self._changes.clear()
            for key in keys:
                self._scheduler.sync(key)

    def pod(self, name: str, cpu: str = "1") -> None:
        container = {"name": "c", "image": "none", "resources": {"requests": {"cpu": cpu}}}
        self.client.create("pods", "default", {"metadata": {"name": name}, "spec": {"containers": [container]}})

    def bound(self) -> list[str]:
        pods = self.client.list("pods", "default", where=lambda pod: bool(pod["spec"].get("nodeName")))
        return [one["metadata"]["name"] for one in pods]


@pytest.fixture
def world() -> World:
    return World()


def test_pods_that_fit_nowhere_are_not_looked_at_for_each_other(world: World) -> None:
    for number in range(50):
        world.pod(f"p{number}", cpu="2")
    world.settle()
    assert world.client.lists == 1
    assert world.bound() == []
    assert len(world.client.list("events", "default", where=lambda one: one["reason"] == "FailedScheduling")) == 50


def test_what_one_pod_takes_the_next_gets_when_it_is_gone(world: World) -> None:
    world.pod("a")
    world.pod("b")
    world.pod("c")
    world.settle()
    assert world.bound() == ["a"]
    world.client.delete("pods", "default", "a", grace_seconds=0)
    world.settle()
    assert world.bound() == ["b"]
    world.client.patch("pods", "default", "b", {"status": {"phase": "Succeeded"}}, subresource="status")
    world.settle()
    assert world.bound() == ["b", "c"]


def test_pod_that_somebody_else_put_on_a_node_takes_room_there(world: World) -> None:
    world.pod("waits", cpu="2")
    world.settle()
    container = {"name": "c", "image": "none", "resources": {"requests": {"cpu": "1"}}}
    placed = {"metadata": {"name": "placed"}, "spec": {"nodeName": "n1", "containers": [container]}}
    world.client.create("pods", "default", placed)
    world.pod("late")
    world.settle()
    assert world.bound() == ["placed"]


def test_waiting_pods_are_tried_again_when_a_node_grows(world: World) -> None:
    world.pod("large", cpu="2")
    world.settle()
    assert world.bound() == []
    world.client.patch("nodes", "", "n1", {"status": {"allocatable": {"cpu": "4"}}}, subresource="status")
    world.settle()
    assert world.bound() == ["large"]
