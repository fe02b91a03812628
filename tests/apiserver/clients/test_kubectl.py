"""What people do with kubectl, with the real kubectl."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apiserver.clients import widgets
from apiserver.clients.citing import docs
from apiserver.clients.waiting import until
from apiserver.conftest import Cluster

Obj = dict[str, Any]

DEPLOYMENT: Obj = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "none.example/x:1", "env": [{"name": "A", "value": "1"}]}]},
        },
    },
}


def config_map(name: str = "one", **data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


@docs("tasks/manage-kubernetes-objects/declarative-config/")
def test_apply_creates_changes_and_then_finds_nothing_to_do(cluster: Cluster) -> None:
    assert "created" in cluster.kubectl("apply", "-f", "-", stdin=config_map(a="1", b="1"))
    assert "configured" in cluster.kubectl("apply", "-f", "-", stdin=config_map(a="2"))
    assert "unchanged" in cluster.kubectl("apply", "-f", "-", stdin=config_map(a="2"))
    assert json.loads(cluster.kubectl("get", "cm", "one", "-o", "json"))["data"] == {"a": "2"}


@docs("tasks/manage-kubernetes-objects/declarative-config/#how-different-types-of-fields-are-merged")
def test_apply_merges_containers_and_variables_of_a_deployment_by_name(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    cluster.kubectl("set", "env", "deployment/web", "B=2")
    cluster.kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    path = "jsonpath={.spec.template.spec.containers[0].env[*].name}"
    assert cluster.kubectl("get", "deploy", "web", "-o", path).split() == ["A", "B"]


@docs("reference/using-api/server-side-apply/#conflicts")
def test_server_side_apply_refuses_to_take_a_field_of_another_manager(cluster: Cluster) -> None:
    cluster.kubectl("apply", "--server-side", "--field-manager=first", "-f", "-", stdin=config_map(a="1"))
    refused = cluster.run("apply", "--server-side", "--field-manager=second", "-f", "-", stdin=config_map(a="2"))
    assert refused.returncode != 0
    assert 'conflict with "first": .data.a' in refused.stderr
    forced = ("apply", "--server-side", "--force-conflicts", "--field-manager=second", "-f", "-")
    cluster.kubectl(*forced, stdin=config_map(a="2"))
    assert cluster.kubectl("get", "cm", "one", "-o", "jsonpath={.data.a}") == "2"


@docs("reference/kubectl/generated/kubectl_diff/")
def test_diff_shows_what_apply_would_change_and_changes_nothing(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=config_map(a="1"))
    shown = cluster.run("diff", "-f", "-", stdin=config_map(a="2"))
    assert shown.returncode == 1
    assert '+  a: "2"' in shown.stdout
    assert cluster.kubectl("get", "cm", "one", "-o", "jsonpath={.data.a}") == "1"


@docs("reference/using-api/api-concepts/#setting-the-field-validation-level")
def test_an_unknown_field_is_refused_by_name(cluster: Cluster) -> None:
    refused = cluster.run("apply", "-f", "-", stdin={**config_map(), "dta": {}})
    assert refused.returncode != 0
    assert 'unknown field "dta"' in refused.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("create", "configmap", "x", "--from-literal=a=1"),
        ("create", "secret", "generic", "x", "--from-literal=a=1"),
        ("create", "serviceaccount", "x"),
        ("create", "role", "x", "--verb=get", "--resource=pods"),
        ("create", "rolebinding", "x", "--role=x", "--serviceaccount=default:default"),
        ("create", "deployment", "x", "--image=none.example/x:1", "--replicas=0"),
        ("create", "job", "x", "--image=none.example/x:1", "--", "true"),
        ("create", "cronjob", "x", "--image=none.example/x:1", "--schedule=0 0 1 1 *"),
        ("create", "service", "clusterip", "x", "--tcp=80:8080"),
    ],
    ids=lambda command: command[1],
)
@docs("reference/using-api/api-concepts/#protobuf-encoding-idl")
def test_typed_create_commands_send_protobuf_and_are_understood(cluster: Cluster, command: tuple[str, ...]) -> None:
    assert "created" in cluster.kubectl(*command)


@docs("reference/kubectl/generated/kubectl_create/kubectl_create_token/")
def test_create_token_and_who_it_is(cluster: Cluster) -> None:
    cluster.kubectl("create", "serviceaccount", "bob")
    token = cluster.kubectl("create", "token", "bob", "--duration=15m").strip()
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token},
    }
    answer = json.loads(cluster.kubectl("create", "-f", "-", "-o", "json", stdin=review))
    assert answer["status"]["user"]["username"] == f"system:serviceaccount:{cluster.namespace}:bob"


@docs("reference/access-authn-authz/rbac/")
def test_a_service_account_may_do_what_its_role_says_and_no_more(cluster: Cluster) -> None:
    cluster.kubectl("create", "serviceaccount", "bob")
    cluster.kubectl("create", "role", "reader", "--verb=get,list", "--resource=configmaps")
    cluster.kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={cluster.namespace}:bob")
    bob = f"--as=system:serviceaccount:{cluster.namespace}:bob"
    assert cluster.kubectl("auth", "can-i", "list", "configmaps", bob).strip() == "yes"
    assert cluster.run("auth", "can-i", "delete", "configmaps", bob).stdout.strip() == "no"
    cluster.kubectl("get", "configmaps", bob)
    refused = cluster.run("get", "secrets", bob)
    assert 'cannot list resource "secrets" in API group ""' in refused.stderr


@docs("concepts/overview/working-with-objects/labels/#label-selectors")
def test_labels_annotations_patches_and_selectors(cluster: Cluster) -> None:
    for name in ("one", "two"):
        cluster.kubectl("apply", "-f", "-", stdin=config_map(name, a="1"))
    cluster.kubectl("label", "cm", "one", "tier=front")
    cluster.kubectl("annotate", "cm", "one", "note=hello")
    cluster.kubectl("patch", "cm", "one", "--type=json", "-p", '[{"op": "add", "path": "/data/b", "value": "2"}]')
    assert cluster.kubectl("get", "cm", "-l", "tier in (front,back)", "-o", "name").split() == ["configmap/one"]
    found = json.loads(cluster.kubectl("get", "cm", "one", "-o", "json"))
    assert found["data"] == {"a": "1", "b": "2"}
    assert found["metadata"]["annotations"]["note"] == "hello"


@docs("reference/kubectl/generated/kubectl_wait/")
def test_wait_sees_a_condition_that_another_client_sets(cluster: Cluster, group: str) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=widgets.widget(group))
    waiting = cluster.start("wait", "--for=condition=Ready", f"{widgets.short(group)}/one", "--timeout=60s")
    status = json.dumps({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    cluster.kubectl("patch", widgets.short(group), "one", "--subresource=status", "--type=merge", "-p", status)
    out, err = waiting.communicate(timeout=70)
    assert "condition met" in out, err


@docs("reference/using-api/api-concepts/#receiving-resources-as-tables")
def test_a_watch_shows_each_change_as_a_row(cluster: Cluster, group: str) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=widgets.widget(group))
    watching = cluster.start("get", widgets.short(group), "-w", "--request-timeout=60s")
    assert watching.stdout is not None
    assert watching.stdout.readline().split() == ["NAME", "SIZE", "READY"]
    assert watching.stdout.readline().split() == ["one", "3"]
    cluster.kubectl("patch", widgets.short(group), "one", "--type=merge", "-p", '{"spec": {"size": 9}}')
    assert watching.stdout.readline().split() == ["one", "9"]
    watching.terminate()
    watching.communicate(timeout=70)


@docs("tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#scale-subresource")
def test_custom_resources_are_defaulted_validated_explained_and_scaled(cluster: Cluster, group: str) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=widgets.widget(group))
    assert cluster.kubectl("get", widgets.short(group), "one", "-o", "jsonpath={.spec.mode}") == "auto"
    refused = cluster.run("apply", "-f", "-", stdin=widgets.widget(group, max=1))
    assert "size is above max" in refused.stderr
    size = f"{widgets.short(group)}.spec.size"
    until(lambda: "How large it is." in cluster.run("explain", size).stdout, "the fields are explained")
    assert "scaled" in cluster.kubectl("scale", f"{widgets.short(group)}/one", "--replicas=5")
    assert (
        cluster.kubectl("get", widgets.short(group), "one", "-o", "jsonpath={.spec.size} {.metadata.generation}")
        == "5 2"
    )


@docs("reference/kubectl/generated/kubectl_explain/")
def test_built_in_kinds_are_explained(cluster: Cluster) -> None:
    explained = cluster.kubectl("explain", "job.spec.backoffLimit")
    assert "number of retries" in explained


@docs("tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#delete-a-customresourcedefinition")
def test_deleting_a_definition_deletes_its_instances(cluster: Cluster) -> None:
    name = widgets.group()
    cluster.kubectl("apply", "-f", "-", stdin=widgets.definition(name))
    cluster.kubectl("wait", "--for=condition=Established", f"crd/widgets.{name}", "--timeout=60s")
    cluster.kubectl("apply", "-f", "-", stdin=widgets.widget(name))
    cluster.kubectl("delete", "crd", f"widgets.{name}", "--timeout=60s")
    assert name not in cluster.kubectl("api-resources", "-o", "name")


@docs("concepts/overview/working-with-objects/finalizers/")
def test_deletion_waits_for_finalizers(cluster: Cluster) -> None:
    held = config_map("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    cluster.kubectl("apply", "-f", "-", stdin=held)
    cluster.kubectl("delete", "cm", "held", "--wait=false")
    assert cluster.kubectl("get", "cm", "held", "-o", "jsonpath={.metadata.deletionTimestamp}") != ""
    cluster.kubectl("patch", "cm", "held", "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    assert "NotFound" in cluster.run("get", "cm", "held").stderr


@docs("concepts/architecture/garbage-collection/#foreground-deletion")
def test_owned_objects_go_with_their_owner(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=config_map("owner"))
    uid = cluster.kubectl("get", "cm", "owner", "-o", "jsonpath={.metadata.uid}")
    owned = config_map("owned")
    owned["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}]
    cluster.kubectl("apply", "-f", "-", stdin=owned)
    cluster.kubectl("delete", "cm", "owner", "--cascade=foreground", "--timeout=60s")
    cluster.kubectl("wait", "--for=delete", "cm/owned", "--timeout=60s")


@docs("tasks/administer-cluster/namespaces/#deleting-a-namespace")
def test_a_namespace_is_deleted_with_all_that_it_holds(cluster: Cluster) -> None:
    other = f"{cluster.namespace}-x"
    cluster.kubectl("create", "namespace", other)
    cluster.kubectl("create", "configmap", "x", "-n", other)
    cluster.kubectl("delete", "namespace", other, "--timeout=60s")
    assert "NotFound" in cluster.run("get", "namespace", other).stderr


@docs("reference/using-api/api-concepts/#resource-versions")
def test_replace_edits_and_stale_versions(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=config_map(a="1"))
    stale = json.loads(cluster.kubectl("get", "cm", "one", "-o", "json"))
    cluster.kubectl("patch", "cm", "one", "-p", '{"data": {"a": "2"}}')
    stale["data"]["a"] = "3"
    refused = cluster.run("replace", "-f", "-", stdin=stale)
    assert "the object has been modified" in refused.stderr


@docs("reference/kubectl/generated/kubectl_events/")
def test_describe_and_events_tell_of_an_object(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=config_map(a="1"))
    uid = cluster.kubectl("get", "cm", "one", "-o", "jsonpath={.metadata.uid}")
    subject = {"kind": "ConfigMap", "apiVersion": "v1", "name": "one", "namespace": cluster.namespace, "uid": uid}
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "one."},
        "involvedObject": subject,
        "reason": "Told",
        "message": "A story",
        "type": "Normal",
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "source": {"component": "test"},
    }
    cluster.kubectl("create", "-f", "-", stdin=event)
    assert "Told" in cluster.kubectl("events", "--for", "configmap/one")
    assert "A story" in cluster.kubectl("describe", "cm", "one")
