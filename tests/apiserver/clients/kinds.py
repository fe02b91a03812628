"""Objects of kinds that kubectl makes from files alone, as full as a server takes them. Nothing of it need run."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]

LABELS = {"app": "whole"}
SELECTOR: Obj = {"matchLabels": LABELS, "matchExpressions": [{"key": "app", "operator": "Exists"}]}
RULES = [{"apiGroups": ["example.com"], "apiVersions": ["*"], "resources": ["nothing"], "operations": ["CREATE"],
          "scope": "Namespaced"}]  # fmt: skip
PROBE: Obj = {
    "httpGet": {"path": "/", "port": "http", "httpHeaders": [{"name": "A", "value": "b"}]},
    "periodSeconds": 7,
}

CONTAINER: Obj = {
    "name": "main",
    "image": "none.example/x:1",
    "command": ["true"],
    "args": ["--all", ""],
    "workingDir": "/work",
    "ports": [{"containerPort": 80, "name": "http", "protocol": "TCP"}],
    "envFrom": [{"prefix": "S_", "secretRef": {"name": "s", "optional": True}}, {"configMapRef": {"name": "c"}}],
    "env": [
        {"name": "MAP", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k", "optional": False}}},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "FIELD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']", "apiVersion": "v1"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
    ],
    "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "100m"}},
    "livenessProbe": PROBE,
    "readinessProbe": {"grpc": {"port": 90, "service": "s"}, "failureThreshold": 5},
    "startupProbe": {"exec": {"command": ["true"]}, "terminationGracePeriodSeconds": 3},
    "lifecycle": {"postStart": {"exec": {"command": ["true"]}}, "preStop": {"httpGet": {"path": "/bye", "port": 80}}},
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsUser": 0},
    "volumeMounts": [
        {"name": "empty", "mountPath": "/empty"},
        {"name": "map", "mountPath": "/map/k", "subPath": "k", "readOnly": True},
    ],
    "terminationMessagePolicy": "FallbackToLogsOnError",
}
POD: Obj = {
    "restartPolicy": "Never",
    "initContainers": [{"name": "first", "image": "none.example/x:1", "restartPolicy": "Always"}],
    "containers": [CONTAINER],
    "volumes": [
        {"name": "empty", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
        {"name": "map", "configMap": {"name": "c", "defaultMode": 256, "items": [{"key": "a", "path": "b"}]}},
        {"name": "claim", "persistentVolumeClaim": {"claimName": "x", "readOnly": True}},
        {"name": "host", "hostPath": {"path": "/x", "type": ""}},
        {"name": "all", "projected": {"sources": [
            {"serviceAccountToken": {"audience": "x", "expirationSeconds": 600, "path": "token"}},
            {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"secret": {"name": "s", "optional": True}}]}},
    ],
    "affinity": {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd", ""]}]}]}},
        "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 7, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": SELECTOR, "namespaces": ["a"]}}]},
    },
    "topologySpreadConstraints": [
        {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": SELECTOR}],
    "tolerations": [{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}],
    "securityContext": {"supplementalGroups": [1, 2000], "fsGroup": 0, "sysctls": [{"name": "kernel.x", "value": "1"}],
                        "seccompProfile": {"type": "RuntimeDefault"}},
    "hostAliases": [{"ip": "127.0.0.1", "hostnames": ["a", "b"]}],
    "dnsConfig": {"nameservers": ["127.0.0.1"], "options": [{"name": "ndots", "value": "2"}, {"name": "x"}]},
    "imagePullSecrets": [{"name": "pull"}],
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "terminationGracePeriodSeconds": 0,
    "activeDeadlineSeconds": 100,
}  # fmt: skip
SERVING: Obj = {**POD, "restartPolicy": "Always"}
SERVING.pop("activeDeadlineSeconds")
TEMPLATE: Obj = {"metadata": {"labels": LABELS, "annotations": {"a": ""}}, "spec": SERVING}
CLAIM: Obj = {
    "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "volumeMode": "Filesystem",
    "storageClassName": "", "selector": SELECTOR,
}  # fmt: skip
SCHEMA: Obj = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object", "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 0, "maximum": 10, "exclusiveMaximum": True, "default": 3},
                "mode": {"type": "string", "enum": ["auto", "fixed"], "default": "auto", "pattern": "^[a-z]*$"},
                "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                          "items": {"type": "object", "required": ["name"], "properties": {
                              "name": {"type": "string"}, "value": {"type": "number", "maximum": 10.5}}}},
                "limits": {"type": "object", "additionalProperties": {"type": "string"}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "nullable": True},
            },
            "x-kubernetes-validations": [{"rule": "self.size < 9", "message": "too large"}],
        },
        "status": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
    },
}  # fmt: skip


def whole(api_version: str, kind: str, **content: Any) -> Obj:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "whole"}, **content}


NAMESPACED: dict[str, Obj] = {
    "apps/v1 statefulsets": whole("apps/v1", "StatefulSet", spec={
        "serviceName": "s", "selector": SELECTOR, "template": TEMPLATE, "replicas": 0,
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}, "ordinals": {"start": 1},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Retain"},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": CLAIM}]}),
    "apps/v1 daemonsets": whole("apps/v1", "DaemonSet", spec={
        "selector": SELECTOR, "template": TEMPLATE, "minReadySeconds": 5,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "20%", "maxSurge": 0}}}),
    "apps/v1 controllerrevisions": whole(
        "apps/v1", "ControllerRevision", revision=3, data={"spec": {"template": {"a": [1, None, "x"]}}}),
    " podtemplates": whole("v1", "PodTemplate", template=TEMPLATE),
    " pods": whole("v1", "Pod", spec=POD),
    " replicationcontrollers": whole(
        "v1", "ReplicationController", spec={"replicas": 0, "selector": LABELS, "template": TEMPLATE}),
    " persistentvolumeclaims": whole("v1", "PersistentVolumeClaim", spec=CLAIM),
    " limitranges": whole("v1", "LimitRange", spec={"limits": [
        {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "500m"}, "max": {"memory": "1Gi"},
         "maxLimitRequestRatio": {"cpu": "2"}}]}),
    "batch/v1 cronjobs": whole("batch/v1", "CronJob", spec={
        "schedule": "@daily", "timeZone": "Etc/UTC", "concurrencyPolicy": "Forbid", "suspend": True,
        "failedJobsHistoryLimit": 0,
        "jobTemplate": {"metadata": {"labels": LABELS}, "spec": {
            "backoffLimit": 0, "completionMode": "Indexed", "completions": 3, "parallelism": 0,
            "podFailurePolicy": {"rules": [
                {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [3, 70], "containerName": "main"}},
                {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]},
            "template": {"metadata": {"labels": LABELS}, "spec": POD}}}}),
    "networking.k8s.io/v1 networkpolicies": whole("networking.k8s.io/v1", "NetworkPolicy", spec={
        "podSelector": {}, "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
                              {"namespaceSelector": {}, "podSelector": SELECTOR}],
                     "ports": [{"protocol": "UDP", "port": 53, "endPort": 60}, {"port": "http"}]}],
        "egress": [{}]}),
    "networking.k8s.io/v1 ingresses": whole("networking.k8s.io/v1", "Ingress", spec={
        "defaultBackend": {"resource": {"apiGroup": "example.com", "kind": "Bucket", "name": "b"}},
        "tls": [{"hosts": ["a.example"], "secretName": "t"}],
        "rules": [{"host": "a.example", "http": {"paths": [
            {"path": "/x", "pathType": "Exact", "backend": {"service": {"name": "s", "port": {"name": "http"}}}}]}}]}),
    "autoscaling/v2 horizontalpodautoscalers": whole("autoscaling/v2", "HorizontalPodAutoscaler", spec={
        "maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"},
        "metrics": [
            {"type": "Resource",
             "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 7}}},
            {"type": "Pods", "pods": {"metric": {"name": "m", "selector": SELECTOR},
                                      "target": {"type": "AverageValue", "averageValue": "500m"}}}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0, "selectPolicy": "Min",
                                   "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}}}),
    "policy/v1 poddisruptionbudgets": whole(
        "policy/v1", "PodDisruptionBudget",
        spec={"maxUnavailable": "0%", "selector": SELECTOR, "unhealthyPodEvictionPolicy": "AlwaysAllow"}),
    "coordination.k8s.io/v1 leases": whole("coordination.k8s.io/v1", "Lease", spec={
        "holderIdentity": "me", "leaseDurationSeconds": 15, "acquireTime": "2024-01-01T00:00:00.000001Z",
        "renewTime": "2024-01-01T00:00:00.900000Z", "leaseTransitions": 0}),
    "discovery.k8s.io/v1 endpointslices": whole(
        "discovery.k8s.io/v1", "EndpointSlice", addressType="IPv4", ports=[{"name": "", "port": 80, "protocol": "TCP"}],
        endpoints=[{"addresses": ["10.9.8.7"], "conditions": {"ready": False}, "hostname": "h", "nodeName": "n",
                    "zone": "z", "hints": {"forZones": [{"name": "z"}]}, "targetRef": {"kind": "Pod", "name": "p"}}]),
    "rbac.authorization.k8s.io/v1 roles": whole("rbac.authorization.k8s.io/v1", "Role", rules=[
        {"apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"], "verbs": ["get"]}]),
}  # fmt: skip
"""By ``group/version plural``; core kinds have no group."""

GLOBAL: dict[str, Obj] = {
    " nodes": whole("v1", "Node", spec={
        "podCIDR": "10.9.0.0/24", "podCIDRs": ["10.9.0.0/24"], "unschedulable": True, "providerID": "x://y",
        "taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]}),
    " persistentvolumes": whole("v1", "PersistentVolume", spec={
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"], "hostPath": {"path": "/x"},
        "persistentVolumeReclaimPolicy": "Retain", "mountOptions": ["ro"],
        "nodeAffinity": {"required": {"nodeSelectorTerms": [
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}]}}}),
    "networking.k8s.io/v1 ingressclasses": whole("networking.k8s.io/v1", "IngressClass", spec={
        "controller": "example.com/c",
        "parameters": {"apiGroup": "example.com", "kind": "P", "name": "p", "scope": "Cluster"}}),
    "storage.k8s.io/v1 storageclasses": whole(
        "storage.k8s.io/v1", "StorageClass", provisioner="example.com/p", parameters={"a": "b"},
        mountOptions=["ro"], allowVolumeExpansion=False, volumeBindingMode="WaitForFirstConsumer",
        allowedTopologies=[{"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]}]),
    "scheduling.k8s.io/v1 priorityclasses": whole(
        "scheduling.k8s.io/v1", "PriorityClass", value=0, description="d", preemptionPolicy="Never"),
    "node.k8s.io/v1 runtimeclasses": whole(
        "node.k8s.io/v1", "RuntimeClass", handler="h", overhead={"podFixed": {"cpu": "10m"}},
        scheduling={"nodeSelector": {"a": "b"}}),
    "rbac.authorization.k8s.io/v1 clusterroles": whole(
        "rbac.authorization.k8s.io/v1", "ClusterRole", rules=[{"nonResourceURLs": ["/x"], "verbs": ["get"]}]),
    "admissionregistration.k8s.io/v1 validatingwebhookconfigurations": whole(
        "admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", webhooks=[
            {"name": "one.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "rules": RULES,
             "clientConfig": {"service": {"namespace": "a", "name": "b", "path": "/c"}}, "timeoutSeconds": 3,
             "matchConditions": [{"name": "m", "expression": "true"}], "objectSelector": SELECTOR}]),
    "admissionregistration.k8s.io/v1 mutatingwebhookconfigurations": whole(
        "admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", webhooks=[
            {"name": "one.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "rules": RULES,
             "clientConfig": {"url": "https://none.example/x"}, "reinvocationPolicy": "IfNeeded"}]),
    "admissionregistration.k8s.io/v1 validatingadmissionpolicies": whole(
        "admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", spec={
            "failurePolicy": "Ignore", "variables": [{"name": "v", "expression": "1"}],
            "matchConstraints": {
                "resourceRules": [{**RULES[0], "resourceNames": ["n"]}], "namespaceSelector": SELECTOR},
            "validations": [{"expression": "variables.v == 1", "reason": "Forbidden", "messageExpression": "'no'"}],
            "auditAnnotations": [{"key": "k", "valueExpression": "'v'"}]}),
    "apiregistration.k8s.io/v1 apiservices": {
        **whole("apiregistration.k8s.io/v1", "APIService"),
        "metadata": {"name": "v1.protobuf.example.com"},
        "spec": {"group": "protobuf.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 7,
                 "insecureSkipTLSVerify": True, "service": {"namespace": "a", "name": "b", "port": 8443}}},
    "apiextensions.k8s.io/v1 customresourcedefinitions": {
        **whole("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        "metadata": {"name": "wholes.protobuf.example.com"},
        "spec": {
            "group": "protobuf.example.com", "scope": "Namespaced",
            "names": {"plural": "wholes", "singular": "whole", "kind": "Whole", "shortNames": ["wh"]},
            "versions": [{
                "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA},
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.size",
                                                         "statusReplicasPath": ".status.size"}},
                "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]}]}},
}  # fmt: skip
