"""Helm 4's life of a release: install, upgrade, rollback, test, uninstall, with hooks and `--wait`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apiserver.clients import widgets
from apiserver.clients.citing import docs
from apiserver.conftest import Cluster

Obj = dict[str, Any]

BINARY = Path(__file__).parents[3] / ".tools" / "bin" / "helm"
APPLY = "reference/using-api/server-side-apply/"

CHART = "apiVersion: v2\nname: story\nversion: 0.1.0\n"
VALUES = "note: hello\nreplicas: 0\ncommand: 'true'\nmore: false\n"
CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {note: {{ .Values.note | quote }}, revision: {{ .Release.Revision | quote }}}
{{- if .Values.more }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-more}
{{- end }}
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: c
        image: "busybox:1.36"
        command: [sh, -c, {{ .Values.main | default "sleep 600" | quote }}]
        readinessProbe: {periodSeconds: 1, exec: {command: [sh, -c, {{ .Values.probe | default "exit 0" | quote }}]}}
"""
HOOK = """
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-hook
  annotations:
    helm.sh/hook: %s
    helm.sh/hook-delete-policy: %s
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: c, image: "busybox:1.36", command: [sh, -c, {{ .Values.command | quote }}]}]
"""
TEST = """
apiVersion: v1
kind: Pod
metadata: {name: {{ .Release.Name }}-test, annotations: {helm.sh/hook: test}}
spec:
  restartPolicy: Never
  containers: [{name: c, image: "busybox:1.36", command: [sh, -c, {{ .Values.command | quote }}]}]
"""


