"""Pods from their creation to their end, state by state, as kubelet and scheduler of a cluster tell it."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.clients.citing import docs, source
from apiserver.clients.raw import Raw
from apiserver.clients.stories import (
    FOREVER,
    Obj,
    becomes,
    condition,
    container,
    event,
    events,
    has,
    in_phase,
    is_running,
    pod,
    script,
    status_of,
    told,
)
from apiserver.clients.waiting import until

LIFECYCLE = "concepts/workloads/pods/pod-lifecycle/"
INIT = "concepts/workloads/pods/init-containers/"
SIDECARS = "concepts/workloads/pods/sidecar-containers/"
PROBES = "tasks/configure-pod-container/configure-liveness-readiness-startup-probes/"
FAILING = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
V = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}


def states(told_states: list[Obj], name: str = "c") -> list[str]:
    """Kinds of a container's states in order: running, terminated, or the reason that it waits for."""
    found = [status_of(one, name).get("state", {}) for one in told_states]
    kinds = [one.get("waiting", {}).get("reason") or next(iter(one), "") for one in found]
    return [one for index, one in enumerate(kinds) if index == 0 or one != kinds[index - 1]]


@source("pkg/registry/core/pod/storage/storage.go", "pkg/scheduler/schedule_one.go")
def test_pod_is_on_its_node_and_scheduled_at_once(raw: Raw) -> None:
    with told(raw, "pods", pod(script("true"))) as story:
        story.until(in_phase("Succeeded"))
    bound = next(one for one in story.states if one["spec"].get("nodeName"))
    scheduled = condition(bound, "PodScheduled")
    assert scheduled is not None
    assert scheduled["status"] == "True"
    told_of = event(raw, "Scheduled", "p")
    assert (told_of["action"], told_of["reportingComponent"]) == ("Binding", "default-scheduler")
    assert told_of["eventTime"]
    assert (told_of["source"], told_of.get("count")) == ({}, None)


@docs(f"{PROBES}#define-startup-probes")
def test_container_whose_startup_probe_fails_is_restarted(raw: Raw) -> None:
    body = pod(script("sleep 3600", startupProbe=FAILING), restartPolicy="Always")
    with told(raw, "pods", body) as story:
        again = story.until(is_running(restarts=1))
    assert status_of(again)["lastState"]["terminated"]["exitCode"] == 137
    assert event(raw, "Killing", "p")["message"] == "Container c failed startup probe, will be restarted"


@source("pkg/kubelet/kuberuntime/kuberuntime_manager.go")
def test_container_that_a_probe_ends_starts_again_in_the_same_breath(raw: Raw) -> None:
    """Its end is never its state, and only the third start waits."""
    body = pod(script("sleep 3600", livenessProbe=FAILING), restartPolicy="Always")
    with told(raw, "pods", body) as story:
        story.until(lambda one: "CrashLoopBackOff" in states([one]))
    assert states(story.states)[-3:] == ["ContainerCreating", "running", "CrashLoopBackOff"]
    assert status_of(story.states[-1])["restartCount"] == 2


@source("pkg/kubelet/kuberuntime/kuberuntime_manager.go")
def test_failed_liveness_probe_ends_a_pod_that_is_never_restarted(raw: Raw) -> None:
    with told(raw, "pods", pod(script("sleep 3600", livenessProbe=FAILING))) as story:
        ended = story.until(in_phase("Failed"))
    assert status_of(ended)["state"]["terminated"]["exitCode"] == 137
    assert event(raw, "Killing", "p")["message"] == "Stopping container c"


@docs(f"{LIFECYCLE}#pod-readiness-gate")
def test_pod_is_ready_when_its_readiness_gate_is_open(raw: Raw, cluster: Any) -> None:
    gated = pod(script(FOREVER), readinessGates=[{"conditionType": "example.com/open"}])
    with told(raw, "pods", gated) as story:
        held = story.until(has("ContainersReady"))
        ready = condition(held, "Ready")
        assert ready is not None
        assert ready["reason"] == "ReadinessGatesNotReady"
        assert cluster.kubectl("get", "pod", "p", "-o", "wide", "--no-headers").split()[-1] == "0/1"
        others = held["status"]["conditions"]
        story.change({"status": {"conditions": [*others, {"type": "example.com/open", "status": "True"}]}}, "status")
        story.until(has("Ready"))
    assert cluster.kubectl("get", "pod", "p", "-o", "wide", "--no-headers").split()[-1] == "1/1"


