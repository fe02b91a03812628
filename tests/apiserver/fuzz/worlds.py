"""Objects of all kinds that mean something to devplane: what fuzzing begins with. None of it runs anything."""

from __future__ import annotations

from typing import Any

from apiserver.fuzz.wire import Wire

Obj = dict[str, Any]

GROUP = "fuzz.example.com"
SPACE = "/api/v1/namespaces/default"
APPS = "/apis/apps/v1/namespaces/default"
BATCH = "/apis/batch/v1/namespaces/default"
RBAC = "rbac.authorization.k8s.io"
NAME = {"name": "one"}
LABELS = {"app": "one"}
POD: Obj = {
    "containers": [
        {
            "name": "main",
            "image": "none/such:1",
            "command": ["true"],
            "env": [{"name": "A", "value": "1"}, {"name": "B",
            "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "ports": [{"containerPort": 80, "name": "http", "protocol": "TCP"}],
            "resources": {"limits": {"cpu": "100m", "memory": "64Mi"}, "requests": {"cpu": "50m"}},
            "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 5},
            "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
        }
    ],
    "initContainers": [{"name": "first", "image": "none/such:1", "restartPolicy": "Always"}],
    "volumes": [{"name": "scratch", "emptyDir": {}}, {"name": "conf", "configMap": {"name": "one"}}],
    "tolerations": [{"key": "gone", "operator": "Exists", "effect": "NoSchedule"}],
    "nodeSelector": {"kubernetes.io/os": "linux"},
}  # fmt: skip
TEMPLATE: Obj = {"metadata": {"labels": LABELS}, "spec": POD}
RUN_ONCE: Obj = {"metadata": {"labels": LABELS}, "spec": {**POD, "restartPolicy": "Never"}}
SELECTOR: Obj = {"matchLabels": LABELS, "matchExpressions": [{"key": "app", "operator": "In", "values": ["one"]}]}


def definition(plural: str, kind: str, spec: Obj) -> Obj:
    """A CRD whose objects have this schema of `spec`, a status and a scale."""
    schema = {
        "type": "object",
        "properties": {"spec": spec, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    version = {
        "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.size",
        "statusReplicasPath": ".status.size"}},
        "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
        "selectableFields": [{"jsonPath": ".spec.mode"}],
    }  # fmt: skip
    names = {"plural": plural, "singular": kind.lower(), "kind": kind}
    return {
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


FREE: Obj = {
    "type": "object",
    "x-kubernetes-preserve-unknown-fields": True,
    "properties": {"size": {"type": "integer"}, "mode": {"type": "string"}},
}
STRICT: Obj = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 0, "maximum": 100},
        "mode": {"type": "string", "enum": ["auto", "fixed"], "default": "auto"},
        "when": {"type": "string", "format": "date-time"},
        "port": {"x-kubernetes-int-or-string": True},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "parts": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"],
                      "properties": {"name": {"type": "string"}, "value": {"type": "number", "nullable": True}}},
        },
        "limits": {"type": "object", "additionalProperties": {"type": "string", "pattern": "^[a-z]*$"}},
    },
    "x-kubernetes-validations": [
        {"rule": "self.size <= 50 || self.mode == 'fixed'", "message": "too large"},
        {"rule": "self.size >= oldSelf.size || self.mode == 'fixed'", "message": "it does not shrink"},
    ],
}  # fmt: skip
STRICT_SPEC: Obj = {
    "size": 3, "mode": "auto", "when": "2026-01-01T00:00:00Z", "port": "http", "tags": ["a", "b"],
    "parts": [{"name": "a", "value": 1.5}], "limits": {"x": "y"},
}  # fmt: skip

