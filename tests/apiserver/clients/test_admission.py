"""Admission with real programs: kopf's handlers, kubectl's warnings and errors, controllers that make pods."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apiserver.clients import widgets
from apiserver.clients.citing import docs
from apiserver.clients.waiting import until
from apiserver.conftest import Cluster
from fakes.webhooks import WebhookServer, add, deny, patch, webhook_server

pytestmark = docs("reference/access-authn-authz/extensible-admission-controllers/")

Obj = dict[str, Any]

# https://docs.kopf.dev/en/stable/admission/
OPERATOR = """
import kopf

GROUP = {group!r}


@kopf.on.startup()
def configure(settings, **_):
    settings.admission.managed = {managed!r}
    settings.admission.server = kopf.WebhookServer(
        addr="127.0.0.1", host="127.0.0.1", certfile={cert!r}, pkeyfile={key!r}, cafile={cert!r}
    )


@kopf.on.validate(GROUP, "widgets", id="small")
def small(spec, warnings, dryrun, userinfo, **_):
    if spec["size"] == 7:
        warnings.append("seven is a lucky number")
    if spec["size"] > 9:
        raise kopf.AdmissionError(f"size {{spec['size']}} is above 9", code=422)


@kopf.on.mutate(GROUP, "widgets", id="capped", operations=["CREATE"])
def capped(spec, patch, **_):
    if "max" not in spec:
        patch.spec["max"] = 50
        patch.metadata.annotations["capped"] = "true"


@kopf.on.validate(GROUP, "widgets", id="kept", operations=["DELETE"])
def kept(meta, **_):
    if meta.get("labels", {{}}).get("keep"):
        raise kopf.AdmissionError("it is to be kept")


@kopf.on.create(GROUP, "widgets")
def create(spec, **_):
    print("CREATED", spec["size"], spec["max"], flush=True)
