"""Built-in kinds: decoding, defaults, documentation, and the generated data they come from."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import pytest

from devplane.kinds.builtins import BuiltinKind, builtin

Obj = dict[str, Any]


def kind(api_version: str, name: str) -> BuiltinKind:
    found = builtin(api_version, name)
    assert found is not None
    return found


POD = kind("v1", "Pod")


def pod(**container: Any) -> Obj:
    spec = {"containers": [{"name": "c", "image": "i:1", **container}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


@pytest.mark.skipif(importlib.util.find_spec("kubernetes_validate") is None, reason="needs the schemas' package")
def test_the_committed_data_is_what_the_generator_writes() -> None:
    done = subprocess.run([sys.executable, "-m", "devplane.data.generate", "--check"], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(
    ("api_version", "name"),
    [
        ("v1", "Pod"), ("v1", "Service"), ("v1", "Node"), ("v1", "Event"), ("apps/v1", "Deployment"),
        ("batch/v1", "Job"), ("batch/v1", "CronJob"), ("coordination.k8s.io/v1", "Lease"),
        ("discovery.k8s.io/v1", "EndpointSlice"), ("rbac.authorization.k8s.io/v1", "ClusterRole"),
        ("policy/v1", "PodDisruptionBudget"), ("policy/v1", "Eviction"), ("events.k8s.io/v1", "Event"),
        ("storage.k8s.io/v1", "StorageClass"), ("scheduling.k8s.io/v1", "PriorityClass"),
        ("networking.k8s.io/v1", "NetworkPolicy"), ("node.k8s.io/v1", "RuntimeClass"),
        ("autoscaling/v1", "Scale"), ("autoscaling/v2", "HorizontalPodAutoscaler"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"), ("authentication.k8s.io/v1", "TokenReview"),
        ("authorization.k8s.io/v1", "SubjectAccessReview"),
        ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
    ],
)  # fmt: skip
def test_a_served_kind_has_types_and_documentation(api_version: str, name: str) -> None:
    found = kind(api_version, name)
    assert found.types.child("metadata") is not None
    definitions = found.openapi
    assert next(iter(definitions)) == found.definition
    assert definitions[found.definition]["description"]
    for schema in definitions.values():
        for reference in _references(schema):
            assert reference.removeprefix("#/components/schemas/") in definitions


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [one for child in value.values() for one in _references(child)]
    return [one for child in value for one in _references(child)] if isinstance(value, list) else []


def test_a_kind_that_kubernetes_does_not_have_is_none() -> None:
    assert builtin("v1", "Widget") is None
    assert builtin("v2", "Pod") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 1}, "cannot unmarshal number into Go struct field Container.spec.containers.name of type string"),
        (
            {"command": "x"},
            "cannot unmarshal string into Go struct field Container.spec.containers.command of type []string",
        ),
        (
            {"command": [1]},
            "cannot unmarshal number into Go struct field Container.spec.containers.command of type string",
        ),
        ({"tty": "yes"}, "cannot unmarshal string into Go struct field Container.spec.containers.tty of type bool"),
        ({"env": {}}, "cannot unmarshal object into Go struct field Container.spec.containers.env of type []v1.EnvVar"),
        (
            {"env": [{"name": "A", "value": 1}]},
            "cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
        ),
        (
            {"ports": [{"containerPort": 1.5}]},
            "number 1.5 into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32",
        ),
        ({"securityContext": []}, "Container.spec.containers.securityContext of type v1.SecurityContext"),
        ({"resources": {"limits": {"cpu": "lots"}}}, "quantities must match the regular expression"),
    ],
)
def test_json_of_the_wrong_type_is_refused_in_gos_words(change: Obj, message: str) -> None:
    problems = POD.decode_errors(pod(**change))
    assert len(problems) == 1
    assert message in problems[0]


def test_secrets_hold_base64_and_times_are_rfc_3339() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "data": {"a": "no base64!"}}
    assert kind("v1", "Secret").decode_errors(secret)[0].startswith("illegal base64 data at input byte")
    lease = {"spec": {"renewTime": "yesterday"}}
    assert kind("coordination.k8s.io/v1", "Lease").decode_errors(lease)[0].startswith('parsing time "yesterday"')


def test_a_decodable_pod_has_no_errors() -> None:
    rich = pod(
        ports=[{"containerPort": 80}],
        resources={"limits": {"cpu": 1, "memory": "1Gi"}},
        readinessProbe={"httpGet": {"port": "http"}},
        env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
    )
    assert POD.decode_errors(rich) == []
    assert POD.unknown_fields(rich) == []


def test_unknown_fields_are_named_and_dropped() -> None:
    odd = pod(imagee="x")
    odd["spec"]["containerz"] = []
    assert POD.unknown_fields(odd) == ["spec.containers[0].imagee", "spec.containerz"]
    assert "containerz" not in odd["spec"]
    assert "imagee" not in odd["spec"]["containers"][0]


def test_nulls_and_empty_lists_are_as_if_not_there() -> None:
    obj = pod(args=[], command=None, env=[])
    obj["metadata"]["labels"] = {}
    obj["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
    POD.default(obj)
    assert set(obj["spec"]["containers"][0]) & {"args", "command", "env"} == set()
    assert "labels" not in obj["metadata"]
    assert obj["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("localhost:5000/nginx", "Always"),
        ("localhost:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:00", "IfNotPresent"),
    ],
)
def test_only_the_latest_image_is_always_pulled(image: str, policy: str) -> None:
    obj = pod(image=image)
    POD.default(obj)
    assert obj["spec"]["containers"][0]["imagePullPolicy"] == policy


@pytest.mark.parametrize(
    ("resources", "qos"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"nvidia.com/gpu": "1"}}, "BestEffort"),
    ],
)
def test_quality_of_service_follows_from_resources(resources: Obj, qos: str) -> None:
    obj = pod(resources=resources)
    POD.default(obj)
    POD.prepare(obj, None)
    assert obj["status"]["qosClass"] == qos


def test_secrets_keep_no_plain_text() -> None:
    secret: Obj = {"metadata": {"name": "s"}, "stringData": {"a": "x"}, "data": {"a": "b2xk", "b": "Yg=="}}
    kind("v1", "Secret").default(secret)
    assert secret["data"] == {"a": "eA==", "b": "Yg=="}
    assert "stringData" not in secret
    assert secret["type"] == "Opaque"


def test_defaulting_a_defaulted_object_changes_nothing() -> None:
    obj = pod(ports=[{"containerPort": 80}], livenessProbe={"exec": {"command": ["x"]}})
    POD.default(obj)
    POD.prepare(obj, None)
    before = str(obj)
    POD.default(obj)
    assert str(obj) == before
