"""Nodes that are emptied with `kubectl drain`: what goes, what stays, and in which words."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apiserver.clients.citing import docs
from apiserver.clients.made_nodes import MadeNode, made_node
from apiserver.clients.raw import Raw
from apiserver.clients.stories import at, becomes, condition, event, listed, now
from apiserver.clients.waiting import until
from apiserver.conftest import Cluster

DRAIN = "reference/kubectl/generated/kubectl_drain/"
SAFELY = "tasks/administer-cluster/safely-drain-node/"
NO_CONTROLLER = "cannot delete Pods that declare no controller (use --force to override)"
LOCAL = "cannot delete Pods with local storage (use --delete-emptydir-data to override)"
VIOLATES = "Cannot evict pod as it would violate the pod's disruption budget."
SCRATCH = {"volumes": [{"name": "v", "emptyDir": {}}]}
AT_ONCE = {"terminationGracePeriodSeconds": 0}


@pytest.fixture
def node(raw: Raw) -> Iterator[MadeNode]:
    with made_node(raw) as made:
        yield made


def names(raw: Raw) -> list[str]:
    return sorted(one["metadata"]["name"] for one in listed(raw, "pods"))


def budget(raw: Raw, app: str) -> None:
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": app}}}
    raw.made(at(raw, "poddisruptionbudgets"), {"metadata": {"name": "b"}, "spec": spec})
    becomes(raw, "poddisruptionbudgets", "b", lambda one: one["status"].get("currentHealthy") == 1)


@docs(DRAIN)
def test_pods_that_nobody_makes_again_and_local_data_keep_a_node_from_being_drained(
    node: MadeNode, raw: Raw, cluster: Cluster
) -> None:
    node.hold("bare")
    node.hold("local", **SCRATCH)
    plain = cluster.run("drain", node.name)
    assert plain.returncode == 1
    assert plain.stdout == f"node/{node.name} cordoned\n"
    whys = [f"{NO_CONTROLLER}: {raw.namespace}/bare", f"{LOCAL}: {raw.namespace}/local"]
    refused = f'error: unable to drain node "{node.name}" due to error: [%s, %s], continuing command...'
    # kubectl keeps them in a map of Go, which has no order.
    assert refused % (*whys,) in plain.stderr or refused % (*reversed(whys),) in plain.stderr
    forced = cluster.run("drain", node.name, "--force")
    assert (forced.returncode, forced.stdout) == (1, f"node/{node.name} already cordoned\n")
    assert f"{LOCAL}: {raw.namespace}/local" in forced.stderr
    assert names(raw) == ["bare", "local"]


@docs(DRAIN)
def test_dry_run_of_a_drain_takes_no_pod(node: MadeNode, raw: Raw, cluster: Cluster) -> None:
    node.hold("bare")
    for way, said in (("client", "dry run"), ("server", "server dry run")):
        shown = cluster.kubectl("drain", node.name, "--force", f"--dry-run={way}")
        assert f"node/{node.name} cordoned ({said})" in shown
        assert f"node/{node.name} drained ({said})" in shown
        assert f"{raw.namespace}/bare" in shown
    assert "deletionTimestamp" not in now(raw, "pods", "bare")["metadata"]
    assert not node.now["spec"].get("unschedulable")


@docs(SAFELY, "concepts/scheduling-eviction/api-eviction/")
def test_drain_evicts_what_it_may(node: MadeNode, raw: Raw, cluster: Cluster) -> None:
    node.hold("bare", **AT_ONCE)
    node.hold("local", **AT_ONCE, **SCRATCH)
    done = cluster.run("drain", node.name, "--force", "--delete-emptydir-data", "--timeout=60s")
    assert done.returncode == 0, done.stderr
    whole = f"{raw.namespace}/bare, {raw.namespace}/local"
    assert f"Warning: deleting Pods that declare no controller: {whole}" in done.stderr
    assert set(done.stdout.splitlines()) == {
        f"node/{node.name} cordoned",
        f"evicting pod {raw.namespace}/bare",
        f"evicting pod {raw.namespace}/local",
        "pod/bare evicted",
        "pod/local evicted",
        f"node/{node.name} drained",
    }
    assert names(raw) == []


@docs(SAFELY)
def test_pod_that_is_drained_tells_why_it_goes(node: MadeNode, raw: Raw, cluster: Cluster) -> None:
    node.hold("bare")
    cluster.run("drain", node.name, "--force", "--timeout=4s")
    going = becomes(raw, "pods", "bare", lambda one: "deletionTimestamp" in one["metadata"])
    said = condition(going, "DisruptionTarget")
    assert said is not None
    assert (said["reason"], said["message"]) == ("EvictionByEvictionAPI", "Eviction API: evicting")


@docs(SAFELY, "tasks/run-application/configure-pdb/")
def test_budget_keeps_a_pod_from_being_drained_unless_eviction_is_off(
    node: MadeNode, raw: Raw, cluster: Cluster
) -> None:
    node.hold("bare", **AT_ONCE)
    budget(raw, "bare")
    held = cluster.run("drain", node.name, "--force", "--timeout=4s")
    assert held.returncode == 1
    where = f'error when evicting pods/"bare" -n "{raw.namespace}"'
    assert f"{where} (will retry after 5s): {VIOLATES}" in held.stderr
    assert f"{where}: global timeout reached: 4s" in held.stderr
    assert names(raw) == ["bare"]
    done = cluster.kubectl("drain", node.name, "--force", "--disable-eviction", "--timeout=60s")
    assert "pod/bare deleted" in done
    assert names(raw) == []


@docs(DRAIN)
def test_drain_leaves_pods_of_a_daemon_set(node: MadeNode, raw: Raw, cluster: Cluster) -> None:
    labels = {"app": "daemon"}
    spec = node.pod("daemon", {"operator": "Exists"}, **AT_ONCE)["spec"]
    del spec["restartPolicy"]
    template = {"metadata": {"labels": labels}, "spec": spec}
    wanted = {"selector": {"matchLabels": labels}, "template": template}
    made = raw.made(raw.at("daemonsets", group="apps/v1"), {"metadata": {"name": "daemon"}, "spec": wanted})
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "daemon", "uid": made["metadata"]["uid"]}
    body = node.pod("daemon", {"operator": "Exists"}, nodeName=node.name, **AT_ONCE)
    body["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
    until(lambda: names(raw) or raw.create(raw.at("pods"), body).code == 201, "its pod")
    refused = cluster.run("drain", node.name)
    assert "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): " in refused.stderr
    ignored = cluster.run("drain", node.name, "--ignore-daemonsets", "--timeout=60s")
    assert ignored.returncode == 0, ignored.stderr
    assert f"Warning: ignoring DaemonSet-managed Pods: {raw.namespace}/daemon" in ignored.stderr
    assert f"node/{node.name} drained" in ignored.stdout
    assert names(raw)


@docs("reference/kubectl/generated/kubectl_taint/")
def test_kubectl_puts_changes_and_takes_taints(node: MadeNode, cluster: Cluster) -> None:
    def taint(*words: str) -> str:
        done = cluster.run("taint", "node", node.name, *words)
        return (done.stdout + done.stderr).strip()

    assert taint("a=b:NoSchedule") == f"node/{node.name} tainted"
    already = f"error: node {node.name} already has a taint(s) with same effect(s) and --overwrite is false"
    assert taint("a=c:NoSchedule").startswith(already[:60])
    assert taint("a=c:NoSchedule", "--overwrite") == f"node/{node.name} modified"
    assert ("a", "NoSchedule") in node.taints()
    assert taint("a-") == f"node/{node.name} untainted"
    assert taint("a-") == 'error: taint "a" not found'
    assert node.taints() == []


@docs("reference/kubectl/generated/kubectl_describe/")
def test_kubectl_describes_a_node_with_its_pods_and_events(node: MadeNode, raw: Raw, cluster: Cluster) -> None:
    limits = {"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}}}
    body = node.pod("sized")
    body["spec"]["containers"][0] |= limits
    raw.made(raw.at("pods"), body)
    becomes(raw, "pods", "sized", lambda one: one["spec"].get("nodeName"))
    until(lambda: node.told("RegisteredNode"), "an event")
    lines = [" ".join(one.split()) for one in cluster.kubectl("describe", "node", node.name).splitlines()]
    assert "Taints: example.com/made:NoSchedule" in lines
    assert any(one.startswith("Ready True") and one.endswith("Said said") for one in lines)
    sized = next(one for one in lines if one.startswith(f"{raw.namespace} sized"))
    assert "500m (12%) 1 (25%) 1Gi (12%) 2Gi (25%)" in sized
    assert "cpu 500m (12%) 1 (25%)" in lines
    assert any("Normal RegisteredNode" in one and "node-controller" in one for one in lines)
    assert event(raw, "Scheduled", "sized")["message"].endswith(f"to {node.name}")