"""


@pytest.fixture
def hooks(tmp_path: Path) -> Iterator[WebhookServer]:
    if os.environ.get("TUNEBIRD_TEST_KUBECONFIG"):
        pytest.skip("a cluster elsewhere does not reach a webhook on this machine's loopback")
    with webhook_server(tmp_path) as started:
        yield started


@pytest.fixture
def managed(cluster: Cluster) -> Iterator[str]:
    """The name of configurations that go with the test."""
    name = f"{cluster.namespace}.example.com"
    yield name
    for kind in ("mutating", "validating"):
        cluster.kubectl("delete", f"{kind}webhookconfiguration", name, "--ignore-not-found")


@pytest.fixture
def operator(cluster: Cluster, tmp_path: Path, hooks: WebhookServer, group: str, managed: str) -> Iterator[Path]:
    """`kopf run` with a webhook server on loopback; gives its log."""
    script, log = tmp_path / "operator_under_test.py", tmp_path / "operator.log"
    files = {"cert": str(tmp_path / "webhook.crt"), "key": str(tmp_path / "webhook.key")}
    script.write_text(OPERATOR.format(group=group, managed=managed, **files))
    command = [sys.executable, "-m", "kopf", "run", "-n", cluster.namespace, "--standalone", str(script)]
    with log.open("w") as out:
        process = subprocess.Popen(command, env=cluster.env, stdout=out, stderr=out)
    try:
        until(lambda: "webhooks" in json.loads(_configuration(cluster, managed)), "the hooks are registered")
        yield log
    finally:
        process.terminate()
        process.wait(60)
    assert hooks


def _configuration(cluster: Cluster, name: str) -> str:
    done = cluster.run("get", "validatingwebhookconfiguration,mutatingwebhookconfiguration", "-o", "json")
    named = [one for one in json.loads(done.stdout or '{"items": []}')["items"] if one["metadata"]["name"] == name]
    ready = len(named) == 2 and all(one.get("webhooks") for one in named)
    return json.dumps(named[0] if ready else {})


def test_kopfs_admission_handlers_decide(cluster: Cluster, operator: Path, group: str) -> None:
    small = cluster.run("apply", "-f", "-", stdin=widgets.widget(group, size=7))
    assert small.returncode == 0, small.stderr
    assert "Warning: seven is a lucky number" in small.stderr
    stored = json.loads(cluster.kubectl("get", widgets.short(group), "one", "-o", "json"))
    assert (stored["spec"]["max"], stored["metadata"]["annotations"]["capped"]) == (50, "true")
    until(lambda: "CREATED 7 50" in operator.read_text(), "the handler is called")
    large = cluster.run("apply", "-f", "-", stdin=widgets.widget(group, "two", size=10))
    assert 'admission webhook "small.' in large.stderr
    assert "denied the request: size 10 is above 9" in large.stderr
    changed = cluster.run("patch", widgets.short(group), "one", "--type=merge", "-p", '{"spec": {"size": 11}}')
    assert "denied the request: size 11 is above 9" in changed.stderr
    cluster.kubectl("label", widgets.short(group), "one", "keep=yes")
    assert "denied the request: it is to be kept" in cluster.run("delete", widgets.short(group), "one").stderr
    cluster.kubectl("label", widgets.short(group), "one", "keep-")
    cluster.kubectl("delete", widgets.short(group), "one", "--timeout=60s")


def configuration(cluster: Cluster, kind: str, name: str, client: Obj, **fields: Any) -> Obj:
    selector = {"matchLabels": {"kubernetes.io/metadata.name": cluster.namespace}}
    webhook = {"name": f"hook.{name}", "clientConfig": client, "namespaceSelector": selector, "sideEffects": "None",
               "admissionReviewVersions": ["v1"], **fields}  # fmt: skip
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": f"{kind}WebhookConfiguration",
            "metadata": {"name": name}, "webhooks": [webhook]}  # fmt: skip


PODS = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}


def job(parallelism: int) -> Obj:
    container = {"name": "c", "image": "none.example/x:1"}
    spec = {"parallelism": parallelism, "completions": parallelism, "template": {
        "spec": {"restartPolicy": "Never", "containers": [container]}}}  # fmt: skip
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "work"}, "spec": spec}


# https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
def test_pods_of_controllers_are_changed_by_webhooks_too(cluster: Cluster, hooks: WebhookServer, managed: str) -> None:
    hooks.on("/m", patch(add("/metadata/labels/by", "webhook")))
    body = configuration(cluster, "Mutating", managed, hooks.client_config("/m"), rules=[PODS])
    cluster.kubectl("create", "-f", "-", stdin=body)
    cluster.kubectl("create", "-f", "-", stdin=job(3))

    def labelled() -> list[Obj]:
        found: list[Obj] = json.loads(cluster.kubectl("get", "pods", "-l", "by=webhook", "-o", "json"))["items"]
        return found

    until(lambda: len(labelled()) == 3, "three are labelled")
    assert len(json.loads(cluster.kubectl("get", "pods", "-o", "json"))["items"]) == 3
    assert {one["generateName"] for one in (pod["metadata"] for pod in labelled())} == {"work-"}
    assert hooks.requests("/m")[0]["userInfo"]["username"].startswith("system:")
    events = cluster.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}")
    assert events.split().count("FailedCreate") == 0


def test_a_refused_pod_is_an_event_of_its_job(cluster: Cluster, hooks: WebhookServer, managed: str) -> None:
    hooks.on("/v", deny("no pods today"))
    body = configuration(cluster, "Validating", managed, hooks.client_config("/v"), rules=[PODS])
    cluster.kubectl("create", "-f", "-", stdin=body)
    cluster.kubectl("create", "-f", "-", stdin=job(1))
    said = f'Error creating: admission webhook "hook.{managed}" denied the request: no pods today'
    until(lambda: said in cluster.kubectl("get", "events", "-o", "jsonpath={.items[*].message}"), said)
    direct = cluster.run("run", "p", "--image=none.example/x:1")
    denied = f'Error from server: admission webhook "hook.{managed}" denied the request: no pods today'
    assert direct.stderr.strip() == denied
    cluster.kubectl("delete", "validatingwebhookconfiguration", managed)
    until(lambda: "work-" in cluster.kubectl("get", "pods", "-o", "name"), "a pod")


# https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request (CONNECT)
def test_a_stream_into_a_pod_is_asked_about(cluster: Cluster, hooks: WebhookServer, managed: str) -> None:
    hooks.on("/v", deny("no shells"))
    rule = {**PODS, "operations": ["CONNECT"], "resources": ["pods/exec"]}
    body = configuration(cluster, "Validating", managed, hooks.client_config("/v"), rules=[rule])
    cluster.kubectl("create", "-f", "-", stdin=body)
    cluster.kubectl("run", "p", "--image=none.example/x:1")
    assert "denied the request: no shells" in cluster.run("exec", "p", "--", "sh", "-c", "true").stderr
    asked = hooks.requests("/v")[0]
    assert (asked["operation"], asked["subResource"], asked["name"]) == ("CONNECT", "exec", "p")
    assert asked["object"]["command"] == ["sh", "-c", "true"]


# https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run
def test_the_python_client_is_told_of_a_no(cluster: Cluster, hooks: WebhookServer, managed: str) -> None:
    from kubernetes import client, config

    hooks.on("/v", deny("not this one", code=403, reason="Forbidden"))
    rule = {**PODS, "resources": ["configmaps"]}
    body = configuration(cluster, "Validating", managed, hooks.client_config("/v"), rules=[rule])
    cluster.kubectl("create", "-f", "-", stdin=body)
    core = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
    with pytest.raises(client.ApiException) as refused:
        core.create_namespaced_config_map(cluster.namespace, {"metadata": {"name": "m"}}, dry_run="All")
    assert refused.value.status == 403
    assert "denied the request: not this one" in json.loads(refused.value.body)["message"]
    assert hooks.requests("/v")[0]["dryRun"] is True


# https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#getting-started-with-validating-admission-policy
def test_a_policy_says_no_as_kubectl_shows_it(cluster: Cluster) -> None:
    name = f"{cluster.namespace}.example.com"
    rule = {**PODS, "resources": ["configmaps"]}
    selector = {"matchLabels": {"kubernetes.io/metadata.name": cluster.namespace}}
    policy = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
              "metadata": {"name": name}, "spec": {"matchConstraints": {"resourceRules": [rule]},
              "validations": [{"expression": "object.metadata.name != 'bad'"}]}}  # fmt: skip
    binding = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
               "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"],
               "matchResources": {"namespaceSelector": selector}}}  # fmt: skip
    for body in (policy, binding):
        cluster.kubectl("apply", "-f", "-", stdin=body)
    try:
        until(lambda: cluster.run("create", "configmap", "bad", "--dry-run=server").returncode != 0, "refused")
        refused = cluster.run("create", "configmap", "bad").stderr
        said = f"ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: failed expression: "
        assert f"{said}object.metadata.name != 'bad'" in refused
        cluster.kubectl("create", "configmap", "good")
        rows = cluster.kubectl("get", "validatingadmissionpolicy", name).splitlines()
        assert rows[0].split() == ["NAME", "VALIDATIONS", "PARAMKIND", "AGE"]
        assert rows[1].split()[:3] == [name, "1", "<unset>"]
    finally:
        for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
            cluster.kubectl("delete", kind, name)
