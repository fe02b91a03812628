"""What a real server defaults, sets and validates for the built-in kinds, in tables by (apiVersion, kind). Pure."""

from __future__ import annotations

from devplane.kinds import cluster, discovery, jobs, metadata, pods, policies, services, storage, webhooks, workloads

DEFAULTS = {
    ("v1", "Pod"): pods.default,
    ("v1", "PodTemplate"): pods.default_template_of,
    ("v1", "Service"): services.default,
    ("v1", "Secret"): storage.default_secret,
    ("v1", "Namespace"): cluster.default_namespace,
    ("v1", "PersistentVolume"): storage.default_volume,
    ("v1", "PersistentVolumeClaim"): storage.default_claim,
    ("v1", "ResourceQuota"): cluster.default_quota,
    ("batch/v1", "Job"): jobs.default,
    ("batch/v1", "CronJob"): jobs.default_cron,
    ("apps/v1", "Deployment"): workloads.default_deployment,
    ("apps/v1", "ReplicaSet"): workloads.default_replica_set,
    ("apps/v1", "StatefulSet"): workloads.default_stateful_set,
    ("apps/v1", "DaemonSet"): workloads.default_daemon_set,
    ("v1", "Endpoints"): discovery.default_endpoints,
    ("discovery.k8s.io/v1", "EndpointSlice"): discovery.default_slice,
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): cluster.default_binding,
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): cluster.default_binding,
    ("storage.k8s.io/v1", "StorageClass"): storage.default_class,
    ("scheduling.k8s.io/v1", "PriorityClass"): cluster.default_priority,
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): cluster.default_crd,
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"): webhooks.default_validating,
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"): webhooks.default_mutating,
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"): policies.default,
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"): policies.default_binding,
    ("networking.k8s.io/v1", "NetworkPolicy"): discovery.default_network_policy,
    ("autoscaling/v2", "HorizontalPodAutoscaler"): workloads.default_autoscaler,
}
PREPARES = {
    ("v1", "Pod"): pods.prepare,
    ("v1", "Service"): services.prepare,
    ("v1", "Namespace"): cluster.prepare_namespace,
    ("v1", "PersistentVolumeClaim"): storage.prepare_claim,
    ("v1", "PersistentVolume"): storage.prepare_volume,
    ("batch/v1", "Job"): jobs.prepare,
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"): policies.prepare,
}
VALIDATES = {
    ("v1", "Pod"): pods.validate,
    ("v1", "Service"): services.validate,
    ("v1", "ConfigMap"): storage.validate_config_map,
    ("v1", "Secret"): storage.validate_secret,
    ("v1", "PersistentVolumeClaim"): storage.validate_claim,
    ("v1", "Event"): cluster.validate_event,
    ("batch/v1", "Job"): jobs.validate,
    ("batch/v1", "CronJob"): jobs.validate_cron,
    ("apps/v1", "Deployment"): workloads.validate_deployment,
    ("apps/v1", "ReplicaSet"): workloads.validate_replica_set,
    ("apps/v1", "StatefulSet"): workloads.validate_stateful_set,
    ("apps/v1", "DaemonSet"): workloads.validate_daemon_set,
    ("coordination.k8s.io/v1", "Lease"): discovery.validate_lease,
    ("discovery.k8s.io/v1", "EndpointSlice"): discovery.validate_slice,
    ("rbac.authorization.k8s.io/v1", "Role"): cluster.validate_role,
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): cluster.validate_role,
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): cluster.validate_binding,
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): cluster.validate_binding,
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"): webhooks.validate,
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"): webhooks.validate,
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"): policies.validate,
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"): policies.validate_binding,
    ("policy/v1", "PodDisruptionBudget"): workloads.validate_budget,
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): cluster.validate_definition,
}
NAMES = {
    ("v1", "Namespace"): metadata.label,
    ("v1", "Service"): metadata.label_1035,
    ("v1", "Event"): metadata.path_segment,
    ("events.k8s.io/v1", "Event"): metadata.path_segment,
    **{
        ("rbac.authorization.k8s.io/v1", kind): metadata.path_segment
        for kind in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
    },
}
