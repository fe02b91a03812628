"""What the Endpoints of a Service say of its pods."""

from __future__ import annotations

from typing import Any

from devplane.controllers.endpoints import subsets

Obj = dict[str, Any]


def service(*ports: Obj, **spec: Any) -> Obj:
    return {"metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"app": "web"}, "ports": list(ports), **spec}}  # fmt: skip


def pod(name: str, ip: str, *, ready: bool = True, ports: tuple[Obj, ...] = (), **spec: Any) -> Obj:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "ports": list(ports)}], **spec},
        "status": {"podIP": ip, "conditions": conditions, "phase": "Running"},
    }


def ips(found: list[Obj]) -> list[tuple[list[str], list[str], list[int]]]:
    def of(subset: Obj, key: str, what: str) -> list[Any]:
        return [one[what] for one in subset.get(key) or ()]

    return [(of(one, "addresses", "ip"), of(one, "notReadyAddresses", "ip"), of(one, "ports", "port")) for one in found]


HTTP = {"port": 80, "targetPort": 8080}
NAMED = {"name": "http", "port": 80, "targetPort": "web"}


def test_ready_pods_are_apart_from_those_that_are_not() -> None:
    pods = [pod("b", "127.64.0.3"), pod("a", "127.64.0.2"), pod("c", "127.64.0.4", ready=False)]
    (found,) = subsets(service(HTTP), pods)
    assert ips([found]) == [(["127.64.0.2", "127.64.0.3"], ["127.64.0.4"], [8080])]
    assert found["ports"] == [{"port": 8080, "protocol": "TCP"}]
    assert found["addresses"][0] == {
        "ip": "127.64.0.2",
        "nodeName": "n1",
        "targetRef": {"kind": "Pod", "namespace": "default", "name": "a", "uid": "uid-a"},
    }


def test_pods_that_offer_other_ports_by_the_same_name_are_a_subset_of_their_own() -> None:
    old, new = ({"name": "web", "containerPort": number, "protocol": "TCP"} for number in (8000, 9000))
    pods = [pod("a", "127.64.0.2", ports=(old,)), pod("b", "127.64.0.3", ports=(new,)), pod("c", "127.64.0.4")]
    assert ips(subsets(service(NAMED), pods)) == [(["127.64.0.2"], [], [8000]), (["127.64.0.3"], [], [9000])]


def test_headless_service_may_have_no_ports() -> None:
    found = subsets(service(clusterIP="None"), [pod("a", "127.64.0.2", hostname="a", subdomain="web")])
    assert ips(found) == [(["127.64.0.2"], [], [])]
    assert found[0]["addresses"][0]["hostname"] == "a"


def test_pods_that_have_ended_or_no_address_or_are_going_are_none() -> None:
    ended, going, early = pod("a", "127.64.0.2"), pod("b", "127.64.0.3"), pod("c", "")
    ended["status"]["phase"] = "Succeeded"
    going["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    assert subsets(service(HTTP), [ended, going, early]) == []
    published = service(HTTP, publishNotReadyAddresses=True)
    unready = pod("d", "127.64.0.4", ready=False)
    assert ips(subsets(published, [ended, going, early, unready])) == [(["127.64.0.3", "127.64.0.4"], [], [8080])]