@docs(f"{INIT}#understanding-init-containers")
def test_init_container_is_not_ready_while_it_runs(raw: Raw) -> None:
    body = pod(script("sleep 1"), initContainers=[script("sleep 1", "first")])
    with told(raw, "pods", body) as story:
        initializing = story.until(is_running("first"))
        assert not status_of(initializing, "first")["ready"]
        ended = story.until(in_phase("Succeeded"))
    assert status_of(ended, "first")["ready"]
    assert states(story.states) == ["", "PodInitializing", "running", "terminated"]


@source("pkg/kubelet/status/status_manager.go")
def test_what_comes_after_a_failed_init_container_waits_for_ever(raw: Raw, cluster: Any) -> None:
    body = pod(script("true"), initContainers=[script("exit 5", "first"), script("true", "second")])
    with told(raw, "pods", body) as story:
        ended = story.until(in_phase("Failed"))
    assert status_of(ended, "first")["state"]["terminated"]["exitCode"] == 5
    for name in ("second", "c"):
        assert status_of(ended, name)["state"] == {"waiting": {"reason": "PodInitializing"}}
    said = cluster.run("logs", "p", "-c", "c").stderr
    assert said.strip().endswith('container "c" in pod "p" is waiting to start: PodInitializing')


@docs(f"{SIDECARS}#sidecar-containers-and-pod-lifecycle")
def test_sidecar_that_has_ended_is_not_ready(raw: Raw) -> None:
    body = pod(script("sleep 1"), initContainers=[script(FOREVER, "side", restartPolicy="Always")])
    with told(raw, "pods", body) as story:
        ended = story.until(in_phase("Succeeded"))
    assert status_of(ended, "side")["state"]["terminated"]["exitCode"] == 0
    assert not status_of(ended, "side")["ready"]


@source("pkg/kubelet/status/generate.go")
def test_pod_stays_initialized_when_its_sidecar_crashes(raw: Raw) -> None:
    side = script("sleep 1; exit 1", "side", restartPolicy="Always")
    with told(raw, "pods", pod(script(FOREVER), initContainers=[side])) as story:
        story.until(is_running())
        down = story.until(lambda one: states([one], "side") == ["CrashLoopBackOff"])
    assert has("Initialized")(down)
    assert down["status"]["phase"] == "Running"


@docs("tasks/debug/debug-application/determine-reason-pod-failure/")
def test_end_of_a_long_termination_message_is_what_is_kept(raw: Raw) -> None:
    text = 'i=0; while [ $i -lt 1500 ]; do echo "line$i"; i=$((i+1)); done > "$SAID"; exit 1'
    said = script(text, env=[{"name": "SAID", "value": "/dev/said"}], terminationMessagePath="/dev/said")
    with told(raw, "pods", pod(said)) as story:
        ended = story.until(in_phase("Failed"))
    message = status_of(ended)["state"]["terminated"]["message"]
    assert len(message) == 4096
    assert message.endswith("line1498\nline1499\n")


@source("pkg/kubelet/kuberuntime/kuberuntime_container.go")
def test_container_that_can_not_start_waits_with_the_reason(raw: Raw, cluster: Any) -> None:
    body = pod(container("/no/such/program"), restartPolicy="Always")
    with told(raw, "pods", body) as story:
        stuck = story.until(lambda one: states([one]) == ["RunContainerError"])
        assert status_of(stuck)["lastState"]["terminated"]["reason"] == "StartError"
        assert status_of(stuck)["lastState"]["terminated"]["exitCode"] == 128
        assert "/no/such/program" in status_of(stuck)["state"]["waiting"]["message"]
        story.until(lambda one: states([one]) == ["CrashLoopBackOff"])
    assert "terminated" not in states(story.states)


@docs(f"{LIFECYCLE}#pod-termination")
def test_deleted_pod_shows_its_end_at_once_and_then_goes(raw: Raw) -> None:
    body = pod(script(FOREVER), script("sleep 3600", "d"), terminationGracePeriodSeconds=2)
    with told(raw, "pods", body) as story:
        story.until(has("Ready"))
        story.delete()
        story.end()
    ending = [one for one in story.states if one["metadata"].get("deletionTimestamp")]
    running = [one for one in ending if one["status"]["phase"] == "Running"]
    assert all("running" in status_of(one, name)["state"] for one in running for name in ("c", "d"))
    ended = next(one for one in ending if one["status"]["phase"] == "Failed")
    assert [status_of(ended, one)["state"]["terminated"]["exitCode"] for one in ("c", "d")] == [0, 137]
    assert has("PodReadyToStartContainers", "False")(ended)
    assert [one["metadata"]["deletionGracePeriodSeconds"] for one in story.states[-2:]] == [0, 0]


