"""Paths, variables, quantities, phases, endpoints and the work queue."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from devplane.controllers.endpointslice import slices
from devplane.controllers.loop import Queue
from devplane.kubelet.backoff import Backoff
from devplane.kubelet.inputs.environment import expanded
from devplane.kubelet.inputs.paths import Rewriter
from devplane.kubelet.status import ContainerView, PodView, Running, Terminated, Waiting, duration, reached_phase
from devplane.objects import quantity, requests

Obj = dict[str, Any]
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)

REWRITE = Rewriter({"/data": "/real/d", "/data/deep/": "/real/deep", "/dev/termination-log": "/real/t"})


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("/data", "/real/d"),
        ("/data/x /data/deep/y", "/real/d/x /real/deep/y"),
        ("/database /my/data data", "/database /my/data data"),
        ('{"a":"/data"}:/data,/data;', '{"a":"/real/d"}:/real/d,/real/d;'),
        ("file:///data/f", "file:///real/d/f"),
        ("http://data/x", "http://data/x"),
        ("echo x>/dev/termination-log", "echo x>/real/t"),
        ("/data.txt /data-set", "/data.txt /data-set"),
    ],
)
def test_mount_paths_are_rewritten_at_boundaries_only(text: str, result: str) -> None:
    assert REWRITE(text) == result


def test_rewriting_does_not_look_at_what_it_put_in() -> None:
    assert Rewriter({"/a": "/b/a", "/b": "/c"})("/a /b") == "/b/a /c"


@pytest.mark.parametrize(
    ("text", "result"), [("$(A)-$(B)", "1-$(B)"), ("$$(A)", "$(A)"), ("$A $", "$A $"), ("$$$(A)", "$1"), ("$(A", "$(A")]
)
def test_variables_expand_as_kubernetes_expands_them(text: str, result: str) -> None:
    assert expanded(text, {"A": "1"}) == result


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", "0.5"), ("1Gi", "1073741824"), ("2", "2"), ("1e3", "1000"), ("1M", "1000000"), ("1k", "1000")],
)
def test_quantities_are_read_exactly(text: str, value: str) -> None:
    assert quantity(text) == Decimal(value)


def test_requests_take_the_larger_of_init_and_main_containers() -> None:
    def container(cpu: str, **more: Any) -> Obj:
        return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}

    spec = {
        "initContainers": [container("3"), container("1", restartPolicy="Always")],
        "containers": [container("500m"), container("500m")],
    }
    assert requests({"spec": spec}) == {"cpu": Decimal(3)}


def view(state: Any, last: Any = None) -> ContainerView:
    return ContainerView({"name": "c", "image": "i"}, state, last=last)


@pytest.mark.parametrize(
    ("states", "policy", "phase"),
    [
        ([Waiting("x")], "Never", "Pending"),
        ([Running(NOW), Terminated(1, "Error")], "Never", "Running"),
        ([Terminated(0, "Completed")], "Never", "Succeeded"),
        ([Terminated(0, "Completed"), Terminated(2, "Error")], "Never", "Failed"),
        ([Terminated(0, "Completed")], "Always", "Running"),
        ([Terminated(2, "Error")], "OnFailure", "Running"),
    ],
)
def test_phase_follows_from_the_containers(states: list[Any], policy: str, phase: str) -> None:
    pod = PodView((), tuple(view(state) for state in states), NOW, "127.0.0.1")
    assert reached_phase(pod, policy) == phase


def test_backoff_doubles_and_is_forgotten_after_a_while() -> None:
    backoff = Backoff()
    assert [backoff.step(NOW) for _ in range(7)] == [0, 10, 20, 40, 80, 160, 300]
    assert backoff.step(NOW + timedelta(seconds=601)) == 0
    assert [duration(seconds) for seconds in (10, 80, 300, 3600)] == ["10s", "1m20s", "5m0s", "1h0m0s"]


def endpoint_pod(name: str, port: int, *, ready: bool = True, deleting: bool = False) -> Obj:
    metadata: Obj = {"name": name, "namespace": "ns", "uid": name}
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    container = {"name": "c", "ports": [{"name": "http", "containerPort": port}]}
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    status = {"phase": "Running", "podIP": "127.64.0.9", "conditions": [condition]}
    return {"metadata": metadata, "spec": {"containers": [container], "nodeName": "devplane"}, "status": status}


def service(**spec: Any) -> Obj:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return {
        "metadata": {"name": "web", "namespace": "ns"},
        "spec": {"selector": {"app": "web"}, "ports": ports, **spec},
    }


def conditions(pod: Obj, **spec: Any) -> tuple[bool, bool, bool]:
    found = slices(service(**spec), [pod])[0]["endpoints"][0]["conditions"]
    return found["ready"], found["serving"], found["terminating"]


def test_endpoint_is_ready_while_it_serves_and_stays() -> None:
    assert conditions(endpoint_pod("a", 1)) == (True, True, False)
    assert conditions(endpoint_pod("a", 1, ready=False)) == (False, False, False)
    assert conditions(endpoint_pod("a", 1, deleting=True)) == (False, True, True)
    assert conditions(endpoint_pod("a", 1, ready=False), publishNotReadyAddresses=True) == (True, False, False)


def test_named_ports_that_differ_make_slices_of_their_own() -> None:
    found = slices(service(), [endpoint_pod("a", 1), endpoint_pod("b", 2), endpoint_pod("c", 1)])
    assert [(one["ports"][0]["port"], len(one["endpoints"])) for one in found] == [(1, 2), (2, 1)]


def test_service_without_pods_has_an_empty_slice() -> None:
    (found,) = slices(service(), [])
    assert (found["endpoints"], found["ports"]) == (None, None)


async def test_queue_gives_a_key_once_however_often_it_was_added() -> None:
    queue = Queue()
    for _ in range(3):
        queue.add(("ns", "a"))
    queue.add_after(("ns", "b"), 0)
    assert [await queue.next(), await queue.next()] == [("ns", "a"), ("ns", "b")]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.next(), 0.01)
