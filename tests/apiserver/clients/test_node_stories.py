"""Nodes that are cordoned, tainted, lost or gone, and what becomes of their pods."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apiserver.clients.citing import docs, source
from apiserver.clients.made_nodes import OWN_TAINT, MadeNode, made_node
from apiserver.clients.raw import Raw
from apiserver.clients.stories import Obj, at, becomes, condition, event, has, listed, now, told
from apiserver.clients.waiting import until

TAINTS = "concepts/scheduling-eviction/taint-and-toleration/"
NODES = "concepts/architecture/nodes/"
LIFECYCLE = "pkg/controller/nodelifecycle/node_lifecycle_controller.go"
EVICTION = "pkg/controller/tainteviction/taint_eviction.go"
COLLECTOR = "pkg/controller/podgc/gc_controller.go"
NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
GONE = {"key": "example.com/gone", "effect": "NoExecute"}
FOREVER = {**GONE, "operator": "Exists"}


@pytest.fixture
def node(raw: Raw) -> Iterator[MadeNode]:
    with made_node(raw) as made:
        yield made


def is_deleted(one: Obj) -> bool:
    return "deletionTimestamp" in one["metadata"]


def is_absent(raw: Raw, name: str = "p") -> bool:
    return raw.get(raw.at("pods", name)).code == 404


@source(LIFECYCLE)
def test_node_that_comes_is_told_of_by_its_controller(node: MadeNode) -> None:
    told_of = until(lambda: node.told("RegisteredNode"), "an event")[0]
    assert told_of["message"] == f"Node {node.name} event: Registered Node {node.name} in Controller"
    assert told_of["source"] == {"component": "node-controller"}
    assert told_of["involvedObject"]["uid"] == node.now["metadata"]["uid"]


@docs(f"{NODES}#manual-node-administration")
def test_cordoned_node_is_tainted_and_takes_no_pod_until_it_is_uncordoned(
    node: MadeNode, raw: Raw, cluster: object
) -> None:
    kubectl = cluster.kubectl  # type: ignore[attr-defined]
    assert kubectl("cordon", node.name) == f"node/{node.name} cordoned\n"
    assert kubectl("cordon", node.name) == f"node/{node.name} already cordoned\n"
    node.until_tainted(("node.kubernetes.io/unschedulable", "NoSchedule"))
    assert node.now["spec"]["taints"][-1]["timeAdded"]
    assert kubectl("get", "node", node.name, "--no-headers").split()[1] == "Ready,SchedulingDisabled"
    raw.made(raw.at("pods"), node.pod())
    waiting = condition(becomes(raw, "pods", "p", has("PodScheduled", "False")), "PodScheduled")
    assert waiting is not None
    assert "node(s) were unschedulable" in waiting["message"]
    assert kubectl("uncordon", node.name) == f"node/{node.name} uncordoned\n"
    becomes(raw, "pods", "p", lambda one: one["spec"].get("nodeName") == node.name)
    assert node.taints() == []


@docs(f"{TAINTS}#taint-nodes-by-condition")
def test_node_under_pressure_is_tainted_against_new_pods_alone(node: MadeNode, raw: Raw) -> None:
    node.hold()
    node.say(ready="True", MemoryPressure="True", PIDPressure="True", NetworkUnavailable="False")
    pressure = [("node.kubernetes.io/memory-pressure", "NoSchedule"), ("node.kubernetes.io/pid-pressure", "NoSchedule")]
    node.until_tainted(*pressure)
    assert not is_deleted(now(raw, "pods", "p"))
    node.say(ready="True", MemoryPressure="False")
    node.until_tainted()


@docs(f"{TAINTS}#taint-based-evictions")
def test_node_that_is_not_ready_is_tainted_twice(node: MadeNode, raw: Raw) -> None:
    node.say(ready="False")
    node.until_tainted((NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute"))
    assert all(one["timeAdded"] for one in node.now["spec"]["taints"] if one["key"] != OWN_TAINT)
    node.say(ready="Unknown")
    until(lambda: set(node.taints()) == {(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")}, "other taints")
    node.say(ready="True")
    node.until_tainted()


@source("pkg/controller/util/node/controller_utils.go", LIFECYCLE)
def test_pod_that_comes_to_a_node_that_is_not_ready_is_not_ready_either(node: MadeNode, raw: Raw) -> None:
    node.say(ready="False")
    node.until_tainted((NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute"))
    node.cordon(is_on=True)
    raw.made(raw.at("pods"), node.pod("p", {"key": NOT_READY, "operator": "Exists"}))
    becomes(raw, "pods", "p", has("PodScheduled", "False"))
    node.run("p")
    node.cordon(is_on=False)
    bound = becomes(raw, "pods", "p", lambda one: one["spec"].get("nodeName") and has("Ready", "False")(one))
    assert bound["status"]["phase"] == "Running"
    assert event(raw, "NodeNotReady", "p")["message"] == "Node is not ready"


@docs(f"{TAINTS}#concepts")
@source(EVICTION)
def test_pod_that_does_not_tolerate_a_taint_is_deleted_at_once(node: MadeNode, raw: Raw) -> None:
    node.hold("p")
    node.hold("stays", FOREVER)
    node.taint(GONE)
    deleted = becomes(raw, "pods", "p", is_deleted)
    said = condition(deleted, "DisruptionTarget")
    assert said is not None
    assert (said["status"], said["reason"]) == ("True", "DeletionByTaintManager")
    assert said["message"] == "Taint manager: deleting due to NoExecute taint"
    assert [one["type"] for one in deleted["status"]["conditions"]][-1] == "DisruptionTarget"
    assert deleted["status"]["phase"] == "Running"
    told_of = event(raw, "TaintManagerEviction", "p")
    assert told_of["message"] == f"Marking for deletion Pod {raw.namespace}/p"
    assert told_of["source"] == {"component": "taint-eviction-controller"}
    assert not is_deleted(now(raw, "pods", "stays"))


@docs(f"{TAINTS}#taint-based-evictions")
def test_pod_bears_a_taint_for_as_long_as_it_tolerates_it(node: MadeNode, raw: Raw) -> None:
    """Counted from when the taint is seen; whoever put it needs not say when."""
    node.hold("p", {**FOREVER, "tolerationSeconds": 3})
    node.hold("patient", {**FOREVER, "tolerationSeconds": 3600})
    node.taint(GONE)
    deleted = becomes(raw, "pods", "p", is_deleted)
    assert has("DisruptionTarget")(deleted)
    assert not is_deleted(now(raw, "pods", "patient"))
    node.taint()
    cancelled = event(raw, "TaintManagerEviction", "patient")
    assert cancelled["message"] == f"Cancelling deletion of Pod {raw.namespace}/patient"
    assert condition(now(raw, "pods", "patient"), "DisruptionTarget") is None


@source(EVICTION)
def test_pod_that_has_ended_is_driven_away_too(node: MadeNode, raw: Raw) -> None:
    node.hold("p")
    done = {"status": {"phase": "Succeeded"}}
    raw.ask("PATCH", raw.at("pods", "p", "status"), done, "application/merge-patch+json")
    node.taint(GONE)
    until(lambda: is_absent(raw), "its deletion")
    assert event(raw, "TaintManagerEviction", "p")["message"].startswith("Marking for deletion")


@docs(f"{TAINTS}#taint-based-evictions", "concepts/workloads/controllers/job/#handling-pod-and-container-failures")
def test_pod_of_a_job_that_is_driven_away_counts_as_failed(node: MadeNode, raw: Raw) -> None:
    of_pod = node.pod()["spec"]
    body = {"metadata": {"name": "j"}, "spec": {"template": {"spec": of_pod}}}
    raw.made(at(raw, "jobs"), body)
    first = until(lambda: listed(raw, "pods", **{"job-name": "j"}), "a pod")[0]["metadata"]["name"]
    becomes(raw, "pods", first, lambda one: one["spec"].get("nodeName"))
    node.taint(GONE)
    becomes(raw, "jobs", "j", lambda one: one["status"].get("failed") == 1)
    until(lambda: len(listed(raw, "pods", **{"job-name": "j"})) > 1, "another pod", 120)
    assert is_deleted(now(raw, "pods", first))


@docs(f"{NODES}#non-graceful-node-shutdown")
@source(COLLECTOR)
def test_pods_of_a_node_out_of_service_are_deleted_by_force(node: MadeNode, raw: Raw) -> None:
    with told(raw, "pods", node.pod()) as story:
        story.until(lambda one: one["spec"].get("nodeName"))
        node.say(ready="False")
        node.taint({"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"})
        until(lambda: is_absent(raw), "its end", 180)
        last = story.end()
    assert last["status"]["phase"] == "Failed"
    said = condition(last, "DisruptionTarget")
    assert said is not None
    assert said["reason"] == "DeletionByTaintManager"


@source(COLLECTOR)
def test_pods_of_a_node_that_is_gone_have_failed_and_go(node: MadeNode, raw: Raw) -> None:
    until(lambda: node.told("RegisteredNode"), "an event")
    with told(raw, "pods", node.pod()) as story:
        story.until(lambda one: one["spec"].get("nodeName"))
        assert raw.ask("DELETE", node.path).code == 200
        until(lambda: is_absent(raw), "its end", 180)
        last = story.end()
    assert last["status"]["phase"] == "Failed"
    said = condition(last, "DisruptionTarget")
    assert said is not None
    assert (said["reason"], said["message"]) == ("DeletionByPodGC", "PodGC: node no longer exists")
    removed = until(lambda: node.told("RemovingNode"), "an event")[0]
    assert removed["message"] == f"Node {node.name} event: Removing Node {node.name} from Controller"


@pytest.mark.slow
@docs(f"{NODES}#heartbeats", f"{NODES}#node-status")
@source(LIFECYCLE)
def test_node_that_nobody_hears_of_is_lost_with_its_pods(node: MadeNode, raw: Raw) -> None:
    made = node.hold()
    until(lambda: has("Ready", "Unknown")(node.now), "the loss", 120)
    node.until_tainted((UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute"))
    ready = condition(node.now, "Ready")
    assert ready is not None
    assert (ready["reason"], ready["message"]) == ("NodeStatusUnknown", "Kubelet stopped posting node status.")
    never = [one for one in node.now["status"]["conditions"] if one["type"] != "Ready"]
    assert [one["type"] for one in never] == ["MemoryPressure", "DiskPressure", "PIDPressure"]
    assert {(one["reason"], one["message"]) for one in never} == {
        ("NodeStatusNeverUpdated", "Kubelet never posted node status.")
    }
    lost = becomes(raw, "pods", "p", has("Ready", "False"))
    assert condition(lost, "Ready").keys() == condition(made, "Ready").keys() | {"lastTransitionTime"}  # type: ignore[union-attr]
    assert event(raw, "NodeNotReady", "p")["message"] == "Node is not ready"
    assert node.told("NodeNotReady")[0]["message"] == f"Node {node.name} status is now: NodeNotReady"
    node.say(ready="True")
    node.until_tainted()
