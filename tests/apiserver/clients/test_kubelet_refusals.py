"""Pods that a kubelet does not take, and pods that wait for what they name, in the kubelet's words."""

from __future__ import annotations

import pytest

from apiserver.clients.citing import docs, source
from apiserver.clients.raw import Raw
from apiserver.clients.stories import (
    FOREVER,
    Obj,
    becomes,
    condition,
    event,
    in_phase,
    is_running,
    pod,
    script,
    status_of,
    told,
)
from apiserver.clients.waiting import until

PREDICATES = "pkg/kubelet/lifecycle/predicate.go"
MAKING = "pkg/kubelet/kubelet_pods.go"
V = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
NONE: Obj = {"name": "none"}
LACKING: Obj = {"name": "have", "key": "none"}


@pytest.fixture
def node(raw: Raw) -> str:
    """One that runs pods."""
    raw.made(raw.at("pods"), pod(script("true"), name="first"))
    return str(becomes(raw, "pods", "first", in_phase("Succeeded"))["spec"]["nodeName"])


def refused(raw: Raw, body: Obj) -> Obj:
    """The only state of a pod that is not taken, with the event that tells of it."""
    with told(raw, "pods", body) as story:
        failed = story.until(in_phase("Failed"))
    status: Obj = failed["status"]
    said = event(raw, status["reason"], body["metadata"]["name"])
    assert status["message"] == f"Pod was rejected: {said['message']}"
    assert (said["type"], said["reportingComponent"]) == ("Warning", "kubelet")
    assert status.keys().isdisjoint({"hostIP", "containerStatuses", "podIP"})
    assert status["startTime"]
    assert condition(failed, "Ready") is None
    return status


@source(PREDICATES)
@pytest.mark.parametrize("more", [{}, {"memory": "9999Gi"}])
def test_pod_that_asks_for_more_cpu_than_its_node_has_is_refused(raw: Raw, node: str, more: Obj) -> None:
    large = script("true", resources={"requests": {"cpu": "9999", **more}})
    status = refused(raw, pod(large, nodeName=node))
    assert status["reason"] == "OutOfcpu"
    assert "Node didn't have enough resource: cpu, requested: 9999000, used: " in status["message"]


@source(PREDICATES)
def test_pod_that_does_not_want_the_node_that_it_names_is_refused(raw: Raw, node: str) -> None:
    status = refused(raw, pod(script("true"), nodeName=node, nodeSelector={"example.com/no": "such"}))
    assert status["reason"] == "NodeAffinity"
    why = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
    assert status["message"] == f"Pod was rejected: {why}"


@source(PREDICATES)
def test_pod_whose_host_port_is_taken_is_refused(raw: Raw, node: str) -> None:
    ports = {"ports": [{"containerPort": 80, "hostPort": 41874}]}
    raw.made(raw.at("pods"), pod(script(FOREVER, **ports), name="other", nodeName=node))
    becomes(raw, "pods", "other", is_running())
    status = refused(raw, pod(script("true", **ports), nodeName=node))
    assert status["reason"] == "NodePorts"
    why = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
    assert status["message"] == f"Pod was rejected: {why}"


@docs("concepts/configuration/manage-resources-containers/#extended-resources")
@source(PREDICATES)
def test_pod_may_name_a_node_that_does_not_know_its_extended_resource(raw: Raw, node: str) -> None:
    unknown = script("true", resources={"limits": {"example.com/none": "1"}})
    with told(raw, "pods", pod(unknown, nodeName=node)) as story:
        story.until(in_phase("Succeeded"))


def make_sources(raw: Raw) -> None:
    raw.made(raw.at("configmaps"), {"metadata": {"name": "have"}, "data": {"a": "1"}})
    raw.made(raw.at("secrets"), {"metadata": {"name": "have"}, "stringData": {"a": "1"}})


@docs("tasks/configure-pod-container/configure-pod-configmap/#restrictions")
@source(MAKING)
@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"envFrom": [{"configMapRef": NONE}]}, 'configmap "none" not found'),
        ({"envFrom": [{"secretRef": NONE}]}, 'secret "none" not found'),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": LACKING}}]},
            "couldn't find key none in ConfigMap {ns}/have",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": LACKING}}]},
            "couldn't find key none in Secret {ns}/have",
        ),
        ({"volumeMounts": [{"name": "v", "mountPath": "/v", "subPathExpr": "$(NO)/x"}]}, "missing value for NO"),
    ],
)
def test_container_waits_for_what_its_environment_names(raw: Raw, fields: Obj, why: str) -> None:
    make_sources(raw)
    expected = why.format(ns=raw.namespace)
    with told(raw, "pods", pod(script("true", **fields), volumes=[{"name": "v", "emptyDir": {}}])) as story:
        stuck = story.until(lambda one: "CreateContainerConfigError" in str(status_of(one).get("state")))
    assert status_of(stuck)["state"]["waiting"] == {"reason": "CreateContainerConfigError", "message": expected}
    assert stuck["status"]["phase"] == "Pending"
    said = event(raw, "Failed", "p")
    assert (said["message"], said["involvedObject"]["fieldPath"]) == (f"Error: {expected}", "spec.containers{c}")


@docs("concepts/storage/volumes/#configmap", "concepts/storage/projected-volumes/")
@source("pkg/volume/configmap/configmap.go", "pkg/volume/secret/secret.go", "pkg/volume/projected/projected.go")
@pytest.mark.parametrize(
    ("volume", "why"),
    [
        ({"configMap": NONE}, 'configmap "none" not found'),
        ({"secret": {"secretName": "none"}}, 'secret "none" not found'),
        (
            {"configMap": {"name": "have", "items": [{"key": "none", "path": "p"}]}},
            "configmap references non-existent config key: none",
        ),
        (
            {"secret": {"secretName": "have", "items": [{"key": "none", "path": "p"}]}},
            "references non-existent secret key: none",
        ),
        (
            {"projected": {"sources": [{"configMap": NONE}, {"secret": NONE}]}},
            '[configmap "none" not found, secret "none" not found]',
        ),
        (
            {"hostPath": {"path": "/no/such/directory", "type": "Directory"}},
            "hostPath type check failed: /no/such/directory is not a directory",
        ),
    ],
)
def test_pod_waits_for_what_its_volume_names(raw: Raw, volume: Obj, why: str) -> None:
    make_sources(raw)
    raw.made(raw.at("pods"), pod(script("true", **V), volumes=[{"name": "v", **volume}]))
    expected = f'MountVolume.SetUp failed for volume "v" : {why}'
    assert event(raw, "FailedMount", "p")["message"] == expected
    waiting = becomes(raw, "pods", "p", status_of)
    assert status_of(waiting)["state"] == {"waiting": {"reason": "ContainerCreating"}}


@docs("tasks/configure-pod-container/configure-service-account/")
def test_pod_of_a_service_account_that_is_not_there_is_not_made(raw: Raw) -> None:
    until(lambda: raw.get(raw.at("serviceaccounts", "default")).code == 200, "an account")
    answer = raw.create(raw.at("pods"), pod(script("true"), serviceAccountName="none"))
    assert answer.code == 403
    why = f'error looking up service account {raw.namespace}/none: serviceaccount "none" not found'
    assert answer.message == f'pods "p" is forbidden: {why}'
