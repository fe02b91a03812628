"""Real clients on a bad day: devplane's faults on demand, and that kubectl and kopf live through them."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apiserver.clients import widgets
from apiserver.clients.test_kopf import Operator
from apiserver.conftest import Cluster
from devplane.pytest_plugin import ControlPlane
from devplane.remote import Remote, RemoteFaults
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


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"fault": "flood"}, "fault: 'flood' is not one of latency, refuse, cut-watch, silence-watch"),
        ({"fault": "refuse", "code": 418}, "code: 418 is not one of 409, 429, 500, 503"),
        ({"fault": "refuse", "percent": 101}, "percent: 101 is not a number from 0 to 100"),
        ({"fault": "latency", "delay": 1}, "delay: unknown field"),
    ],
)
def test_rule_that_can_not_be_meant_is_refused(faults: RemoteFaults, rule: Obj, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        faults.set(rule)


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
    faults.set({"fault": "refuse", "percent": 50, "resources": ["secrets"]})
    assert [cluster.run("get", "secrets").returncode for _ in range(4)] == [0, 1, 0, 1]


def test_kubectl_wait_goes_on_after_its_watch_was_cut(cluster: Cluster, faults: RemoteFaults) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=config_map(a="1"))
    faults.set({"fault": "cut-watch", "times": 2, "seconds": 0.1, "namespaces": [cluster.namespace]})
    waiting = cluster.start("wait", "--for=jsonpath={.data.a}=2", "configmap/one", "--timeout=25s")
    until(lambda: faults.struck() == [2], "two watches were cut")
    cluster.kubectl("apply", "-f", "-", stdin=config_map(a="2"))
    said, complaint = waiting.communicate(timeout=30)
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
    assert deaf.communicate(timeout=10)[0] == "configmap/one\n"
    hearing.communicate(timeout=10)


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
        cluster.kubectl("patch", "wd", "one", "--type=merge", "-p", '{"spec": {"size": 7}}')
        operator.until(lambda: "update one 7" in operator.told)
        cluster.kubectl("delete", "wd", "one", "--timeout=25s")
        for line in ("create one 3 auto", "update one 7", "delete one", "daemon-end one"):
            assert operator.told.count(line) == 1, operator.log
    finally:
        operator.process.terminate()
        operator.process.wait(20)


def test_killed_container_starts_again(cluster: Cluster, faults: RemoteFaults) -> None:
    container = {"name": "c", "image": "busybox:1", "command": ["sleep", "600"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    cluster.kubectl(
        "apply", "-f", "-", stdin={"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    )
    cluster.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=20s")
    faults.kill(cluster.namespace, "p", "c")
    status = "{.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].lastState.terminated.exitCode}"
    until(lambda: cluster.kubectl("get", "pod", "p", "-o", f"jsonpath={status}") == "1 137", "it started again")
    with pytest.raises(ValueError, match="other/c does not run here"):
        faults.kill(cluster.namespace, "other", "c")
