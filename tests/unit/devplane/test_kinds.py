"""What may be written to the built-in kinds and what may change, told as a real server tells it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from devplane.kinds.builtins import builtin

Obj = dict[str, Any]
RULE = "spec.podFailurePolicy.rules[0]"
CONTAINER: Obj = {"name": "c", "image": "i:1"}


def stored(api_version: str, kind: str, **content: Any) -> Obj:
    """An object as it would be stored."""
    found = builtin(api_version, kind)
    assert found is not None
    metadata = {"name": "x", "namespace": "ns", "uid": "u", **content.pop("metadata", {})}
    obj: Obj = {"apiVersion": api_version, "kind": kind, "metadata": metadata, **copy.deepcopy(content)}
    found.default(obj)
    found.prepare(obj, None)
    return obj


def causes(new: Obj, old: Obj | None = None) -> list[str]:
    found = builtin(new["apiVersion"], new["kind"])
    assert found is not None
    return [str(cause) for cause in found.validate(new, old)]


def changed(old: Obj, **spec: Any) -> Obj:
    return {**copy.deepcopy(old), "spec": {**copy.deepcopy(old["spec"]), **spec}}


def pod(*containers: Obj, **spec: Any) -> Obj:
    return stored("v1", "Pod", spec={"containers": list(containers) or [CONTAINER], **spec})


def job(**spec: Any) -> Obj:
    template = spec.pop("template", {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}})
    return stored("batch/v1", "Job", spec={"template": template, **spec})


def deployment(**spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [CONTAINER]}}
    return stored(
        "apps/v1", "Deployment", spec={"selector": {"matchLabels": {"app": "x"}}, "template": template, **spec}
    )


def service(**spec: Any) -> Obj:
    return stored("v1", "Service", spec={"ports": [{"port": 80}], **spec})


@pytest.mark.parametrize(
    ("container", "cause"),
    [
        ({"name": ""}, "spec.containers[0].name: Required value"),
        ({"image": ""}, "spec.containers[0].image: Required value"),
        (
            {"imagePullPolicy": "Maybe"},
            (
                'spec.containers[0].imagePullPolicy: Unsupported value: "Maybe": '
                'supported values: "Always", "IfNotPresent", "Never"'
            ),
        ),
        ({"ports": [{"name": "http"}]}, "spec.containers[0].ports[0].containerPort: Required value"),
        (
            {"ports": [{"containerPort": 70000}]},
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            {"ports": [{"name": "a", "containerPort": 1}, {"name": "a", "containerPort": 2}]},
            'spec.containers[0].ports[1].name: Duplicate value: "a"',
        ),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            'spec.containers[0].volumeMounts[0].name: Not found: "v"',
        ),
        (
            {"env": [{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
            'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
        ),
        (
            {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
            'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
        ),
        (
            {"resources": {"requests": {"nvidia.com/gpu": "1"}}},
            "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
        ),
        ({"livenessProbe": {}}, "spec.containers[0].livenessProbe: Required value: must specify a handler type"),
        (
            {"livenessProbe": {"exec": {"command": ["x"]}, "successThreshold": 2}},
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
    ],
)
def test_a_container_is_checked(container: Obj, cause: str) -> None:
    assert cause in causes(pod({**CONTAINER, **container}))


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        ({"containers": []}, "spec.containers: Required value"),
        ({"containers": [CONTAINER, CONTAINER]}, 'spec.containers[1].name: Duplicate value: "c"'),
        (
            {"restartPolicy": "Sometimes"},
            'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
        ),
        (
            {"volumes": [{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}]},
            "spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type",
        ),
        ({"volumes": [{"name": "v", "secret": {}}]}, "spec.volumes[0].secret.secretName: Required value"),
    ],
)
def test_a_pod_is_checked(spec: Obj, cause: str) -> None:
    assert cause in causes(pod(**spec) if "containers" not in spec else stored("v1", "Pod", spec=spec))


def test_of_a_running_pod_only_a_few_fields_may_change() -> None:
    old = pod()
    assert causes(changed(old, containers=[{**old["spec"]["containers"][0], "image": "i:2"}]), old) == []
    assert causes(changed(old, tolerations=[*old["spec"]["tolerations"], {"operator": "Exists"}]), old) == []
    told = causes(changed(old, hostNetwork=True), old)
    assert told[0].startswith(
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"
    )
    assert "+ spec.hostNetwork: True" in told[0]
    assert causes(changed(old, nodeName="node"), old), "a binding assigns a node, no update does"


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        ({"backoffLimit": -1}, "spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0"),
        (
            {"completionMode": "Indexed", "parallelism": 2},
            "spec.completions: Required value: when completion mode is Indexed",
        ),
        (
            {"podFailurePolicy": {"rules": [{"onExitCodes": {"operator": "In", "values": [1]}}]}},
            f'{RULE}.action: Required value: valid values: "Count", "FailIndex", "FailJob", "Ignore"',
        ),
        (
            {"podFailurePolicy": {"rules": [{"action": "Ignore"}]}},
            f"{RULE}: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
        ),
        (
            {"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [0]}}]}},
            "spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator",
        ),
        (
            {
                "podFailurePolicy": {
                    "rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3, 1]}}]
                }
            },
            "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: []int32{3, 1}: must be ordered",
        ),
        (
            {
                "podFailurePolicy": {
                    "rules": [
                        {"action": "FailJob", "onExitCodes": {"containerName": "z", "operator": "In", "values": [1]}}
                    ]
                }
            },
            (
                f'{RULE}.onExitCodes.containerName: Invalid value: "z": '
                "must be one of the container or initContainer names in the pod template"
            ),
        ),
        (
            {"successPolicy": {"rules": [{"succeededIndexes": "0"}]}},
            "spec.successPolicy: Invalid value: batch.SuccessPolicy{}: requires indexed completion mode",
        ),
    ],
)
def test_a_job_is_checked(spec: Obj, cause: str) -> None:
    assert cause in causes(job(**spec))


def test_of_a_job_suspension_and_parallelism_may_change_and_the_template_may_not() -> None:
    old = job()
    assert causes(changed(old, suspend=True, parallelism=0, backoffLimit=3, ttlSecondsAfterFinished=5), old) == []
    template = copy.deepcopy(old["spec"]["template"])
    template["spec"]["containers"][0]["image"] = "i:2"
    told = causes(changed(old, template=template), old)
    assert told[0].startswith("spec.template: Invalid value: core.PodTemplateSpec{")
    assert told[0].endswith(": field is immutable")
    assert causes(changed(old, completions=5), old) == ["spec.completions: Invalid value: 5: field is immutable"]


def test_a_suspended_job_that_never_started_may_still_be_placed() -> None:
    old = job(suspend=True)
    template = copy.deepcopy(old["spec"]["template"])
    template["spec"]["nodeSelector"] = {"pool": "gpu"}
    assert causes(changed(old, template=template), old) == []
    started = {**old, "status": {"startTime": "2026-11-21T09:44:54Z"}}
    assert causes(changed(old, template=template), started) != []


def test_an_indexed_job_may_be_resized_as_a_whole() -> None:
    old = job(completionMode="Indexed", completions=2, parallelism=2)
    assert causes(changed(old, completions=3, parallelism=3), old) == []
    assert causes(changed(old, completions=3), old) != []


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        ({"selector": None}, "spec.selector: Required value"),
        ({"replicas": -1}, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        (
            {"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}},
            "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ),
        (
            {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}},
            (
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: intstr.IntOrString{Type:0, IntVal:0, "
                'StrVal:""}: may not be 0 when `maxSurge` is 0'
            ),
        ),
        (
            {"progressDeadlineSeconds": 5, "minReadySeconds": 5},
            "spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds",
        ),
    ],
)
def test_a_deployment_is_checked(spec: Obj, cause: str) -> None:
    assert cause in causes(deployment(**spec))


def test_pods_of_a_deployment_run_for_ever() -> None:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}
    told = causes(deployment(template=template))
    assert told == ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"']


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        ({"ports": []}, "spec.ports: Required value"),
        ({"ports": [{"port": 1}, {"port": 2}]}, "spec.ports[0].name: Required value"),
        (
            {"type": "Magic"},
            (
                'spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", '
                '"NodePort"'
            ),
        ),
        ({"ports": [{"port": 0}]}, "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
        ({"type": "ExternalName"}, "spec.externalName: Required value"),
    ],
)
def test_a_service_is_checked(spec: Obj, cause: str) -> None:
    assert cause in causes(service(**spec))


@pytest.mark.parametrize("unset", [0, ""])
def test_a_target_port_that_a_client_in_go_left_out_is_the_port(unset: int | str) -> None:
    """A struct that Go writes whether it is set or not, in JSON and in protobuf."""
    assert service(ports=[{"port": 80, "targetPort": unset}])["spec"]["ports"][0]["targetPort"] == 80


def test_a_cluster_ip_stays() -> None:
    old = service(clusterIP="10.96.0.1")
    new = changed(old, clusterIP="10.96.0.2")
    found = builtin("v1", "Service")
    assert found is not None
    found.prepare(new, old)
    assert causes(new, old) == ['spec.clusterIPs[0]: Invalid value: []string{"10.96.0.2"}: may not change once set']


def test_an_immutable_config_map_keeps_its_data_and_its_immutability() -> None:
    old = stored("v1", "ConfigMap", data={"a": "1"}, immutable=True)
    assert causes({**old, "data": {"a": "2"}}, old) == ["data: Forbidden: field is immutable when `immutable` is set"]
    assert causes({**old, "immutable": False}, old) == [
        "immutable: Forbidden: field is immutable when `immutable` is set"
    ]
    assert causes({**old, "metadata": {**old["metadata"], "labels": {"a": "b"}}}, old) == []


def test_keys_of_a_config_map_are_file_names() -> None:
    told = causes(stored("v1", "ConfigMap", data={"a/b": "1"}))
    assert told[0].startswith('data[a/b]: Invalid value: "a/b": a valid config key must consist of')


def test_a_tls_secret_has_its_two_files() -> None:
    told = causes(stored("v1", "Secret", type="kubernetes.io/tls"))
    assert told == ["data[tls.crt]: Required value", "data[tls.key]: Required value"]


def claim(**spec: Any) -> Obj:
    defaults = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return stored("v1", "PersistentVolumeClaim", spec={**defaults, **spec})


def test_a_claim_says_how_much_and_how_it_is_used() -> None:
    assert causes(claim(accessModes=[])) == ["spec.accessModes: Required value: at least 1 access mode is required"]
    assert causes(claim(resources={})) == ["spec.resources[storage]: Required value"]


def test_a_claim_may_be_bound_and_may_grow() -> None:
    old = claim()
    assert causes(changed(old, volumeName="v"), old) == []
    assert causes(changed(old, resources={"requests": {"storage": "2Gi"}}), old) != [], "it is not bound yet"
    bound = {**changed(old, volumeName="v"), "status": {"phase": "Bound", "capacity": {"storage": "512Mi"}}}
    assert causes(changed(bound, resources={"requests": {"storage": "2Gi"}}), bound) == []
    assert causes(changed(bound, resources={"requests": {"storage": "600Mi"}}), bound) == [], "it has less than that"
    assert causes(changed(bound, resources={"requests": {"storage": "1Mi"}}), bound) != []
    assert causes(changed(bound, volumeAttributesClassName="gold"), bound) == []
    assert causes(changed(old, volumeAttributesClassName="gold"), old) != []
    assert causes(changed(old, accessModes=["ReadWriteMany"]), old)[0].startswith("spec: Forbidden: spec is immutable")


def test_roles_need_verbs_and_resources_and_bindings_keep_their_role() -> None:
    rbac = "rbac.authorization.k8s.io/v1"
    told = causes(stored(rbac, "Role", rules=[{"resources": ["pods"]}]))
    assert "rules[0].verbs: Required value: verbs must contain at least one value" in told
    assert "rules[0].apiGroups: Required value: resource rules must supply at least one api group" in told
    old = stored(rbac, "RoleBinding", roleRef={"kind": "Role", "name": "a"}, subjects=[{"kind": "User", "name": "u"}])
    assert old["subjects"][0]["apiGroup"] == "rbac.authorization.k8s.io"
    new = {**old, "roleRef": {**old["roleRef"], "name": "b"}}
    shown = 'rbac.RoleRef{APIGroup:"rbac.authorization.k8s.io", Kind:"Role", Name:"b"}'
    assert causes(new, old) == [f"roleRef: Invalid value: {shown}: cannot change roleRef"]


def test_labels_and_owners_are_checked_on_every_kind() -> None:
    metadata = {"labels": {"bad key": "x", "a": "-"}, "ownerReferences": [{"kind": "Pod", "name": "p", "uid": "u"}]}
    told = "\n".join(causes(stored("v1", "ConfigMap", metadata=metadata)))
    assert 'metadata.labels: Invalid value: "bad key": name part must consist of alphanumeric characters' in told
    assert 'metadata.labels: Invalid value: "-": a valid label must be an empty string or consist of' in told
    assert 'metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty' in told


@pytest.mark.parametrize("kind", ["ReplicaSet", "DaemonSet", "StatefulSet"])
def test_other_workloads_keep_their_selector(kind: str) -> None:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [CONTAINER]}}
    old = stored("apps/v1", kind, spec={"selector": {"matchLabels": {"app": "x"}}, "template": template})
    assert causes(old) == []
    assert causes(changed(old, selector={"matchLabels": {"app": "y"}}), old) != []


def test_a_namespace_gets_its_label_its_finalizer_and_its_phase() -> None:
    found = stored("v1", "Namespace")
    assert found["metadata"]["labels"] == {"kubernetes.io/metadata.name": "x"}
    assert found["spec"] == {"finalizers": ["kubernetes"]}
    assert found["status"] == {"phase": "Active"}