STORED: dict[str, Obj] = {
    f"{SPACE}/configmaps": {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {**NAME, "labels": LABELS},
                            "data": {"a": "1"}, "binaryData": {"b": "AAE="}},
    f"{SPACE}/secrets": {"kind": "Secret", "apiVersion": "v1", "metadata": NAME, "data": {"a": "MQ=="},
                         "stringData": {"c": "d"}, "type": "Opaque"},
    f"{SPACE}/serviceaccounts": {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": NAME,
                                 "secrets": [{"name": "one"}], "automountServiceAccountToken": False},
    f"{SPACE}/services": {"kind": "Service", "apiVersion": "v1", "metadata": NAME,
                          "spec": {"selector": LABELS, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}},
    f"{SPACE}/pods": {"kind": "Pod", "apiVersion": "v1", "metadata": {**NAME, "labels": LABELS}, "spec": POD},
    f"{SPACE}/persistentvolumeclaims": {
        "kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": NAME,
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
    f"{SPACE}/resourcequotas": {"kind": "ResourceQuota", "apiVersion": "v1", "metadata": NAME,
                                "spec": {"hard": {"pods": "1000", "requests.cpu": "100", "count/jobs.batch": "9999"}}},
    f"{SPACE}/limitranges": {"kind": "LimitRange", "apiVersion": "v1", "metadata": NAME,
                             "spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}},
    f"{SPACE}/events": {"kind": "Event", "apiVersion": "v1", "metadata": NAME, "reason": "Told", "message": "m",
                        "involvedObject": {"kind": "Pod", "name": "one", "namespace": "default"}, "type": "Normal",
                        "count": 1, "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z"},
    f"{APPS}/deployments": {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": NAME, "spec": {
        "replicas": 2, "selector": SELECTOR, "template": TEMPLATE,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}}}},
    f"{APPS}/replicasets": {"kind": "ReplicaSet", "apiVersion": "apps/v1", "metadata": NAME,
                            "spec": {"replicas": 1, "selector": SELECTOR, "template": TEMPLATE}},
    f"{BATCH}/jobs": {"kind": "Job", "apiVersion": "batch/v1", "metadata": NAME, "spec": {
        "completions": 2, "parallelism": 1, "completionMode": "Indexed", "backoffLimit": 3, "template": RUN_ONCE,
        "activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 60,
        "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}}]},
        "successPolicy": {"rules": [{"succeededIndexes": "0", "succeededCount": 1}]}}},
    f"{BATCH}/cronjobs": {"kind": "CronJob", "apiVersion": "batch/v1", "metadata": NAME,
                          "spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": RUN_ONCE}}}},
    "/apis/policy/v1/namespaces/default/poddisruptionbudgets": {
        "kind": "PodDisruptionBudget", "apiVersion": "policy/v1", "metadata": NAME,
        "spec": {"minAvailable": "50%", "selector": SELECTOR}},
    f"/apis/{RBAC}/v1/namespaces/default/roles": {
        "kind": "Role", "apiVersion": f"{RBAC}/v1", "metadata": NAME,
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": ["one"]}]},
    f"/apis/{RBAC}/v1/namespaces/default/rolebindings": {
        "kind": "RoleBinding", "apiVersion": f"{RBAC}/v1", "metadata": NAME,
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "one"},
        "subjects": [{"kind": "ServiceAccount", "name": "one", "namespace": "default"}]},
    f"/apis/{RBAC}/v1/clusterroles": {
        "kind": "ClusterRole", "apiVersion": f"{RBAC}/v1", "metadata": NAME,
        "aggregationRule": {"clusterRoleSelectors": [SELECTOR]}, "rules": [{"nonResourceURLs": ["/x"],
        "verbs": ["get"]}]},
    "/apis/coordination.k8s.io/v1/namespaces/default/leases": {
        "kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": NAME,
        "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}},
    "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices": {
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "metadata": NAME, "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}], "ports": [{"port": 80}]},
    "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers": {
        "kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v2", "metadata": NAME,
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "one", "apiVersion": "apps/v1"}}},
    "/apis/scheduling.k8s.io/v1/priorityclasses": {
        "kind": "PriorityClass", "apiVersion": "scheduling.k8s.io/v1", "metadata": NAME, "value": 10},
    f"/apis/{GROUP}/v1/namespaces/default/things": {
        "kind": "Thing", "apiVersion": f"{GROUP}/v1", "metadata": {**NAME, "finalizers": [f"{GROUP}/hold"]},
        "spec": {"size": 1, "any": {"a": [1, None, {"b": "c"}]}}},
    f"/apis/{GROUP}/v1/namespaces/default/rules": {
        "kind": "Rule", "apiVersion": f"{GROUP}/v1", "metadata": NAME, "spec": STRICT_SPEC},
}  # fmt: skip
"""Real objects by the path of their collection; each is stored under the name `one`."""

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
RULES = [{"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["widgets"], "operations": ["CREATE"]}]
UNSTORED: dict[str, Obj] = {
    DEFINITIONS: {"kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1",
                  **definition("extras", "Extra", STRICT)},
    f"{ADMISSION}/validatingwebhookconfigurations": {
        "kind": "ValidatingWebhookConfiguration", "apiVersion": "admissionregistration.k8s.io/v1", "metadata": NAME,
        "webhooks": [{"name": "one.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
                      "clientConfig": {"url": "https://127.0.0.1:1/x"}, "rules": RULES, "objectSelector": SELECTOR,
                      "matchConditions": [{"name": "m", "expression": "object.metadata.name == 'x'"}]}]},
    f"{ADMISSION}/validatingadmissionpolicies": {
        "kind": "ValidatingAdmissionPolicy", "apiVersion": "admissionregistration.k8s.io/v1", "metadata": NAME,
        "spec": {"matchConstraints": {"resourceRules": RULES}, "variables": [{"name": "v", "expression": "1"}],
                 "validations": [{"expression": "variables.v == 1", "messageExpression": "'no'"}]}},
    f"{ADMISSION}/validatingadmissionpolicybindings": {
        "kind": "ValidatingAdmissionPolicyBinding", "apiVersion": "admissionregistration.k8s.io/v1", "metadata": NAME,
        "spec": {"policyName": "one", "validationActions": ["Deny"]}},
    "/api/v1/namespaces": {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "another"}},
    "/api/v1/nodes": {"kind": "Node", "apiVersion": "v1", "metadata": NAME, "spec": {"taints": [
        {"key": "a", "effect": "NoSchedule"}]}, "status": {"capacity": {"cpu": "1"}}},
    "/api/v1/persistentvolumes": {
        "kind": "PersistentVolume", "apiVersion": "v1", "metadata": NAME,
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/nowhere"}}},
    "/apis/storage.k8s.io/v1/storageclasses": {
        "kind": "StorageClass", "apiVersion": "storage.k8s.io/v1", "metadata": NAME, "provisioner": "none/such"},
    f"/apis/{RBAC}/v1/clusterrolebindings": {
        "kind": "ClusterRoleBinding", "apiVersion": f"{RBAC}/v1", "metadata": NAME,
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "view"}, "subjects": [{"kind": "User",
        "name": "u"}]},
}  # fmt: skip
"""Objects that would change what others may do: they are only ever dry runs."""

AUTHORIZATION = "/apis/authorization.k8s.io/v1"
ASKED: dict[str, Obj] = {
    "/apis/authentication.k8s.io/v1/tokenreviews": {
        "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": "t", "audiences": ["a"]}},
    "/apis/authentication.k8s.io/v1/selfsubjectreviews": {
        "kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"},
    f"{AUTHORIZATION}/subjectaccessreviews": {
        "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"user": "u", "groups": ["g"], "extra": {"k": ["v"]},
                 "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}},
    f"{AUTHORIZATION}/selfsubjectaccessreviews": {
        "kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"nonResourceAttributes": {"verb": "get", "path": "/healthz"}}},
    f"{AUTHORIZATION}/selfsubjectrulesreviews": {
        "kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1", "spec": {"namespace": "default"}},
    f"{AUTHORIZATION}/namespaces/default/localsubjectaccessreviews": {
        "kind": "LocalSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"user": "u", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}},
    f"{SPACE}/serviceaccounts/default/token": {
        "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
        "spec": {"audiences": ["a"], "expirationSeconds": 600,
                 "boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "one"}}},
    f"{SPACE}/pods/one/eviction": {
        "kind": "Eviction", "apiVersion": "policy/v1", "metadata": NAME,
        "deleteOptions": {"dryRun": ["All"], "preconditions": {"uid": "x"}, "gracePeriodSeconds": 5}},
    f"{SPACE}/pods/none/binding": {
        "kind": "Binding", "apiVersion": "v1", "metadata": {"name": "none"}, "target": {"kind": "Node", "name": "n"}},
    f"{SPACE}/bindings": {
        "kind": "Binding", "apiVersion": "v1", "metadata": {"name": "none"}, "target": {"kind": "Node", "name": "n"}},
}  # fmt: skip
"""Bodies that are posted and stored nowhere."""

SCALE: Obj = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": NAME, "spec": {"replicas": 2}}
DELETE_OPTIONS: Obj = {
    "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 5, "propagationPolicy": "Background",
    "dryRun": ["All"], "preconditions": {"uid": "x", "resourceVersion": "1"}, "orphanDependents": None,
}  # fmt: skip


def prepare(wire: Wire) -> None:
    """The world that requests meet: two kinds of custom resources, and one object of each stored kind."""
    wire.made(f"{SPACE}/serviceaccounts", {"metadata": {"name": "default"}})
    for plural, kind, spec in (("things", "Thing", FREE), ("rules", "Rule", STRICT)):
        wire.made(DEFINITIONS, definition(plural, kind, spec))
    for path, body in STORED.items():
        wire.made(path, body)
