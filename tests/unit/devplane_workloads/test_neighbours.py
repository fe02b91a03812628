"""Where pods go because of other pods: host ports, affinity and anti-affinity, topology spread.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity and
https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/
"""

from __future__ import annotations

from typing import Any

import pytest

from devplane.placing.fitting import Room, best, refusal, room

Obj = dict[str, Any]
HOST = "kubernetes.io/hostname"


def node(name: str, **labels: str) -> Obj:
    amounts = {"cpu": "8", "memory": "32Gi", "pods": "10"}
    metadata = {"name": name, "labels": {HOST: name, **labels}}
    return {"metadata": metadata, "spec": {}, "status": {"allocatable": amounts}}


def pod(app: str = "a", namespace: str = "default", **spec: Any) -> Obj:
    metadata = {"name": app, "namespace": namespace, "labels": {"app": app}}
    return {"metadata": metadata, "spec": {"containers": [{"name": "c"}], **spec}, "status": {"phase": "Running"}}


def term(app: str, key: str = HOST, **fields: Any) -> Obj:
    return {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key, **fields}


def affinity(kind: str, *terms: Obj) -> Obj:
    return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}}


def near(*terms: Obj) -> Obj:
    return affinity("podAffinity", *terms)


def far(*terms: Obj) -> Obj:
    return affinity("podAntiAffinity", *terms)


def spread(app: str = "a", key: str = HOST, skew: int = 1, **fields: Any) -> Obj:
    rule = {"maxSkew": skew, "whenUnsatisfiable": "DoNotSchedule", **term(app, key), **fields}
    return {"topologySpreadConstraints": [rule]}


def rooms(**pods: list[Obj]) -> list[Room]:
    return [room(node(name), held) for name, held in pods.items()]


def chosen(one: Obj, nodes: list[Room]) -> str | None:
    found = best(one, nodes)
    return None if found is None else found.name


def why(one: Obj, nodes: list[Room]) -> str:
    return refusal(one, nodes).split(". preemption")[0]


def test_affinity_leads_to_the_pods_that_it_means() -> None:
    nodes = rooms(n1=[], n2=[pod("b")], n3=[])
    assert chosen(pod(**near(term("b"))), nodes) == "n2"
    assert why(pod(**near(term("c"))), nodes) == "0/3 nodes are available: 3 node(s) didn't match pod affinity rules"


def test_first_pod_of_those_that_want_each_other_goes_anywhere() -> None:
    assert chosen(pod(**near(term("a"))), rooms(n1=[])) == "n1"


def test_pod_of_another_namespace_is_not_meant_unless_it_is_named() -> None:
    nodes = rooms(n1=[pod("b", namespace="other")])
    assert why(pod(**near(term("b"))), nodes)
    assert chosen(pod(**near(term("b", namespaces=["other"]))), nodes) == "n1"
    assert chosen(pod(**near(term("b", namespaceSelector={}))), nodes) == "n1"


def test_anti_affinity_keeps_away_in_both_directions() -> None:
    alone = far(term("a"))
    assert chosen(pod(**alone), rooms(n1=[pod(**alone)], n2=[])) == "n2"
    assert why(pod(**alone), rooms(n1=[pod()])).endswith("1 node(s) didn't match pod anti-affinity rules")
    assert why(pod(), rooms(n1=[pod(**alone)])).endswith("1 node(s) didn't satisfy existing pods anti-affinity rules")


def test_domain_is_all_nodes_with_the_same_value() -> None:
    nodes = [room(node("n1", zone="x"), [pod()]), room(node("n2", zone="x"), []), room(node("n3", zone="y"), [])]
    assert chosen(pod(**far(term("a", "zone"))), nodes) == "n3"


def test_spread_fills_the_emptiest_domain_first() -> None:
    nodes = rooms(n1=[pod(), pod()], n2=[pod()])
    assert chosen(pod(**spread()), nodes) == "n2"
    assert chosen(pod(**spread()), rooms(n1=[pod()], n2=[pod("b"), pod("b")])) == "n2"
    assert chosen(pod(**spread(skew=2)), rooms(n1=[pod()], n2=[pod("b"), pod("b")])) == "n1"


def test_spread_counts_nodes_that_the_selector_allows_and_needs_the_label() -> None:
    nodes = [room(node("n1", pool="x"), [pod()]), room(node("n2"), [])]
    assert chosen(pod(**spread(), nodeSelector={"pool": "x"}), nodes) == "n1"
    said = "2 node(s) didn't match pod topology spread constraints (missing required label)"
    assert why(pod(**spread(key="zone")), nodes).endswith(said)
    full = why(pod(**spread(minDomains=3)), rooms(n1=[pod()], n2=[pod()]))
    assert full.endswith("2 node(s) didn't match pod topology spread constraints")


def test_spread_by_match_label_keys_counts_one_revision() -> None:
    old, new = pod(), pod(**spread(matchLabelKeys=["rev"]))
    old["metadata"]["labels"]["rev"], new["metadata"]["labels"]["rev"] = "1", "2"
    assert chosen(new, rooms(n1=[old], n2=[pod("b"), pod("b")])) == "n1"


@pytest.mark.parametrize(
    ("taken", "wanted", "fits"),
    [
        ({"hostPort": 80}, {"hostPort": 80}, False),
        ({"hostPort": 80}, {"hostPort": 81}, True),
        ({"hostPort": 80}, {"hostPort": 80, "protocol": "UDP"}, True),
        ({"hostPort": 80, "hostIP": "127.0.0.1"}, {"hostPort": 80, "hostIP": "127.0.0.2"}, True),
        ({"hostPort": 80, "hostIP": "127.0.0.1"}, {"hostPort": 80}, False),
    ],
)
def test_host_port_is_had_once_on_a_node(taken: Obj, wanted: Obj, fits: bool) -> None:
    def with_port(port: Obj) -> Obj:
        return pod(containers=[{"name": "c", "ports": [port]}])

    said = why(with_port(wanted), rooms(n1=[with_port(taken)]))
    assert said == (
        "" if fits else "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports"
    )
