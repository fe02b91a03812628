"""Bodies in protobuf, which clients in Go send of built-in kinds, kubectl among them since 1.32."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from apiserver.clients.citing import docs, source
from apiserver.clients.kinds import GLOBAL, LABELS, NAMESPACED, POD
from apiserver.clients.raw import JSON, PROTOBUF, Answer, Raw
from apiserver.conftest import Cluster
from apiserver.fuzz import protobufs

Obj = dict[str, Any]

ENCODING = "reference/using-api/api-concepts/#protobuf-encoding-idl"
KUBECTL = "staging/src/k8s.io/kubectl/pkg"
SERIALIZER = "staging/src/k8s.io/apimachinery/pkg/runtime/serializer/protobuf/protobuf.go"
GENERATED = "staging/src/k8s.io/api/core/v1/generated.pb.go"
DEPLOYMENT: Obj = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
    "spec": {"replicas": 0, "selector": {"matchLabels": LABELS}, "template": {
        "metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "none.example/x:1"}]}}},
}  # fmt: skip
MAP: Obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"a": "1"}}


def alike(answer: Answer) -> Obj:
    """The object without what a server makes up at each creation."""
    kept = ("uid", "creationTimestamp", "managedFields", "resourceVersion")
    text = re.sub("kube-api-access-[a-z0-9]{5}", "", json.dumps(answer.body))
    body: Obj = json.loads(text)
    body["metadata"] = {key: value for key, value in body["metadata"].items() if key not in kept}
    return body


def path_of(raw: Raw, kind: str) -> str:
    group, _, plural = kind.partition(" ")
    if kind in NAMESPACED:
        return raw.at(plural, group=group)
    return f"/apis/{group}/{plural}" if group else f"/api/v1/{plural}"


@docs(ENCODING)
@pytest.mark.parametrize("kind", [*NAMESPACED, *GLOBAL])
def test_an_object_in_protobuf_is_the_one_in_json(raw: Raw, kind: str) -> None:
    obj = {**NAMESPACED, **GLOBAL}[kind]
    one = raw.create(path_of(raw, kind), obj, dryRun="All")
    assert one.code == 201, one.body
    two = raw.ask("POST", path_of(raw, kind), protobufs.encoded(obj), PROTOBUF, dryRun="All")
    assert two.code == 201, two.body
    assert alike(two) == alike(one)


@docs(ENCODING)
def test_the_whole_object_is_replaced(raw: Raw) -> None:
    where = raw.at("configmaps", "one")
    raw.made(raw.at("configmaps"), MAP)
    answer = raw.ask("PUT", where, protobufs.encoded({**MAP, "data": {"b": ""}, "binaryData": {"c": "AP8="}}), PROTOBUF)
    assert (answer.code, answer.body["data"], answer.body["binaryData"]) == (200, {"b": ""}, {"c": "AP8="})


@source("pkg/apis/core/v1/defaults.go")
def test_a_target_port_that_is_not_set_is_the_port(raw: Raw) -> None:
    """Go writes a value that is neither number nor string as 0."""
    spec = {"ports": [{"port": 80, "targetPort": 0}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "one"}, "spec": spec}
    sent = raw.ask("POST", raw.at("services"), protobufs.encoded(service), PROTOBUF)
    assert (sent.code, sent.body["spec"]["ports"][0]["targetPort"]) == (201, 80)


STATUSES: dict[str, tuple[str, Obj, Obj]] = {
    "deployments": ("apps/v1", DEPLOYMENT, {
        "observedGeneration": 1, "replicas": 3, "updatedReplicas": 2, "unavailableReplicas": 1, "collisionCount": 0,
        "conditions": [{"type": "Available", "status": "False", "reason": "R", "message": "m",
                        "lastUpdateTime": "2024-01-01T00:00:00Z", "lastTransitionTime": "2024-01-01T00:00:00Z"}]}),
    "persistentvolumeclaims": ("", NAMESPACED[" persistentvolumeclaims"], {
        "phase": "Pending", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "2Gi"},
        "conditions": [{"type": "Resizing", "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z"}]}),
}  # fmt: skip


@docs(ENCODING)
@pytest.mark.parametrize("resource", STATUSES)
def test_a_status_is_written(raw: Raw, resource: str) -> None:
    group, obj, status = STATUSES[resource]
    made = raw.made(raw.at(resource, group=group), obj)
    where = raw.at(resource, made["metadata"]["name"], "status", group)
    answer = raw.ask("PUT", where, protobufs.encoded({**obj, "status": status}), PROTOBUF, dryRun="All")
    assert answer.code == 200, answer.body
    found = answer.body["status"]
    for one in found["conditions"]:
        one.pop("lastProbeTime", None)
    assert {name: found[name] for name in status} == status


@docs(ENCODING, "concepts/workloads/controllers/deployment/#scaling-a-deployment")
def test_a_scale_is_written(raw: Raw) -> None:
    raw.made(raw.at("deployments", group="apps/v1"), {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "paused": True}})
    metadata = {"name": "web", "namespace": raw.namespace}
    sent = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": {"replicas": 2}}
    answer = raw.ask("PUT", raw.at("deployments", "web", "scale", "apps/v1"), protobufs.encoded(sent), PROTOBUF)
    assert (answer.code, answer.body["spec"]) == (200, {"replicas": 2})


@docs("concepts/scheduling-eviction/api-eviction/", ENCODING)
def test_a_pod_is_evicted(raw: Raw) -> None:
    nowhere = {**POD, "nodeSelector": {"none.example/such": "node"}}
    raw.made(raw.at("pods"), {**NAMESPACED[" pods"], "spec": nowhere})
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "whole"}}
    where = raw.at("pods", "whole", "eviction")
    for options, left in ({"dryRun": ["All"]}, 200), ({"gracePeriodSeconds": 0}, 404):
        body = protobufs.encoded({**eviction, "deleteOptions": options})
        assert raw.ask("POST", where, body, PROTOBUF).code == 201
        assert raw.get(raw.at("pods", "whole")).code == left


@source("staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/register.go", SERIALIZER)
def test_delete_options_are_those_of_any_group(raw: Raw) -> None:
    """The typed client of a group names them by its own group."""
    uid = raw.made(raw.at("deployments", group="apps/v1"), DEPLOYMENT)["metadata"]["uid"]
    for wanted, code in ("another", 409), (uid, 200):
        options = {"preconditions": {"uid": wanted}, "propagationPolicy": "Background"}
        body = protobufs.envelope("apps/v1", "DeleteOptions", protobufs.content("v1", "DeleteOptions", options))
        assert raw.ask("DELETE", raw.at("deployments", "web", group="apps/v1"), body, PROTOBUF).code == code


@source(GENERATED, SERIALIZER)
def test_fields_that_are_not_known_are_skipped_however_strict_the_request_is(raw: Raw) -> None:
    unknown = protobufs.block(90, b"later") + protobufs.count(91, 7)
    content = protobufs.content("v1", "ConfigMap", {"metadata": MAP["metadata"], "data": MAP["data"]})
    body = protobufs.envelope("v1", "ConfigMap", unknown + content)
    answer = raw.ask("POST", raw.at("configmaps"), body, PROTOBUF, fieldValidation="Strict")
    assert (answer.code, answer.body["data"]) == (201, {"a": "1"})


@source(SERIALIZER)
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{}", "does not appear to be a protobuf message"),
        (b"k8s\0\x0a\x7f", "unexpected EOF"),
        (protobufs.envelope("v1", "ConfigMap", protobufs.count(1, 1)), "wrong wireType = 0"),
        (protobufs.envelope("v1", "Strange", b""), 'no kind "Strange" is registered for version "v1"'),
        (protobufs.envelope("v1", "Secret", b""), 'Secret in version "v1" cannot be handled as a ConfigMap'),
    ],
)
def test_what_is_no_such_object_is_a_bad_request(raw: Raw, body: bytes, says: str) -> None:
    refused = raw.ask("POST", raw.at("configmaps"), body, PROTOBUF)
    assert (refused.code, refused.reason) == (400, "BadRequest")
    assert says in refused.message


@source(
    "staging/src/k8s.io/apimachinery/pkg/runtime/scheme.go",
    "staging/src/k8s.io/apimachinery/pkg/conversion/converter.go",
)
def test_an_object_of_another_kind_is_a_bad_request_in_json_too(raw: Raw) -> None:
    for body, form in (json.dumps(MAP).encode(), JSON), (protobufs.encoded(MAP), PROTOBUF):
        refused = raw.ask("POST", raw.at("deployments", group="apps/v1"), body, form)
        assert (refused.code, refused.reason) == (400, "BadRequest")
        assert 'ConfigMap in version "v1" cannot be handled as a Deployment' in refused.message


@source(f"{KUBECTL}/cmd/create/create_job.go")
def test_a_job_from_a_cron_job_has_its_whole_template(cluster: Cluster) -> None:
    cluster.kubectl("create", "-f", "-", stdin=NAMESPACED["batch/v1 cronjobs"])
    cluster.kubectl("create", "job", "one", "--from=cronjob/whole")
    cron, job = (json.loads(cluster.kubectl("get", what, "-o", "json"))["spec"] for what in ("cj/whole", "job/one"))
    assert job["template"]["spec"] == cron["jobTemplate"]["spec"]["template"]["spec"]
    for name in ("backoffLimit", "completionMode", "completions", "parallelism", "podFailurePolicy"):
        assert job[name] == cron["jobTemplate"]["spec"][name]


COMMANDS: dict[str, str] = {
    "create clusterrole NAME --verb=get --non-resource-url=/x": "clusterrole",
    "create clusterrole NAME --aggregation-rule=a=b": "clusterrole",
    "create clusterrolebinding NAME --clusterrole=view --user=u --serviceaccount=a:b": "clusterrolebinding",
    "create configmap NAME --from-literal=a=b": "configmap",
    "create cronjob NAME --image=none.example/x:1 --schedule=@yearly": "cronjob",
    "create deployment NAME --image=none.example/x:1 --port=80 --replicas=0": "deployment",
    "create ingress NAME --class=none --rule=a.example/x*=web:80,tls=crt": "ingress",
    "create namespace NAME": "namespace",
    "create pdb NAME --selector=app=web --max-unavailable=50%": "poddisruptionbudget",
    "create priorityclass NAME --value=0 --description=d --preemption-policy=Never": "priorityclass",
    "create quota NAME --hard=pods=2 --scopes=BestEffort": "resourcequota",
    "create role NAME --verb=get,list --resource=deployments.apps --resource-name=a": "role",
    "create rolebinding NAME --role=r --group=g --user=u": "rolebinding",
    "create secret docker-registry NAME --docker-username=a --docker-password=b": "secret",
    "create service clusterip NAME --tcp=80:http --clusterip=None": "service",
    "create service externalname NAME --external-name=a.example": "service",
    "create serviceaccount NAME": "serviceaccount",
}


def without_times(value: Any) -> Any:
    """Clients of 1.33 and before write a creation time that is null."""
    if isinstance(value, dict):
        return {key: without_times(one) for key, one in value.items() if key not in ("creationTimestamp", "uid")}
    return [without_times(one) for one in value] if isinstance(value, list) else value


@source(f"{KUBECTL}/cmd/create/create.go", "staging/src/k8s.io/client-go/gentype/type.go")
@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_typed_command_makes_is_what_it_would_write_to_a_file(cluster: Cluster, command: str) -> None:
    words = command.replace("NAME", f"{cluster.namespace}-x").split()
    shown = cluster.kubectl(*words, "--dry-run=client", "-o", "json")
    one = json.loads(cluster.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=shown))
    two = json.loads(cluster.kubectl(*words, "--dry-run=server", "-o", "json"))
    assert without_times(two) == without_times(one)


@source(f"{KUBECTL}/cmd/auth/reconcile.go", "staging/src/k8s.io/component-helpers/auth/rbac/reconciliation")
def test_roles_are_reconciled(cluster: Cluster) -> None:
    def role(*verbs: str) -> Obj:
        rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": [*verbs]}]
        metadata = {"name": "r", "namespace": cluster.namespace}
        return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules}

    cluster.kubectl("auth", "reconcile", "-f", "-", stdin=role("get"))
    cluster.kubectl("auth", "reconcile", "-f", "-", stdin=role("get", "list"))
    rules = json.loads(cluster.kubectl("get", "role", "r", "-o", "json"))["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list"}


@source(f"{KUBECTL}/cmd/debug/debug.go")
def test_a_copy_of_a_pod_is_made_for_debugging(cluster: Cluster) -> None:
    nowhere = {**POD, "nodeSelector": {"none.example/such": "node"}}
    cluster.kubectl("create", "-f", "-", stdin={**NAMESPACED[" pods"], "spec": nowhere})
    cluster.kubectl("debug", "whole", "--image=none.example/y:1", "--copy-to=copy", "--profile=general")
    whole, copy = (json.loads(cluster.kubectl("get", "pod", name, "-o", "json"))["spec"] for name in ("whole", "copy"))
    assert copy["volumes"] == whole["volumes"]
    assert [one["image"] for one in copy["containers"]] == ["none.example/x:1", "none.example/y:1"]
