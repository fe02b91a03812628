"""Real clients on a bad day: devplane's faults on demand, and that kubectl and kopf live through them."""

from __future__ import annotations

import json
import os
import ssl
import time
import urllib.error
import urllib.request
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from apiserver.clients import widgets
from apiserver.clients.test_kopf import Operator
from apiserver.conftest import Cluster
from fakes.processes import until

pytestmark = pytest.mark.skipif("TUNEBIRD_TEST_KUBECONFIG" in os.environ, reason="faults are devplane's own")

Obj = dict[str, Any]


class FaultyDay:
    """The endpoint of a running devplane. `rules` are in force until the next call."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self._server = cluster["server"]
        authority = b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=authority)
        self.admin_token = config["users"][0]["user"]["token"]
        self.token = (kubeconfig.parent / "faults.token").read_text()

    def ask(self, method: str, what: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._server}/devplane/{what}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10, context=self._tls) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def rules(self, *rules: Obj) -> None:
        code, answer = self.ask("PUT", "faults", {"faults": rules})
        assert code == 200, answer

    def struck(self) -> list[int]:
        return [one["struck"] for one in self.ask("GET", "faults")[1]["faults"]]


@pytest.fixture
def day(kubeconfig: Path) -> Iterator[FaultyDay]:
    found = FaultyDay(kubeconfig)
    yield found
    found.ask("DELETE", "faults")


@pytest.fixture
def group(cluster: Cluster) -> Iterator[str]:
    name = widgets.group()
    cluster.kubectl("apply", "-f", "-", stdin=widgets.definition(name))
    cluster.kubectl("wait", "--for=condition=Established", f"crd/widgets.{name}", "--timeout=10s")
    yield name
    cluster.kubectl("delete", "crd", f"widgets.{name}", "--timeout=30s")


def config_map(**data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": data}


@pytest.mark.parametrize("token", ["", "wrong", "admin"])
def test_only_its_own_token_opens_the_endpoint(day: FaultyDay, token: str) -> None:
    given = day.admin_token if token == "admin" else token
    assert day.ask("PUT", "faults", {"faults": [{"fault": "refuse"}]}, given)[0] == 401
    assert day.ask("GET", "faults") == (200, {"faults": []})


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"fault": "flood"}, "fault: 'flood' is not one of latency, refuse, cut-watch, silence-watch"),
        ({"fault": "refuse", "code": 418}, "code: 418 is not one of 409, 429, 500, 503"),
        ({"fault": "refuse", "percent": 101}, "percent: 101 is not a number from 0 to 100"),
        ({"fault": "latency", "delay": 1}, "delay: unknown field"),
    ],
)
def test_rule_that_can_not_be_meant_is_refused(day: FaultyDay, rule: Obj, said: str) -> None:
    code, answer = day.ask("PUT", "faults", {"faults": [rule]})
    assert code == 400
    assert said in answer["message"]


def test_kubectl_waits_as_long_as_a_429_says(cluster: Cluster, day: FaultyDay) -> None:
    day.rules(
        {"fault": "refuse", "code": 429, "seconds": 1, "times": 2, "resources": ["configmaps"], "verbs": ["list"]}
    )
    before = time.monotonic()
    cluster.kubectl("get", "configmaps")
    assert time.monotonic() - before >= 2
    assert day.struck() == [2]


def test_kubectl_apply_tries_again_after_conflicts(cluster: Cluster, day: FaultyDay) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=config_map(a="1"))
    day.rules({"fault": "refuse", "code": 409, "times": 2, "verbs": ["patch"], "resources": ["configmaps"]})
    assert "configured" in cluster.kubectl("apply", "-f", "-", stdin=config_map(a="2"))
    assert day.struck() == [2]


def test_nothing_is_done_by_a_refused_request(cluster: Cluster, day: FaultyDay) -> None:
    day.rules({"fault": "refuse", "code": 500, "verbs": ["create"], "namespaces": [cluster.namespace]})
    done = cluster.run("create", "configmap", "lost")
    assert "Internal error occurred: fault on demand" in done.stderr
    day.rules()
    assert "NotFound" in cluster.run("get", "configmap", "lost").stderr


def test_slow_answers_come_late(cluster: Cluster, day: FaultyDay) -> None:
    day.rules({"fault": "latency", "seconds": 0.7, "resources": ["secrets"]})
    before = time.monotonic()
    cluster.kubectl("get", "secrets")
    assert time.monotonic() - before >= 0.7


def test_share_of_the_requests_is_spread_evenly(cluster: Cluster, day: FaultyDay) -> None:
    day.rules({"fault": "refuse", "percent": 50, "resources": ["secrets"]})
    assert [cluster.run("get", "secrets").returncode for _ in range(4)] == [0, 1, 0, 1]


def test_kubectl_wait_goes_on_after_its_watch_was_cut(cluster: Cluster, day: FaultyDay) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=config_map(a="1"))
    day.rules({"fault": "cut-watch", "times": 2, "seconds": 0.1, "namespaces": [cluster.namespace]})
    waiting = cluster.start("wait", "--for=jsonpath={.data.a}=2", "configmap/one", "--timeout=25s")
    until(lambda: day.struck() == [2], "two watches were cut")
    cluster.kubectl("apply", "-f", "-", stdin=config_map(a="2"))
    said, complaint = waiting.communicate(timeout=30)
    assert (said, waiting.returncode) == ("configmap/one condition met\n", 0), complaint


def test_silent_watch_stays_open_and_tells_nothing(cluster: Cluster, day: FaultyDay) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=config_map(a="1"))
    day.rules({"fault": "silence-watch", "times": 1, "resources": ["configmaps"], "namespaces": [cluster.namespace]})
    deaf = cluster.start("get", "configmap", "one", "-w", "-o", "name")
    until(lambda: day.struck() == [1], "the first watch fell silent")
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
    cluster: Cluster, day: FaultyDay, tmp_path: Path, group: str
) -> None:
    here = {"namespaces": [cluster.namespace]}
    resource = f"widgets.{group}"
    operator = Operator(cluster, tmp_path, group)
    try:
        operator.until(lambda: "Initial authentication has finished" in operator.log)
        day.rules(
            {"fault": "refuse", "code": 429, "seconds": 1, "times": 2, "verbs": ["patch"], "resources": [resource]},
            {"fault": "refuse", "code": 500, "times": 1, "verbs": ["patch"], "resources": [resource]},
            {"fault": "cut-watch", "seconds": 0.2, "times": 4, "resources": [resource], **here},
            {"fault": "latency", "seconds": 0.05, **here},
        )
        cluster.kubectl("apply", "-f", "-", stdin=widgets.widget(group))
        operator.until(lambda: "create one 3 auto" in operator.told and "daemon one" in operator.told)
        operator.until(lambda: day.struck()[0] == 2 and day.struck()[2] == 4)
        day.rules()
        cluster.kubectl("patch", "wd", "one", "--type=merge", "-p", '{"spec": {"size": 7}}')
        operator.until(lambda: "update one 7" in operator.told)
        cluster.kubectl("delete", "wd", "one", "--timeout=25s")
        for line in ("create one 3 auto", "update one 7", "delete one", "daemon-end one"):
            assert operator.told.count(line) == 1, operator.log
    finally:
        operator.process.terminate()
        operator.process.wait(20)


def test_killed_container_starts_again(cluster: Cluster, day: FaultyDay) -> None:
    container = {"name": "c", "image": "busybox:1", "command": ["sleep", "600"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    cluster.kubectl(
        "apply", "-f", "-", stdin={"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    )
    cluster.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=20s")
    where = {"namespace": cluster.namespace, "pod": "p", "container": "c"}
    assert day.ask("POST", "kill", where) == (200, {})
    status = "{.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].lastState.terminated.exitCode}"
    until(lambda: cluster.kubectl("get", "pod", "p", "-o", f"jsonpath={status}") == "1 137", "it started again")
    assert day.ask("POST", "kill", {**where, "pod": "other"})[0] == 400