class Helm:
    """helm in a namespace, with a chart that a test puts together."""

    def __init__(self, cluster: Cluster, folder: Path, program: str) -> None:
        self.cluster, self.chart, self._program = cluster, folder / "story", program
        homes = {f"HELM_{name}_HOME": str(folder / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        self._env = {**os.environ, **homes, "KUBECONFIG": str(cluster.kubeconfig)}
        self.write("Chart.yaml", CHART)
        self.write("values.yaml", VALUES)
        self.write("templates/config.yaml", CONFIG)

    def write(self, name: str, text: str) -> None:
        path = self.chart / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [self._program, "--namespace", self.cluster.namespace, *words]
        return subprocess.run(command, env=self._env, capture_output=True, text=True, check=False, timeout=120)

    def ok(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, f"helm {' '.join(words)}: {done.stderr}{done.stdout}"
        return done.stdout

    def install(self, *words: str) -> str:
        return self.ok("install", "r", str(self.chart), *words)

    def upgrade(self, *words: str) -> str:
        return self.ok("upgrade", "r", str(self.chart), *words)

    def history(self) -> list[tuple[int, str]]:
        found = json.loads(self.ok("history", "r", "-o", "json"))
        return [(one["revision"], one["status"]) for one in found]

    def note(self) -> str:
        return self.cluster.kubectl("get", "cm", "r", "-o", "jsonpath={.data.note}")


@pytest.fixture
def helm(cluster: Cluster, tmp_path: Path) -> Helm:
    program = str(BINARY) if BINARY.exists() else shutil.which("helm")
    if program is None:
        pytest.skip("no helm: tools/setup.py --tests unpacks it on x86_64")
    return Helm(cluster, tmp_path, program)


@docs("concepts/configuration/secret/#secret-types", APPLY)
def test_install_keeps_the_release_in_a_secret(helm: Helm) -> None:
    helm.install()
    assert helm.note() == "hello"
    secret = json.loads(helm.cluster.kubectl("get", "secret", "sh.helm.release.v1.r.v1", "-o", "json"))
    assert (secret["type"], secret["metadata"]["labels"]["status"]) == ("helm.sh/release.v1", "deployed")


@docs(f"{APPLY}#field-management")
def test_upgrade_changes_adds_and_removes(helm: Helm) -> None:
    helm.install("--set", "more=true")
    helm.upgrade("--set", "note=changed")
    assert helm.note() == "changed"
    assert "NotFound" in helm.cluster.run("get", "cm", "r-more").stderr
    assert helm.history() == [(1, "superseded"), (2, "deployed")]


@docs(f"{APPLY}#field-management")
def test_rollback_brings_back_what_was(helm: Helm) -> None:
    helm.install("--set", "more=true")
    helm.upgrade("--set", "note=changed")
    helm.ok("rollback", "r", "1")
    assert helm.note() == "hello"
    helm.cluster.kubectl("get", "cm", "r-more")
    assert helm.history()[-1] == (3, "deployed")


@docs("concepts/architecture/garbage-collection/#cascading-deletion")
def test_uninstall_takes_everything_away(helm: Helm) -> None:
    everything = ("get", "cm,deploy,secret", "-o", "name")
    helm.cluster.kubectl("wait", "--for=create", "configmap/kube-root-ca.crt", "--timeout=60s")
    before = helm.cluster.kubectl(*everything)
    helm.write("templates/deployment.yaml", DEPLOYMENT)
    helm.install()
    helm.ok("uninstall", "r", "--wait")
    assert helm.cluster.kubectl(*everything) == before


@docs("concepts/workloads/controllers/deployment/#deployment-status")
def test_wait_returns_when_the_pods_are_ready(helm: Helm) -> None:
    helm.write("templates/deployment.yaml", DEPLOYMENT)
    helm.install("--set", "replicas=1", "--wait", "--timeout", "60s")
    assert helm.cluster.kubectl("get", "deploy", "r", "-o", "jsonpath={.status.readyReplicas}") == "1"


@docs("concepts/workloads/controllers/deployment/#failed-deployment")
def test_wait_gives_up_on_pods_that_never_are(helm: Helm) -> None:
    helm.write("templates/deployment.yaml", DEPLOYMENT)
    failed = helm.run("install", "r", str(helm.chart), "--set", "replicas=1,probe=exit 1", "--wait", "--timeout", "3s")
    assert failed.returncode != 0
    assert helm.history() == [(1, "failed")]


@docs("concepts/workloads/controllers/deployment/#failed-deployment")
def test_failed_upgrade_is_rolled_back_on_request(helm: Helm) -> None:
    helm.write("templates/deployment.yaml", DEPLOYMENT)
    helm.install("--set", "note=good")
    failing = ("--set", "replicas=1,probe=exit 1", "--wait", "--timeout", "3s", "--rollback-on-failure")
    assert helm.run("upgrade", "r", str(helm.chart), *failing).returncode != 0
    assert helm.note() == "good"
    assert helm.history() == [(1, "superseded"), (2, "failed"), (3, "deployed")]


@docs("concepts/workloads/controllers/job/#job-termination-and-cleanup")
@pytest.mark.parametrize("hook", ["pre-install", "post-install"])
def test_hook_runs_to_its_end_and_is_deleted(helm: Helm, hook: str) -> None:
    helm.write("templates/hook.yaml", HOOK % (hook, "hook-succeeded"))
    helm.install("--timeout", "60s")
    assert "NotFound" in helm.cluster.run("get", "job", "r-hook").stderr
    assert helm.history() == [(1, "deployed")]


@docs("concepts/workloads/controllers/job/#pod-backoff-failure-policy")
def test_hook_that_fails_fails_the_release(helm: Helm) -> None:
    helm.write("templates/hook.yaml", HOOK % ("pre-install", "before-hook-creation"))
    failed = helm.run("install", "r", str(helm.chart), "--set", "command=exit 3", "--timeout", "60s")
    assert failed.returncode != 0
    assert "NotFound" in helm.cluster.run("get", "cm", "r").stderr
    assert helm.cluster.kubectl("get", "job", "r-hook", "-o", "jsonpath={.status.failed}") == "1"


@docs("concepts/workloads/controllers/job/")
def test_hooks_of_upgrade_and_deletion_run(helm: Helm) -> None:
    helm.write("templates/hook.yaml", HOOK % ("pre-upgrade,post-delete", "before-hook-creation"))
    helm.install()
    assert "NotFound" in helm.cluster.run("get", "job", "r-hook").stderr
    helm.upgrade("--timeout", "60s")
    assert helm.cluster.kubectl("get", "job", "r-hook", "-o", "jsonpath={.status.succeeded}") == "1"
    uid = helm.cluster.kubectl("get", "job", "r-hook", "-o", "jsonpath={.metadata.uid}")
    helm.ok("uninstall", "r", "--timeout", "60s")
    assert helm.cluster.kubectl("get", "job", "r-hook", "-o", "jsonpath={.metadata.uid}") != uid


@docs("concepts/workloads/pods/pod-lifecycle/#pod-phase")
@pytest.mark.parametrize(("command", "code"), [("echo tested", 0), ("exit 1", 1)])
def test_test_pod_decides(helm: Helm, command: str, code: int) -> None:
    helm.write("templates/test.yaml", TEST)
    helm.install("--set", f"command={command}")
    tested = helm.run("test", "r", "--logs", "--timeout", "60s")
    assert (tested.returncode != 0) == (code != 0), tested.stderr
    assert ("tested" in tested.stdout) == (code == 0)


@pytest.fixture
def group(helm: Helm) -> Iterator[str]:
    """A group whose CRD is in the chart, with an object of it."""
    name = widgets.group()
    helm.write("crds/widgets.yaml", json.dumps(widgets.definition(name)))
    helm.write("templates/widget.yaml", json.dumps(widgets.widget(name)))
    yield name
    helm.cluster.kubectl("delete", "crd", f"widgets.{name}", "--timeout=60s")


@docs("tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#create-a-customresourcedefinition")
def test_crds_of_a_chart_come_first_and_stay(helm: Helm, group: str) -> None:
    helm.install()
    assert helm.cluster.kubectl("get", widgets.short(group), "one", "-o", "jsonpath={.spec.size}") == "3"
    helm.ok("uninstall", "r")
    assert helm.cluster.kubectl("get", widgets.short(group), "-o", "name") == ""
    helm.cluster.kubectl("get", "crd", f"widgets.{group}")


@docs(f"{APPLY}#conflicts")
def test_field_that_another_took_is_a_conflict_for_an_upgrade(helm: Helm) -> None:
    helm.install()
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "r"}, "data": {"note": "theirs"}}
    forced = ("apply", "--server-side", "--force-conflicts", "--field-manager=them", "-f", "-")
    helm.cluster.kubectl(*forced, stdin=other)
    refused = helm.run("upgrade", "r", str(helm.chart), "--set", "note=ours")
    assert refused.returncode != 0
    assert 'conflict with "them"' in refused.stderr
    helm.upgrade("--set", "note=ours", "--force-conflicts")
    assert helm.note() == "ours"


@docs("reference/using-api/api-concepts/#dry-run")
def test_dry_run_on_the_server_stores_nothing(helm: Helm) -> None:
    shown = helm.install("--dry-run=server")
    assert "note:" in shown
    assert "NotFound" in helm.cluster.run("get", "cm", "r").stderr


@docs("concepts/overview/working-with-objects/namespaces/")
def test_lookup_sees_the_cluster(helm: Helm) -> None:
    helm.cluster.kubectl("create", "configmap", "there", "--from-literal=a=found")
    text = '{{ (lookup "v1" "ConfigMap" .Release.Namespace "there").data.a }}'
    helm.write(
        "templates/seen.yaml", f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: seen}}\ndata: {{a: {text}}}\n"
    )
    helm.install()
    assert helm.cluster.kubectl("get", "cm", "seen", "-o", "jsonpath={.data.a}") == "found"


