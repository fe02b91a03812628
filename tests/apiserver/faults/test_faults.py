"""Real clients on a bad day: devplane's faults on demand, and that kubectl and kopf live through them."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, informer

from apiserver.clients import widgets
from apiserver.clients.test_kopf import Operator
from apiserver.conftest import Cluster
from devplane.outside.remote import Remote, RemoteFaults
from devplane.pytest_plugin import ControlPlane
from fakes.processes import until

Obj = dict[str, Any]


@pytest.fixture
def faults(devplane: ControlPlane) -> RemoteFaults:
    return devplane.faults


def config_map(**data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": data}


@pytest.mark.parametrize("token", ["", "wrong", "admin"])
def test_only_its_own_token_opens_the_endpoint(devplane: ControlPlane, faults: RemoteFaults, token: str) -> None:
    admin = Remote.of(devplane.kubeconfig)
    asked = replace(admin, token=admin.token if token == "admin" else token)
    assert asked.ask("PUT", "/devplane/faults", {"faults": [{"fault": "refuse"}]})[0] == 401
    assert faults.struck() == []


def test_rule_that_can_not_be_meant_is_refused_and_the_others_stay(faults: RemoteFaults) -> None:
    faults.set({"fault": "refuse", "code": 503, "resources": ["podtemplates"]})
    with pytest.raises(ValueError, match=re.escape("faults[0].seconds: latency needs it")):
        faults.set({"fault": "latency"})
    assert faults.struck() == [0]


def test_body_without_a_list_of_rules_ends_none(devplane: ControlPlane, faults: RemoteFaults) -> None:
    assert devplane.data_dir is not None
    asked = replace(Remote.of(devplane.kubeconfig), token=(devplane.data_dir / "faults.token").read_text())
    faults.set({"fault": "refuse", "code": 503, "resources": ["podtemplates"]})
    for body in ({"faults": {}}, {"faults": None}, {}, {"rules": []}, [], "all"):
        code, answer = asked.ask("PUT", "/devplane/faults", body)
        assert (code, "message" in answer) == (400, True), body
    assert faults.struck() == [0]
    assert asked.ask("PUT", "/devplane/faults", {"faults": []}) == (200, {"faults": []})
    for whom in ({}, {"namespace": "a", "pod": 1, "container": "c"}, {"namespace": "a", "pods": "p", "container": "c"}):
        assert asked.ask("POST", "/devplane/kill", whom)[0] == 400, whom


def test_kubectl_waits_as_long_as_a_429_says(cluster: Cluster, faults: RemoteFaults) -> None:
    faults.set(
        {"fault": "refuse", "code": 429, "seconds": 1, "times": 2, "resources": ["configmaps"], "verbs": ["list"]}
    )
    before = time.monotonic()
    cluster.kubectl("get", "configmaps")
    assert time.monotonic() - before >= 2
    assert faults.struck() == [2]


def test_kubectl_apply_tries_again_after_conflicts(cluster: Cluster, faults: RemoteFaults) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=config_map(a="1"))
    faults.set({"fault": "refuse", "code": 409, "times": 2, "verbs": ["patch"], "resources": ["configmaps"]})
    assert "configured" in cluster.kubectl("apply", "-f", "-", stdin=config_map(a="2"))
    assert faults.struck() == [2]


def test_nothing_is_done_by_a_refused_request(cluster: Cluster, faults: RemoteFaults) -> None:
    faults.set({"fault": "refuse", "code": 500, "verbs": ["create"], "namespaces": [cluster.namespace]})
    done = cluster.run("create", "configmap", "lost")
    assert "Internal error occurred: fault on demand" in done.stderr
    faults.clear()
    assert "NotFound" in cluster.run("get", "configmap", "lost").stderr


def test_slow_answers_come_late(cluster: Cluster, faults: RemoteFaults) -> None:
    faults.set({"fault": "latency", "seconds": 0.7, "resources": ["secrets"]})
    before = time.monotonic()
    cluster.kubectl("get", "secrets")
    assert time.monotonic() - before >= 0.7


def test_share_of_the_requests_is_spread_evenly(cluster: Cluster, faults: RemoteFaults) -> None:
    faults.set({"fault": "refuse", "code": 500, "percent": 50, "resources": ["secrets"]})
    assert [cluster.run("get", "secrets").returncode for _ in range(4)] == [0, 1, 0, 1]


def test_kubectl_wait_goes_on_after_its_watch_was_cut(cluster: Cluster, faults: RemoteFaults) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=config_map(a="1"))
    faults.set({"fault": "cut-watch", "times": 2, "seconds": 0.1, "namespaces": [cluster.namespace]})
    waiting = cluster.start("wait", "--for=jsonpath={.data.a}=2", "configmap/one", "--timeout=60s")
    until(lambda: faults.struck() == [2], "two watches were cut")
    cluster.kubectl("apply", "-f", "-", stdin=config_map(a="2"))
    said, complaint = waiting.communicate(timeout=70)
    assert (said, waiting.returncode) == ("configmap/one condition met\n", 0), complaint


def test_silent_watch_stays_open_and_tells_nothing(cluster: Cluster, faults: RemoteFaults) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=config_map(a="1"))
    faults.set({"fault": "silence-watch", "times": 1, "resources": ["configmaps"], "namespaces": [cluster.namespace]})
    deaf = cluster.start("get", "configmap", "one", "-w", "-o", "name")
    until(lambda: faults.struck() == [1], "the first watch fell silent")
    hearing = cluster.start("get", "configmap", "one", "-w", "-o", "name")
    assert hearing.stdout is not None
    assert hearing.stdout.readline() == "configmap/one\n"
    cluster.kubectl("apply", "-f", "-", stdin=config_map(a="2"))
    assert hearing.stdout.readline() == "configmap/one\n"
    assert deaf.poll() is None
    for process in (deaf, hearing):
        process.terminate()
    assert deaf.communicate(timeout=70)[0] == "configmap/one\n"
    hearing.communicate(timeout=70)


def test_kopf_calls_each_handler_once_on_a_bad_day(
    cluster: Cluster, faults: RemoteFaults, tmp_path: Path, group: str
) -> None:
    here = {"namespaces": [cluster.namespace]}
    resource = f"widgets.{group}"
    operator = Operator(cluster, tmp_path, group)
    try:
        operator.until(lambda: "Initial authentication has finished" in operator.log)
        faults.set(
            {"fault": "refuse", "code": 429, "seconds": 1, "times": 2, "verbs": ["patch"], "resources": [resource]},
            {"fault": "refuse", "code": 500, "times": 1, "verbs": ["patch"], "resources": [resource]},
            {"fault": "cut-watch", "seconds": 0.2, "times": 4, "resources": [resource], **here},
            {"fault": "latency", "seconds": 0.05, **here},
        )
        cluster.kubectl("apply", "-f", "-", stdin=widgets.widget(group))
        operator.until(lambda: "create one 3 auto" in operator.told and "daemon one" in operator.told)
        operator.until(lambda: faults.struck()[0] == 2 and faults.struck()[2] == 4)
        faults.clear()
        cluster.kubectl("patch", widgets.short(group), "one", "--type=merge", "-p", '{"spec": {"size": 7}}')
        operator.until(lambda: "update one 7" in operator.told)
        cluster.kubectl("delete", widgets.short(group), "one", "--timeout=60s")
        for line in ("create one 3 auto", "update one 7", "delete one", "daemon-end one"):
            assert operator.told.count(line) == 1, operator.log
    finally:
        operator.process.terminate()
        operator.process.wait(60)


def test_killed_container_starts_again(cluster: Cluster, faults: RemoteFaults) -> None:
    container = {"name": "c", "image": "busybox:1", "command": ["sleep", "600"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    cluster.kubectl(
        "apply", "-f", "-", stdin={"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    )
    cluster.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=60s")
    faults.kill(cluster.namespace, "p", "c")
    status = "{.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].lastState.terminated.exitCode}"
    until(lambda: cluster.kubectl("get", "pod", "p", "-o", f"jsonpath={status}") == "1 137", "it started again")
    with pytest.raises(ValueError, match="other/c does not run here"):
        faults.kill(cluster.namespace, "other", "c")


def test_stale_reads_show_the_past_to_kubectl_while_writes_go_on(cluster: Cluster, faults: RemoteFaults) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=config_map(a="1"))
    faults.set({"fault": "stale-read", "resources": ["configmaps"], "namespaces": [cluster.namespace]})
    cluster.kubectl("patch", "configmap", "one", "-p", '{"data": {"a": "2"}}')
    cluster.kubectl("create", "configmap", "two")
    value = ("get", "configmap", "one", "-o", "jsonpath={.data.a}")
    assert cluster.kubectl(*value) == "1"
    assert "configmap/two" not in cluster.kubectl("get", "configmaps", "-o", "name").split()
    assert "NotFound" in cluster.run("get", "configmap", "two").stderr
    faults.clear()
    assert cluster.kubectl(*value) == "2"


def test_update_of_what_was_read_stale_is_a_conflict(cluster: Cluster, faults: RemoteFaults) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=config_map(a="1"))
    faults.set({"fault": "stale-read", "resources": ["configmaps"]})
    cluster.kubectl("patch", "configmap", "one", "-p", '{"data": {"a": "2"}}')
    read = cluster.kubectl("get", "configmap", "one", "-o", "json")
    assert "the object has been modified" in cluster.run("replace", "-f", "-", stdin=read).stderr


def test_stale_reads_end_after_their_time(cluster: Cluster, faults: RemoteFaults) -> None:
    faults.set({"fault": "stale-read", "seconds": 1.5, "resources": ["configmaps"]})
    cluster.kubectl("create", "configmap", "late")
    until(lambda: cluster.run("get", "configmap", "late").returncode == 0, "the present is read again")


def test_informer_catches_up_with_what_a_stale_list_did_not_show(
    cluster: Cluster, faults: RemoteFaults, api: Any
) -> None:
    core = client.CoreV1Api(api)
    core.create_namespaced_secret(cluster.namespace, {"metadata": {"name": "old"}})
    faults.set({"fault": "stale-read", "resources": ["secrets"], "verbs": ["list"]})
    core.create_namespaced_secret(cluster.namespace, {"metadata": {"name": "new"}})
    core.delete_namespaced_secret("old", cluster.namespace)
    told: list[tuple[str, str]] = []
    watching = informer.SharedInformer(core.list_namespaced_secret, cluster.namespace)
    for kind in (informer.ADDED, informer.DELETED):
        watching.add_event_handler(kind, lambda obj, kind=kind: told.append((kind, obj.metadata.name)))
    watching.start()
    try:
        until(lambda: told == [("ADDED", "old"), ("ADDED", "new"), ("DELETED", "old")], "the informer caught up")
        assert [one.metadata.name for one in watching.cache.list()] == ["new"]
    finally:
        core.create_namespaced_secret(cluster.namespace, {"metadata": {"name": "last"}})  # wakes its watch
        watching.stop()


def test_clock_of_the_server_is_ahead(cluster: Cluster, faults: RemoteFaults, devplane: ControlPlane) -> None:
    before = datetime.now(UTC)
    faults.set({"fault": "clock-skew", "seconds": 3600})
    cluster.kubectl("create", "configmap", "late")
    made = cluster.kubectl("get", "configmap", "late", "-o", "jsonpath={.metadata.creationTimestamp}")
    assert datetime.fromisoformat(made) >= (before + timedelta(seconds=3599)).replace(microsecond=0)
    shown = cluster.run("get", "--raw", "/version", "-v=8").stderr
    told = re.search(r"[Dd]ate: (.*GMT)", shown)
    assert told is not None
    assert parsedate_to_datetime(told[1]) >= before + timedelta(seconds=3598)
    faults.clear()
    assert cluster.kubectl("get", "configmap", "late", "--no-headers").split()[-1] == "<invalid>"


def test_token_that_is_valid_here_is_too_old_for_a_server_whose_clock_is_ahead(
    cluster: Cluster, faults: RemoteFaults
) -> None:
    token = cluster.kubectl("create", "token", "default", "--duration=10m").strip()
    server = cluster.kubectl("config", "view", "--raw", "-o", "jsonpath={.clusters[0].cluster.server}")
    nobody = ("--kubeconfig=/dev/null", f"--server={server}", "--insecure-skip-tls-verify", f"--token={token}")
    asked = ("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    assert cluster.kubectl(*nobody, *asked) == f"system:serviceaccount:{cluster.namespace}:default"
    faults.set({"fault": "clock-skew", "seconds": 3600})
    assert "You must be logged in" in cluster.run(*nobody, *asked).stderr
    faults.clear()
    cluster.kubectl(*nobody, *asked)


def test_lease_of_a_node_is_renewed_by_the_shifted_clock(cluster: Cluster, faults: RemoteFaults) -> None:
    renewed = ("get", "lease", "-n", "kube-node-lease", "-o", "jsonpath={.items[0].spec.renewTime}")
    faults.set({"fault": "clock-skew", "seconds": -86400})
    yesterday = datetime.now(UTC) - timedelta(hours=23)
    until(lambda: datetime.fromisoformat(cluster.kubectl(*renewed)) < yesterday, "it was renewed")


def test_full_disk_refuses_what_needs_room_in_the_words_of_etcd(cluster: Cluster, faults: RemoteFaults) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=config_map(a="1"))
    faults.set({"fault": "full-disk", "namespaces": [cluster.namespace]})
    refused = cluster.run("create", "configmap", "two")
    assert refused.stderr.strip().endswith("etcdserver: mvcc: database space exceeded")
    assert "database space exceeded" in cluster.run("patch", "cm", "one", "-p", '{"data": {"a": "2"}}').stderr
    assert cluster.kubectl("get", "cm", "one", "-o", "jsonpath={.data.a}") == "1"
    cluster.kubectl("delete", "cm", "one", "--timeout=60s")
    faults.clear()
    cluster.kubectl("create", "configmap", "two")


def test_kopf_goes_on_after_the_disk_was_full(
    cluster: Cluster, faults: RemoteFaults, tmp_path: Path, group: str
) -> None:
    resource = f"widgets.{group}"
    operator = Operator(cluster, tmp_path, group)
    try:
        operator.until(lambda: "Initial authentication has finished" in operator.log)
        faults.set({"fault": "full-disk", "verbs": ["patch"], "resources": [resource], "times": 3})
        cluster.kubectl("create", "-f", "-", stdin=widgets.widget(group))
        operator.until(lambda: "create one 3 auto" in operator.told and faults.struck() == [3])
        cluster.kubectl("delete", widgets.short(group), "one", "--timeout=60s")
        assert operator.told.count("delete one") == 1
    finally:
        operator.process.terminate()
        operator.process.wait(60)


@pytest.fixture
def small_claim(cluster: Cluster, devplane: ControlPlane) -> Iterator[str]:
    """A claim whose directory is a file system of 64 KiB, as docs/devplane.md tells how; this takes root."""
    at_once = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "devplane/local-path"}
    cluster.kubectl("apply", "-f", "-", stdin={**at_once, "metadata": {"name": "at-once"}})
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "64Ki"}}}
    spec |= {"storageClassName": "at-once"}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "small"}, "spec": spec}
    cluster.kubectl("apply", "-f", "-", stdin=claim)
    cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Bound", "pvc/small", "--timeout=60s")
    volume = cluster.kubectl("get", "pvc", "small", "-o", "jsonpath={.spec.volumeName}")
    place = cluster.kubectl("get", "pv", volume, "-o", "jsonpath={.spec.hostPath.path}")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a file system")
    yield "small"
    cluster.kubectl("delete", "pod", "p", "--timeout=60s")
    subprocess.run(["umount", place], check=True)


def test_pod_meets_a_full_volume(cluster: Cluster, faults: RemoteFaults, small_claim: str) -> None:
    script = "head -c 32k /dev/zero > /data/fits && head -c 64k /dev/zero > /data/more"
    mounts = [{"name": "data", "mountPath": "/data"}]
    container = {"name": "c", "image": "busybox:1.36", "command": ["sh", "-c", script], "volumeMounts": mounts}
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": small_claim}}]
    spec = {"restartPolicy": "Never", "containers": [container], "volumes": volumes}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    cluster.kubectl("apply", "-f", "-", stdin=pod)
    cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "pod/p", "--timeout=60s")
    assert "No space left on device" in cluster.kubectl("logs", "p")
