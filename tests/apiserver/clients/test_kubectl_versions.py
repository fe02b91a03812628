"""What kubectl of each supported version does every day: its three generations send different requests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apiserver.clients import widgets
from apiserver.clients.citing import docs
from apiserver.clients.waiting import until
from apiserver.conftest import KUBECTL, Cluster

Obj = dict[str, Any]

TOOLS = Path(__file__).parents[3] / ".tools" / "bin"
GENERATED = "reference/kubectl/generated/"


@pytest.fixture(params=["1.33", "1.35", "1.37"])
def kube(request: pytest.FixtureRequest, cluster: Cluster) -> Cluster:
    """kubectl of a version, in a namespace."""
    version = request.param
    found = KUBECTL if version == "1.37" else TOOLS / f"kubectl-{version}"
    program = str(found) if found.exists() else shutil.which(f"kubectl-{version}")
    if program is None:
        pytest.skip(f"no kubectl {version}: tools/setup.py --tests unpacks it on x86_64")
    return replace(cluster, program=program)


@pytest.fixture
def widget(kube: Cluster) -> Iterator[str]:
    """The group of a CRD with one object, both of which this kubectl applied."""
    group = widgets.group()
    kube.kubectl("apply", "-f", "-", stdin=widgets.definition(group))
    kube.kubectl("wait", "--for=condition=Established", f"crd/widgets.{group}", "--timeout=60s")
    kube.kubectl("apply", "-f", "-", stdin=widgets.widget(group))
    yield group
    kube.kubectl("delete", "crd", f"widgets.{group}", "--timeout=60s")


def config_map(**data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": data}


def deployment(image: str = "none.example/x:1", replicas: int = 0) -> Obj:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


@docs(f"{GENERATED}kubectl_apply/")
def test_apply_creates_changes_and_finds_nothing_to_do(kube: Cluster) -> None:
    told = [kube.kubectl("apply", "-f", "-", stdin=config_map(a=value)).split()[-1] for value in ("1", "2", "2")]
    assert told == ["created", "configured", "unchanged"]


@docs("reference/using-api/server-side-apply/#comparison-with-client-side-apply", f"{GENERATED}kubectl_apply/")
def test_what_was_applied_by_the_client_is_taken_over_by_the_server(kube: Cluster) -> None:
    kube.kubectl("apply", "-f", "-", stdin=deployment())
    kube.kubectl("apply", "--server-side", "-f", "-", stdin=deployment("none.example/x:2"))
    found = json.loads(kube.kubectl("get", "deploy", "web", "-o", "json", "--show-managed-fields"))
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "none.example/x:2"
    managers = {(one["manager"], one["operation"]) for one in found["metadata"]["managedFields"]}
    assert ("kubectl", "Apply") in managers
    assert ("kubectl-client-side-apply", "Update") not in managers


@docs(f"{GENERATED}kubectl_diff/")
def test_diff_shows_the_change_of_a_built_in_kind(kube: Cluster) -> None:
    kube.kubectl("apply", "-f", "-", stdin=deployment())
    shown = kube.run("diff", "-f", "-", stdin=deployment("none.example/x:2"))
    assert (shown.returncode, "+      - image: none.example/x:2" in shown.stdout) == (1, True)


@docs(f"{GENERATED}kubectl_create/", "reference/using-api/api-concepts/#protobuf-encoding-idl")
def test_typed_commands_create(kube: Cluster) -> None:
    kube.kubectl("create", "secret", "generic", "s", "--from-literal=a=1")
    kube.kubectl("create", "configmap", "c", "--from-literal=a=1")
    kube.kubectl("create", "job", "j", "--image=busybox:1", "--", "true")
    kube.kubectl("create", "role", "r", "--verb=get", "--resource=pods")
    names = kube.kubectl("get", "secret/s", "configmap/c", "job/j", "role/r", "-o", "name").split()
    assert names == ["secret/s", "configmap/c", "job.batch/j", "role.rbac.authorization.k8s.io/r"]


TYPED: list[tuple[str, str, Obj]] = [
    (
        "create pdb one --selector=app=web --min-available=0",
        "pdb/one",
        {"minAvailable": 0, "selector": {"matchLabels": {"app": "web"}}},
    ),
    (
        "create quota one --hard=pods=2 --scopes=BestEffort",
        "quota/one",
        {"hard": {"pods": "2"}, "scopes": ["BestEffort"]},
    ),
    (
        "autoscale deployment web --min=2 --max=5",
        "hpa/web",
        {
            "minReplicas": 2,
            "maxReplicas": 5,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        },
    ),
    (
        "create ingress one --class=own --rule=a.example/x*=web:80,tls=crt --default-backend=web:http",
        "ingress/one",
        {
            "ingressClassName": "own",
            "rules": [
                {
                    "host": "a.example",
                    "http": {
                        "paths": [
                            {
                                "path": "/x",
                                "pathType": "Prefix",
                                "backend": {"service": {"name": "web", "port": {"number": 80}}},
                            }
                        ]
                    },
                }
            ],
            "tls": [{"hosts": ["a.example"], "secretName": "crt"}],
            "defaultBackend": {"service": {"name": "web", "port": {"name": "http"}}},
        },
    ),
]


@docs(f"{GENERATED}kubectl_create/", f"{GENERATED}kubectl_autoscale/")
def test_typed_commands_say_all_that_they_were_given(kube: Cluster) -> None:
    kube.kubectl("apply", "-f", "-", stdin=deployment())
    for command, made, wanted in TYPED:
        kube.kubectl(*command.split())
        spec = json.loads(kube.kubectl("get", made, "-o", "json"))["spec"]
        assert {name: spec.get(name) for name in wanted} == wanted


@docs(f"{GENERATED}kubectl_wait/")
def test_wait_for_a_condition_a_value_and_a_deletion(kube: Cluster, widget: str) -> None:
    ready = json.dumps({"status": {"phase": "Up", "conditions": [{"type": "Ready", "status": "True"}]}})
    waits = [
        kube.start("wait", f"--for={what}", f"{widgets.short(widget)}/one", "--timeout=60s")
        for what in ("condition=Ready", "jsonpath={.status.phase}=Up")
    ]
    kube.kubectl("patch", widgets.short(widget), "one", "--subresource=status", "--type=merge", "-p", ready)
    for waiting in waits:
        out, err = waiting.communicate(timeout=70)
        assert "condition met" in out, err
    gone = kube.start("wait", "--for=delete", f"{widgets.short(widget)}/one", "--timeout=60s")
    kube.kubectl("delete", widgets.short(widget), "one", "--timeout=60s")
    gone.communicate(timeout=70)
    assert gone.returncode == 0


@docs(f"{GENERATED}kubectl_get/", "reference/using-api/api-concepts/#receiving-resources-as-tables")
def test_get_prints_tables_objects_and_paths(kube: Cluster, widget: str) -> None:
    assert kube.kubectl("get", widgets.short(widget)).split()[:3] == ["NAME", "SIZE", "READY"]
    assert json.loads(kube.kubectl("get", widgets.short(widget), "one", "-o", "json"))["spec"] == {
        "size": 3,
        "mode": "auto",
    }
    assert kube.kubectl("get", widgets.short(widget), "-o", "jsonpath={.items[*].spec.size}") == "3"
    assert (
        kube.kubectl("get", widgets.short(widget), "-o", "custom-columns=N:.metadata.name", "--no-headers").strip()
        == "one"
    )
    assert (
        kube.kubectl("get", widgets.short(widget), "--sort-by=.spec.size", "-o", "name").strip()
        == f"widget.{widget}/one"
    )


@docs(f"{GENERATED}kubectl_get/")
def test_get_watches_while_another_changes(kube: Cluster, widget: str) -> None:
    watching = kube.start("get", widgets.short(widget), "-w", "-o", "jsonpath={.spec.size}{'\\n'}")
    assert watching.stdout is not None
    assert watching.stdout.readline() == "3\n"
    kube.kubectl("patch", widgets.short(widget), "one", "--type=merge", "-p", '{"spec": {"size": 5}}')
    assert watching.stdout.readline() == "5\n"
    watching.terminate()
    watching.communicate(timeout=70)


@docs(f"{GENERATED}kubectl_apply/")
def test_an_object_without_its_crd_is_told_what_it_lacks(kube: Cluster) -> None:
    refused = kube.run("apply", "-f", "-", stdin=widgets.widget(widgets.group()))
    assert 'no matches for kind "Widget" in version "' in refused.stderr
    assert "ensure CRDs are installed first" in refused.stderr


@docs(f"{GENERATED}kubectl_explain/")
def test_explain_tells_of_fields(kube: Cluster, widget: str) -> None:
    size = f"{widgets.short(widget)}.spec.size"
    until(lambda: "How large it is." in kube.run("explain", size).stdout, "the fields are explained")
    assert "FIELD: completions <integer>" in kube.kubectl("explain", "job.spec.completions")


@docs(f"{GENERATED}kubectl_label/", f"{GENERATED}kubectl_annotate/", f"{GENERATED}kubectl_patch/")
def test_labels_annotations_and_patches(kube: Cluster) -> None:
    kube.kubectl("create", "configmap", "one")
    kube.kubectl("label", "cm", "one", "tier=front")
    refused = kube.run("label", "cm", "one", "tier=back")
    assert "--overwrite is false" in refused.stderr
    kube.kubectl("annotate", "cm", "one", "note=hello")
    kube.kubectl("patch", "cm", "one", "--type=json", "-p", '[{"op": "add", "path": "/data", "value": {"a": "1"}}]')
    found = json.loads(kube.kubectl("get", "cm", "-l", "tier=front", "-o", "json"))["items"][0]
    assert (found["data"], found["metadata"]["annotations"]["note"]) == ({"a": "1"}, "hello")


@docs(f"{GENERATED}kubectl_rollout/kubectl_rollout_status/", f"{GENERATED}kubectl_set/kubectl_set_image/")
def test_image_is_set_and_the_rollout_followed(kube: Cluster) -> None:
    kube.kubectl("apply", "-f", "-", stdin=deployment())
    kube.kubectl("set", "image", "deployment/web", "c=none.example/x:2")
    assert "successfully rolled out" in kube.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert kube.kubectl("rollout", "history", "deployment/web").count("<none>") == 2


@docs(f"{GENERATED}kubectl_scale/")
def test_scale_holds_its_precondition(kube: Cluster) -> None:
    kube.kubectl("apply", "-f", "-", stdin=deployment())
    assert kube.run("scale", "deployment/web", "--current-replicas=5", "--replicas=0").returncode == 1
    kube.kubectl("scale", "deployment/web", "--current-replicas=0", "--replicas=0")


@docs("reference/using-api/server-side-apply/#field-management")
def test_scale_owns_the_replicas_through_its_subresource(kube: Cluster) -> None:
    kube.kubectl("apply", "-f", "-", stdin=deployment())
    kube.kubectl("scale", "deployment/web", "--replicas=1")
    found = json.loads(kube.kubectl("get", "deploy", "web", "-o", "json", "--show-managed-fields"))
    scaled = [one for one in found["metadata"]["managedFields"] if one.get("subresource") == "scale"]
    assert [one["fieldsV1"] for one in scaled] == [{"f:spec": {"f:replicas": {}}}]


@docs("concepts/containers/images/#imagepullbackoff", f"{GENERATED}kubectl_logs/")
def test_logs_of_an_image_that_is_not_there_say_that_it_is_not_pulled(kube: Cluster) -> None:
    kube.kubectl("run", "p", "--image=none.example/x:1")
    reason = "{.status.containerStatuses[0].state.waiting.reason}"
    kube.kubectl("wait", f"--for=jsonpath={reason}=ImagePullBackOff", "pod/p", "--timeout=60s")
    told = kube.run("logs", "p")
    words = ("trying and failing to pull image", "image can't be pulled")
    assert any(f'container "p" in pod "p" is waiting to start: {one}' in told.stderr for one in words)


@docs(f"{GENERATED}kubectl_run/", f"{GENERATED}kubectl_logs/", "concepts/workloads/pods/pod-lifecycle/#pod-phase")
def test_pod_runs_says_something_and_is_deleted(kube: Cluster) -> None:
    kube.kubectl("run", "p", "--image=busybox:1.36", "--restart=Never", "--command", "--", "sh", "-c", "echo hello")
    kube.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/p", "--timeout=60s", seconds=70)
    assert kube.kubectl("logs", "p") == "hello\n"
    assert kube.kubectl("get", "pods", "--no-headers").split()[:3] == ["p", "0/1", "Completed"]
    kube.kubectl("delete", "pod", "p", "--timeout=40s", seconds=45)


@docs(f"{GENERATED}kubectl_describe/")
def test_describe_tells_of_an_object_and_what_is_not_there(kube: Cluster, widget: str) -> None:
    described = kube.kubectl("describe", widgets.short(widget), "one")
    assert "Kind:         Widget" in described
    assert "widgets." in kube.run("describe", widgets.short(widget), "none").stderr


@docs(f"{GENERATED}kubectl_replace/", "reference/using-api/api-concepts/#resource-versions")
def test_replace_with_a_stale_version_is_refused(kube: Cluster) -> None:
    kube.kubectl("create", "configmap", "one", "--from-literal=a=1")
    stale = kube.kubectl("get", "cm", "one", "-o", "json")
    kube.kubectl("patch", "cm", "one", "-p", '{"data": {"a": "2"}}')
    refused = kube.run("replace", "-f", "-", stdin=stale)
    assert "the object has been modified" in refused.stderr


@docs(f"{GENERATED}kubectl_auth/kubectl_auth_can-i/", f"{GENERATED}kubectl_auth/kubectl_auth_whoami/")
def test_rights_and_identity_are_told(kube: Cluster) -> None:
    stranger = f"--as=system:serviceaccount:{kube.namespace}:default"
    assert kube.kubectl("auth", "can-i", "create", "pods").strip() == "yes"
    assert kube.run("auth", "can-i", "create", "pods", stranger).stdout.strip() == "no"
    who = json.loads(kube.kubectl("auth", "whoami", stranger, "-o", "json"))
    assert who["status"]["userInfo"]["username"] == f"system:serviceaccount:{kube.namespace}:default"


@docs(f"{GENERATED}kubectl_delete/", "concepts/architecture/garbage-collection/#cascading-deletion")
def test_delete_cascades_or_leaves_orphans(kube: Cluster) -> None:
    kube.kubectl("apply", "-f", "-", stdin=deployment())
    kube.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    kube.kubectl("delete", "deployment", "web", "--cascade=orphan", "--timeout=60s")
    (left,) = kube.kubectl("get", "replicasets", "-o", "name").split()
    assert "ownerReferences" not in json.loads(kube.kubectl("get", left, "-o", "json"))["metadata"]
    kube.kubectl("delete", left, "--timeout=60s")