@docs("concepts/overview/working-with-objects/annotations/")
def test_object_that_no_release_owns_is_left_alone(helm: Helm) -> None:
    helm.cluster.kubectl("create", "configmap", "r")
    refused = helm.run("install", "r", str(helm.chart))
    assert refused.returncode != 0
    assert "exists and cannot be imported into the current release" in refused.stderr
    helm.install("--take-ownership", "--force-conflicts")
    assert helm.note() == "hello"


@docs("tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/")
def test_release_may_be_merged_by_the_client(helm: Helm) -> None:
    helm.write("templates/deployment.yaml", DEPLOYMENT)
    helm.install("--server-side=false")
    helm.upgrade("--server-side=false", "--set", "note=changed,main=sleep 5")
    assert helm.note() == "changed"
    path = "jsonpath={.spec.template.spec.containers[0].command[2]}"
    assert helm.cluster.kubectl("get", "deploy", "r", "-o", path) == "sleep 5"


@docs("reference/using-api/api-concepts/#receiving-resources-as-tables")
def test_status_and_list_tell_of_the_release(helm: Helm) -> None:
    helm.install()
    assert [one["name"] for one in json.loads(helm.ok("list", "-o", "json"))] == ["r"]
    assert json.loads(helm.ok("status", "r", "-o", "json"))["info"]["status"] == "deployed"
    assert json.loads(helm.ok("get", "values", "r", "--all", "-o", "json"))["note"] == "hello"
