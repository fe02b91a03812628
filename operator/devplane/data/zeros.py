"""What a Go API server writes for a field nobody set: value structs and fields without `omitempty`. For the generator.

Schemas don't say it, so what follows from no rule is listed here by definition (group.version.Kind).
"""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]

POINTERS = frozenset({"LabelSelector", "RawExtension", "LocalObjectReference"})
SCALARS: dict[str, Any] = {"integer": 0, "boolean": False, "string": ""}
STAMPED: Obj = {"metadata": {"creationTimestamp": None}}

KEY_DEFAULTS: dict[str, Obj] = {
    "core.v1.ContainerPort": {"protocol": "TCP"},
    "core.v1.ServicePort": {"protocol": "TCP"},
}

_LISTED: dict[str, Obj] = {
    "apps.v1.DaemonSetSpec": {"updateStrategy": {}},
    "apps.v1.DeploymentCondition": {"lastUpdateTime": None, "lastTransitionTime": None},
    "apps.v1.DeploymentSpec": {"strategy": {}},
    "apps.v1.ReplicaSetSpec": {"template": {}},
    "apps.v1.StatefulSetSpec": {"updateStrategy": {}},
    "authentication.v1.TokenRequestSpec": {"expirationSeconds": None, "boundObjectRef": None},
    "authentication.v1.TokenReviewStatus": {"user": {}},
    "autoscaling.v2.HorizontalPodAutoscalerStatus": {"currentMetrics": None},
    "batch.v1.JobCondition": {"lastProbeTime": None, "lastTransitionTime": None},
    "batch.v1.JobTemplateSpec": {**STAMPED, "spec": {}},
    "core.v1.Container": {"resources": {}},
    "core.v1.ContainerStateRunning": {"startedAt": None},
    "core.v1.ContainerStateTerminated": {"startedAt": None, "finishedAt": None},
    "core.v1.ContainerStatus": {"state": {}, "lastState": {}},
    "core.v1.DaemonEndpoint": {"Port": 0},
    "core.v1.EphemeralContainer": {"resources": {}},
    "core.v1.Event": {
        "source": {}, "firstTimestamp": None, "lastTimestamp": None, "eventTime": None,
        "reportingComponent": "", "reportingInstance": "",
    },
    "core.v1.NodeCondition": {"lastHeartbeatTime": None, "lastTransitionTime": None},
    "core.v1.NodeDaemonEndpoints": {"kubeletEndpoint": {}},
    "core.v1.NodeStatus": {"daemonEndpoints": {}, "nodeInfo": {}},
    "core.v1.PersistentVolumeClaimSpec": {"resources": {}},
    "core.v1.PodCondition": {"lastProbeTime": None, "lastTransitionTime": None},
    "core.v1.PodTemplate": {"template": {}},
    "core.v1.PodTemplateSpec": {**STAMPED, "spec": {}},
    "core.v1.ServiceStatus": {"loadBalancer": {}},
    "discovery.v1.Endpoint": {"conditions": {}},
    "discovery.v1.EndpointSlice": {"ports": None},
    "events.v1.Event": {"eventTime": None, "deprecatedSource": {}, "regarding": {}},
    "networking.v1.IngressStatus": {"loadBalancer": {}},
    "networking.v1.NetworkPolicySpec": {"podSelector": {}},
    "apps.v1.DaemonSetStatus": {
        "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0,
    },
    "apps.v1.ReplicaSetStatus": {"replicas": 0},
    "apps.v1.StatefulSetStatus": {"replicas": 0, "availableReplicas": 0},
    "policy.v1.PodDisruptionBudgetStatus": {
        "disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0,
    },
    "rbac.v1.ClusterRole": {"rules": None},
    "rbac.v1.Role": {"rules": None},
    "apiextensions.v1.CustomResourceDefinitionStatus": {
        "conditions": None, "acceptedNames": {}, "storedVersions": None,
    },
}  # fmt: skip


def zeros(name: str, definition: Obj) -> Obj:
    """Field → what is written when nobody set it; ``{}`` stands for the struct's own zeros."""
    short = ".".join(name.split(".")[-3:])
    found: Obj = {}
    if "x-kubernetes-group-version-kind" in definition:
        found |= {"metadata": {"creationTimestamp": None}} if "metadata" in definition["properties"] else {}
        found |= {part: {} for part in ("spec", "status") if _is_struct(definition["properties"].get(part, {}))}
    for field in definition.get("required", ()):
        found |= _required(field, definition["properties"][field], is_status=short.endswith("Status"))
    return found | _LISTED.get(short, {})


def _required(field: str, schema: Obj, *, is_status: bool) -> Obj:
    if _is_struct(schema):
        return {field: {}}
    if schema.get("type") == "array":
        return {field: None}
    if is_status and schema.get("type") in SCALARS:
        return {field: SCALARS[schema["type"]]}
    return {}


def _is_struct(schema: Obj) -> bool:
    kind = schema.get("$ref", "").rpartition(".")[2]
    return bool(kind) and kind not in POINTERS | {"Time", "MicroTime", "Quantity", "IntOrString", "ObjectMeta"}