@docs("concepts/overview/working-with-objects/finalizers/")
@source("staging/src/k8s.io/apiserver/pkg/registry/generic/registry/store.go")
def test_last_state_of_a_deleted_pod_is_the_one_before_its_finalizer_went(raw: Raw) -> None:
    body = pod(script("true"))
    body["metadata"]["finalizers"] = ["example.com/hold"]
    with told(raw, "pods", body) as story:
        story.until(in_phase("Succeeded"))
        story.delete()
        story.until(lambda one: one["metadata"].get("deletionTimestamp"))
        story.change({"metadata": {"finalizers": None}})
        assert story.end()["metadata"]["finalizers"] == ["example.com/hold"]


@source("pkg/kubelet/status/status_manager.go")
def test_reason_of_a_missed_deadline_comes_with_the_failed_phase(raw: Raw) -> None:
    with told(raw, "pods", pod(script("sleep 3600"), activeDeadlineSeconds=2)) as story:
        ended = story.until(in_phase("Failed"))
    assert ended["status"]["reason"] == "DeadlineExceeded"
    assert not [one for one in story.states[:-1] if one["status"].get("reason")]


@docs("concepts/workloads/pods/disruptions/#pod-disruption-conditions")
def test_evicted_pod_says_that_it_was_disrupted(raw: Raw) -> None:
    with told(raw, "pods", pod(script("sleep 3600"))) as story:
        story.until(is_running())
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
        assert raw.create(raw.at("pods", "p", "eviction"), eviction).code == 201
        ended = condition(story.end(), "DisruptionTarget")
    assert ended is not None
    assert (ended["reason"], ended["message"]) == ("EvictionByEvictionAPI", "Eviction API: evicting")


@docs("concepts/storage/volumes/#configmap", "concepts/storage/projected-volumes/")
@pytest.mark.parametrize(
    ("volume", "why"),
    [
        (
            {"configMap": {"name": "one", "items": [{"key": "no", "path": "no"}]}},
            "configmap references non-existent config key: no",
        ),
        (
            {"projected": {"sources": [{"configMap": {"name": "no1"}}, {"secret": {"name": "no2"}}]}},
            '[configmap "no1" not found, secret "no2" not found]',
        ),
    ],
)
def test_pod_waits_for_what_its_volume_needs(raw: Raw, volume: Obj, why: str) -> None:
    raw.made(raw.at("configmaps"), {"metadata": {"name": "one"}, "data": {"a": "1"}})
    raw.made(raw.at("pods"), pod(script("true", **V), volumes=[{"name": "v", **volume}]))
    assert event(raw, "FailedMount", "p")["message"] == f'MountVolume.SetUp failed for volume "v" : {why}'


@docs("concepts/containers/images/#imagepullbackoff", f"{LIFECYCLE}#pod-update-and-replacement")
def test_pod_starts_when_its_image_is_put_right(raw: Raw) -> None:
    broken = container("sh", "-c", "true", image="none.invalid/no/such:1")
    with told(raw, "pods", pod(broken)) as story:
        story.until(lambda one: states([one]) == ["ImagePullBackOff"])
        right = [{**broken, "image": "busybox:1"}]
        spec = story.states[-1]["spec"]
        story.change({"spec": {"containers": [{**spec["containers"][0], **right[0]}]}})
        story.until(in_phase("Succeeded"))
    assert len(events(raw, "Started", "p")) == 1


@docs("concepts/storage/persistent-volumes/#storage-object-in-use-protection")
def test_claim_is_protected_from_the_beginning(raw: Raw) -> None:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}, "storageClassName": ""}
    made = raw.made(raw.at("persistentvolumeclaims"), {"metadata": {"name": "one"}, "spec": wanted})
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]


@docs("tasks/run-application/configure-pdb/#check-the-status-of-the-pdb")
def test_kubectl_shows_what_a_budget_allows(raw: Raw, cluster: Any) -> None:
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}}
    raw.made(raw.at("poddisruptionbudgets", group="policy/v1"), {"metadata": {"name": "b"}, "spec": spec})
    head, row = until(lambda: cluster.kubectl("get", "pdb").splitlines(), "a table")
    assert head.split("   ")[0] == "NAME"
    assert [one.strip() for one in head.split("  ") if one.strip()][1:4] == [
        "MIN AVAILABLE",
        "MAX UNAVAILABLE",
        "ALLOWED DISRUPTIONS",
    ]
    assert row.split()[:4] == ["b", "1", "N/A", "0"]


