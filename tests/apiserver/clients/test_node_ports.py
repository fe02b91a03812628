"""The node ports that Services are given, ask for, keep and give back."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.clients.citing import docs, source
from apiserver.clients.raw import MERGE, Answer, Raw

Obj = dict[str, Any]

NODE_PORT = "concepts/services-networking/service/#type-nodeport"
ALLOC = "pkg/registry/core/service/storage/alloc.go"
STRATEGY = "pkg/registry/core/service/strategy.go"
TAKEN = "provided port is already allocated"
TWO = [{"name": "a", "port": 80}, {"name": "b", "port": 81}]


def create(raw: Raw, name: str, kind: str, ports: list[Obj], **spec: Any) -> Answer:
    body = {"metadata": {"name": name}, "spec": {"type": kind, "ports": ports, **spec}}
    return raw.create(raw.at("services"), body)


def change(raw: Raw, name: str, **spec: Any) -> Obj:
    answer = raw.ask("PATCH", raw.at("services", name), {"spec": spec}, MERGE)
    assert answer.code == 200, answer.body
    found: Obj = answer.body["spec"]
    return found


def numbers(spec: Obj) -> list[int | None]:
    return [port.get("nodePort") for port in spec["ports"]]


@docs(NODE_PORT)
@source(ALLOC)
@pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer"])
def test_each_port_is_given_a_node_port_of_its_own(raw: Raw, kind: str) -> None:
    found = numbers(create(raw, "s", kind, TWO).body["spec"])
    assert len(set(found)) == 2
    assert all(number and 30000 <= number <= 32767 for number in found)


@source(ALLOC)
def test_one_port_in_two_protocols_has_one_node_port(raw: Raw) -> None:
    ports = [{"name": "a", "port": 53}, {"name": "b", "port": 53, "protocol": "UDP"}]
    assert len(set(numbers(create(raw, "s", "NodePort", ports).body["spec"]))) == 1


@docs("concepts/services-networking/service/#load-balancer-nodeport-allocation")
def test_load_balancer_that_wants_no_node_ports_has_none(raw: Raw) -> None:
    made = create(raw, "s", "LoadBalancer", TWO, allocateLoadBalancerNodePorts=False)
    assert numbers(made.body["spec"]) == [None, None]


@docs(NODE_PORT)
@source(ALLOC)
def test_node_port_of_another_service_is_refused(raw: Raw) -> None:
    [number] = numbers(create(raw, "s", "NodePort", [{"port": 80}]).body["spec"])
    refused = create(raw, "t", "NodePort", [{"port": 80, "nodePort": number}])
    why = f"spec.ports[0].nodePort: Invalid value: {number}: {TAKEN}"
    assert (refused.code, refused.message) == (422, f'Service "t" is invalid: {why}')


@source(ALLOC)
def test_node_port_for_two_ports_is_refused(raw: Raw) -> None:
    [number] = numbers(create(raw, "s", "NodePort", [{"port": 80}]).body["spec"])
    raw.ask("DELETE", raw.at("services", "s"))
    refused = create(raw, "t", "NodePort", [{**port, "nodePort": number} for port in TWO])
    assert refused.message == f'Service "t" is invalid: spec.ports[1].nodePort: Invalid value: {number}: {TAKEN}'


@docs(NODE_PORT)
def test_node_port_outside_the_range_is_refused(raw: Raw) -> None:
    refused = create(raw, "s", "NodePort", [{"port": 80, "nodePort": 80}])
    detail = "provided port is not in the valid range. The range of valid ports is 30000-32767"
    assert refused.message == f'Service "s" is invalid: spec.ports[0].nodePort: Invalid value: 80: {detail}'


@source("pkg/registry/core/service/storage/storage.go")
def test_changed_port_keeps_the_node_port_of_its_name(raw: Raw) -> None:
    first, second = numbers(create(raw, "s", "NodePort", TWO).body["spec"])
    found = numbers(change(raw, "s", ports=[{"name": "b", "port": 90}, {"name": "c", "port": 91}]))
    assert found[0] == second
    assert found[1] not in (None, second)
    assert first is not None


@source(STRATEGY)
@pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer"])
def test_service_that_becomes_internal_gives_its_node_ports_back(raw: Raw, kind: str) -> None:
    create(raw, "s", kind, TWO)
    found = change(raw, "s", type="ClusterIP")
    assert numbers(found) == [None, None]
    assert not {"externalTrafficPolicy", "allocateLoadBalancerNodePorts"} & found.keys()


@docs("tasks/access-application-cluster/create-external-load-balancer/#preserving-the-client-source-ip")
def test_load_balancer_of_local_traffic_has_a_port_for_health_checks(raw: Raw) -> None:
    spec = create(raw, "s", "LoadBalancer", [{"port": 80}], externalTrafficPolicy="Local").body["spec"]
    assert 30000 <= spec["healthCheckNodePort"] <= 32767
    assert spec["healthCheckNodePort"] not in numbers(spec)
    assert change(raw, "s", ports=[{"port": 81}])["healthCheckNodePort"] == spec["healthCheckNodePort"]
    assert "healthCheckNodePort" not in change(raw, "s", externalTrafficPolicy="Cluster")