@docs("concepts/scheduling-eviction/pod-scheduling-readiness/")
def test_kubectl_shows_that_a_pod_is_held_at_a_gate(raw: Raw, cluster: Any) -> None:
    raw.made(raw.at("pods"), pod(script("true"), schedulingGates=[{"name": "example.com/wait"}]))
    becomes(raw, "pods", "p", has("PodScheduled", "False"))
    assert cluster.kubectl("get", "pod", "p", "--no-headers").split()[2] == "SchedulingGated"


ASSIGNING = "concepts/scheduling-eviction/assign-pod-node/"


def beside(kind: str, **labels: str) -> Obj:
    rule = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
    return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [rule]}}}


def waits(raw: Raw, name: str) -> str:
    """Why a pod has no node."""
    held = condition(becomes(raw, "pods", name, has("PodScheduled", "False")), "PodScheduled")
    assert held is not None
    return str(held["message"])


@docs(f"{ASSIGNING}#inter-pod-affinity-and-anti-affinity")
def test_pod_waits_for_the_pod_that_it_wants_to_be_beside(raw: Raw) -> None:
    raw.made(raw.at("pods"), pod(script("true"), **beside("podAffinity", app="friend")))
    assert "node(s) didn't match pod affinity rules" in waits(raw, "p")
    raw.made(raw.at("pods"), pod(script(FOREVER), name="friend"))
    becomes(raw, "pods", "p", in_phase("Succeeded"))


@docs("concepts/scheduling-eviction/topology-spread-constraints/")
def test_pod_waits_where_no_node_has_the_topology_of_its_spread(raw: Raw) -> None:
    rule = {"maxSkew": 1, "topologyKey": "example.com/nowhere", "whenUnsatisfiable": "DoNotSchedule"}
    chosen = {"labelSelector": {"matchLabels": {"app": "p"}}}
    raw.made(raw.at("pods"), pod(script("true"), topologySpreadConstraints=[{**rule, **chosen}]))
    assert "node(s) didn't match pod topology spread constraints (missing required label)" in waits(raw, "p")


@docs(f"{ASSIGNING}#inter-pod-affinity-and-anti-affinity", "concepts/configuration/overview/")
def test_pods_that_keep_apart_or_share_a_host_port_are_not_on_one_node(raw: Raw) -> None:
    port = {"ports": [{"containerPort": 80, "hostPort": 41873}]}
    raw.made(raw.at("pods"), pod(script(FOREVER, **port), name="a", labels={"app": "x"}))
    node = becomes(raw, "pods", "a", is_running())["spec"]["nodeName"]
    there = {"nodeSelector": {"kubernetes.io/hostname": node}}
    raw.made(raw.at("pods"), pod(script("true"), name="b", **beside("podAntiAffinity", app="x"), **there))
    raw.made(raw.at("pods"), pod(script("true", **port), name="c", **there))
    assert "node(s) didn't match pod anti-affinity rules" in waits(raw, "b")
    assert "node(s) didn't have free ports for the requested pod ports" in waits(raw, "c")


def volume(raw: Raw, name: str, size: str) -> Obj:
    """A PersistentVolume made by hand; its name and class are this test's own."""
    path = {"path": f"/tmp/{raw.namespace}-{name}", "type": "DirectoryOrCreate"}
    rest = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": raw.namespace}
    return {"metadata": {"name": f"{raw.namespace}-{name}"}, "spec": {**rest, "hostPath": path}}


@docs("concepts/storage/persistent-volumes/#binding", "concepts/storage/persistent-volumes/#reclaiming")
def test_claim_gets_the_smallest_volume_that_somebody_made_for_its_class(raw: Raw) -> None:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    claim = {"metadata": {"name": "one"}, "spec": {**wanted, "storageClassName": raw.namespace}}
    raw.made(raw.at("persistentvolumeclaims"), claim)
    volumes = "/api/v1/persistentvolumes"
    try:
        for name, size in (("small", "1Ki"), ("large", "9Mi"), ("right", "2Mi")):
            raw.made(volumes, volume(raw, name, size))
        bound = becomes(raw, "persistentvolumeclaims", "one", in_phase("Bound"))
        assert bound["status"]["capacity"] in ({"storage": "2Mi"}, {"storage": "9Mi"})
        named = bound["spec"]["volumeName"]
        held = raw.get(f"{volumes}/{named}").body
        assert (held["status"]["phase"], held["spec"]["claimRef"]["name"]) == ("Bound", "one")
        claimed = {"name": "v", "persistentVolumeClaim": {"claimName": "one"}}
        raw.made(raw.at("pods"), pod(script("true"), volumes=[claimed]))
        becomes(raw, "pods", "p", in_phase("Succeeded"))
        raw.ask("DELETE", raw.at("pods", "p"))
        raw.ask("DELETE", raw.at("persistentvolumeclaims", "one"))
        until(lambda: raw.get(f"{volumes}/{named}").body["status"]["phase"] == "Released", "a released volume")
        assert raw.get(f"{volumes}/{raw.namespace}-small").body["status"]["phase"] == "Available"
    finally:
        for name in ("small", "large", "right"):
            raw.ask("DELETE", f"{volumes}/{raw.namespace}-{name}")


LOGGING = "reference/kubernetes-api/workload-resources/pod-v1/#get-read-log-of-the-specified-pod"


@docs(LOGGING)
def test_log_is_given_in_part(raw: Raw) -> None:
    with told(raw, "pods", pod(script("echo one; echo two"))) as story:
        story.until(in_phase("Succeeded"))
    log = raw.at("pods", "p", "log")
    assert raw.get(log, limitBytes=5).body == b"one\nt"
    assert raw.get(log, limitBytes=100, tailLines=1).body == b"two\n"
    assert raw.get(log, sinceTime="2020-01-01T00:00:00Z").body == b"one\ntwo\n"
    assert raw.get(log, sinceTime="2999-01-01T00:00:00Z").body == b""


@docs(LOGGING)
@pytest.mark.parametrize(
    ("query", "code", "why"),
    [
        ({"limitBytes": 0}, 422, "limitBytes: Invalid value: 0: must be greater than 0"),
        ({"sinceSeconds": 0}, 422, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ({"tailLines": -1}, 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        (
            {"sinceSeconds": 3, "sinceTime": "2020-01-01T00:00:00Z"},
            422,
            "[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
        ),
        ({"sinceTime": "bad"}, 400, 'cannot parse "bad" as "2006"'),
    ],
)
def test_part_of_a_log_that_can_not_be_is_refused(raw: Raw, query: Obj, code: int, why: str) -> None:
    with told(raw, "pods", pod(script("true"))) as story:
        story.until(in_phase("Succeeded"))
    refused = raw.get(raw.at("pods", "p", "log"), **query)
    assert refused.code == code
    assert why in refused.message


@docs("concepts/containers/images/#image-names")
@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("Bad Image", ": repository name (library/Bad Image) must be lowercase"),
        ("none.invalid/Upper:1", ": repository name (Upper) must be lowercase"),
        ("none.invalid/a b:1", ""),
    ],
)
def test_image_that_has_no_name_is_not_asked_for(raw: Raw, image: str, why: str) -> None:
    with told(raw, "pods", pod(container(image=image))) as story:
        stuck = story.until(lambda one: states([one]) == ["InvalidImageName"])
    said = f'couldn\'t parse image name "{image}": invalid reference format{why}'
    expected = f'Failed to apply default image tag "{image}": {said}'
    assert status_of(stuck)["state"]["waiting"]["message"] == expected
    assert event(raw, "InspectFailed", "p")["message"] == expected
    assert not events(raw, "Pulling", "p")


@source("pkg/registry/core/pod/strategy.go")
def test_pod_without_a_node_has_an_empty_log(raw: Raw) -> None:
    raw.made(raw.at("pods"), pod(script("true"), nodeSelector={"none": "such"}))
    for query in ({}, {"follow": "true"}, {"previous": "true"}):
        answer = raw.get(raw.at("pods", "p", "log"), **query)
        assert (answer.code, answer.body) == (204, b"")


@source("pkg/kubelet/container/runtime.go")
def test_id_of_a_container_begins_with_the_runtime_of_its_node(raw: Raw) -> None:
    with told(raw, "pods", pod(script("true"))) as story:
        done = story.until(in_phase("Succeeded"))
    node = raw.get(f"/api/v1/nodes/{done['spec']['nodeName']}").body
    runtime = node["status"]["nodeInfo"]["containerRuntimeVersion"].partition("://")[0]
    assert status_of(done)["containerID"].partition("://")[0] == runtime
