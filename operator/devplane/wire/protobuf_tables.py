"""Field numbers of the kinds that clients send as protobuf, from the published .proto files of Kubernetes.

``number name type``: s string, i integer, b boolean, y bytes, t time, m time in microseconds, q quantity, x
int-or-string, r raw JSON, or a message of this table; ``[]`` before a type is a list,
``{}`` a map from strings; ``*`` after it: kept when zero. A message whose name is ``-`` has its fields in the one
that holds it, as Go's inlined structs have in JSON.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

_MESSAGES = """
ObjectMeta: 1 name s, 2 generateName s, 3 namespace s, 4 selfLink s, 5 uid s, 6 resourceVersion s, 7 generation i, 8 creationTimestamp t, 9 deletionTimestamp t, 10 deletionGracePeriodSeconds i*, 11 labels {}s, 12 annotations {}s, 13 ownerReferences []OwnerReference, 14 finalizers []s, 17 managedFields []ManagedFieldsEntry
OwnerReference: 1 kind s, 3 name s, 4 uid s, 5 apiVersion s, 6 controller b*, 7 blockOwnerDeletion b*
ManagedFieldsEntry: 1 manager s, 2 operation s, 3 apiVersion s, 4 time t, 6 fieldsType s, 7 fieldsV1 r, 8 subresource s
LabelSelector: 1 matchLabels {}s, 2 matchExpressions []LabelSelectorRequirement
LabelSelectorRequirement: 1 key s, 2 operator s, 3 values []s
ObjectReference: 1 kind s, 2 namespace s, 3 name s, 4 uid s, 5 apiVersion s, 6 resourceVersion s, 7 fieldPath s
LocalObjectReference: 1 name s
Preconditions: 1 uid s*, 2 resourceVersion s*
DeleteOptions: 1 gracePeriodSeconds i*, 2 preconditions Preconditions, 3 orphanDependents b*, 4 propagationPolicy s, 5 dryRun []s
Namespace: 1 metadata ObjectMeta, 2 spec NamespaceSpec, 3 status NamespaceStatus
NamespaceSpec: 1 finalizers []s
NamespaceStatus: 1 phase s
Secret: 1 metadata ObjectMeta, 2 data {}y, 3 type s, 4 stringData {}s, 5 immutable b*
ConfigMap: 1 metadata ObjectMeta, 2 data {}s, 3 binaryData {}y, 4 immutable b*
ServiceAccount: 1 metadata ObjectMeta, 2 secrets []ObjectReference, 3 imagePullSecrets []LocalObjectReference, 4 automountServiceAccountToken b*
Event: 1 metadata ObjectMeta, 2 involvedObject ObjectReference, 3 reason s, 4 message s, 5 source EventSource, 6 firstTimestamp t, 7 lastTimestamp t, 8 count i, 9 type s, 10 eventTime m, 12 action s, 13 related ObjectReference, 14 reportingComponent s, 15 reportingInstance s
EventSource: 1 component s, 2 host s
Lease: 1 metadata ObjectMeta, 2 spec LeaseSpec
LeaseSpec: 1 holderIdentity s*, 2 leaseDurationSeconds i*, 3 acquireTime m, 4 renewTime m, 5 leaseTransitions i*
ResourceAttributes: 1 namespace s, 2 verb s, 3 group s, 4 version s, 5 resource s, 6 subresource s, 7 name s
NonResourceAttributes: 1 path s, 2 verb s
SelfSubjectAccessReview: 1 metadata ObjectMeta, 2 spec SubjectAccessReviewSpec
SubjectAccessReview: 1 metadata ObjectMeta, 2 spec SubjectAccessReviewSpec
LocalSubjectAccessReview: 1 metadata ObjectMeta, 2 spec SubjectAccessReviewSpec
SubjectAccessReviewSpec: 1 resourceAttributes ResourceAttributes, 2 nonResourceAttributes NonResourceAttributes, 3 user s, 4 groups []s, 6 uid s
SelfSubjectRulesReview: 1 metadata ObjectMeta, 2 spec SelfSubjectRulesReviewSpec
SelfSubjectRulesReviewSpec: 1 namespace s
SelfSubjectReview: 1 metadata ObjectMeta
TokenReview: 1 metadata ObjectMeta, 2 spec TokenReviewSpec
TokenReviewSpec: 1 token s, 2 audiences []s
TokenRequest: 1 metadata ObjectMeta, 2 spec TokenRequestSpec
TokenRequestSpec: 1 audiences []s, 3 boundObjectRef BoundObjectReference, 4 expirationSeconds i*
BoundObjectReference: 1 kind s, 2 apiVersion s, 3 name s, 4 uid s
PolicyRule: 1 verbs []s, 2 apiGroups []s, 3 resources []s, 4 resourceNames []s, 5 nonResourceURLs []s
Role: 1 metadata ObjectMeta, 2 rules []PolicyRule
ClusterRole: 1 metadata ObjectMeta, 2 rules []PolicyRule, 3 aggregationRule AggregationRule
AggregationRule: 1 clusterRoleSelectors []LabelSelector
Subject: 1 kind s, 2 apiGroup s, 3 name s, 4 namespace s
RoleRef: 1 apiGroup s, 2 kind s, 3 name s
RoleBinding: 1 metadata ObjectMeta, 2 subjects []Subject, 3 roleRef RoleRef
ClusterRoleBinding: 1 metadata ObjectMeta, 2 subjects []Subject, 3 roleRef RoleRef
Eviction: 1 metadata ObjectMeta, 2 deleteOptions DeleteOptions
PriorityClass: 1 metadata ObjectMeta, 2 value i, 3 globalDefault b, 4 description s, 5 preemptionPolicy s
Service: 1 metadata ObjectMeta, 2 spec ServiceSpec
ServiceSpec: 1 ports []ServicePort, 2 selector {}s, 3 clusterIP s, 4 type s, 7 sessionAffinity s, 10 externalName s
ServicePort: 1 name s, 2 protocol s, 3 port i, 4 targetPort x, 5 nodePort i, 6 appProtocol s
Deployment: 1 metadata ObjectMeta, 2 spec DeploymentSpec
DeploymentSpec: 1 replicas i*, 2 selector LabelSelector, 3 template PodTemplateSpec, 4 strategy DeploymentStrategy, 5 minReadySeconds i, 6 revisionHistoryLimit i*, 7 paused b, 9 progressDeadlineSeconds i*
DeploymentStrategy: 1 type s, 2 rollingUpdate RollingUpdateDeployment
RollingUpdateDeployment: 1 maxUnavailable x, 2 maxSurge x
Job: 1 metadata ObjectMeta, 2 spec JobSpec
JobSpec: 1 parallelism i*, 2 completions i*, 3 activeDeadlineSeconds i*, 4 selector LabelSelector, 5 manualSelector b*, 6 template PodTemplateSpec, 7 backoffLimit i*, 8 ttlSecondsAfterFinished i*, 9 completionMode s, 10 suspend b*
CronJob: 1 metadata ObjectMeta, 2 spec CronJobSpec
CronJobSpec: 1 schedule s, 2 startingDeadlineSeconds i*, 3 concurrencyPolicy s, 4 suspend b*, 5 jobTemplate JobTemplateSpec, 6 successfulJobsHistoryLimit i*, 7 failedJobsHistoryLimit i*, 8 timeZone s
JobTemplateSpec: 1 metadata ObjectMeta, 2 spec JobSpec
Pod: 1 metadata ObjectMeta, 2 spec PodSpec
PodTemplateSpec: 1 metadata ObjectMeta, 2 spec PodSpec
PodSpec: 2 containers []Container, 3 restartPolicy s, 4 terminationGracePeriodSeconds i*, 5 activeDeadlineSeconds i*, 6 dnsPolicy s, 7 nodeSelector {}s, 8 serviceAccountName s, 9 serviceAccount s, 10 nodeName s, 11 hostNetwork b, 19 schedulerName s, 20 initContainers []Container, 21 automountServiceAccountToken b*
Container: 1 name s, 2 image s, 3 command []s, 4 args []s, 5 workingDir s, 6 ports []ContainerPort, 7 env []EnvVar, 8 resources ResourceRequirements, 9 volumeMounts []VolumeMount, 13 terminationMessagePath s, 14 imagePullPolicy s, 16 stdin b, 17 stdinOnce b, 18 tty b, 20 terminationMessagePolicy s
ContainerPort: 1 name s, 2 hostPort i, 3 containerPort i, 4 protocol s, 5 hostIP s
EnvVar: 1 name s, 2 value s
VolumeMount: 1 name s, 2 readOnly b, 3 mountPath s, 4 subPath s
ResourceRequirements: 1 limits {}q, 2 requests {}q
PodDisruptionBudget: 1 metadata ObjectMeta, 2 spec PodDisruptionBudgetSpec
PodDisruptionBudgetSpec: 1 minAvailable x*, 2 selector LabelSelector*, 3 maxUnavailable x*, 4 unhealthyPodEvictionPolicy s
ResourceQuota: 1 metadata ObjectMeta, 2 spec ResourceQuotaSpec
ResourceQuotaSpec: 1 hard {}q, 2 scopes []s, 3 scopeSelector ScopeSelector
ScopeSelector: 1 matchExpressions []ScopedResourceSelectorRequirement
ScopedResourceSelectorRequirement: 1 scopeName s, 2 operator s, 3 values []s
Ingress: 1 metadata ObjectMeta, 2 spec IngressSpec
IngressSpec: 1 defaultBackend IngressBackend, 2 tls []IngressTLS, 3 rules []IngressRule, 4 ingressClassName s*
IngressTLS: 1 hosts []s, 2 secretName s
IngressRule: 1 host s, 2 - IngressRuleValue
IngressRuleValue: 1 http HTTPIngressRuleValue
HTTPIngressRuleValue: 1 paths []HTTPIngressPath
HTTPIngressPath: 1 path s, 2 backend IngressBackend*, 3 pathType s
IngressBackend: 3 resource TypedLocalObjectReference, 4 service IngressServiceBackend
IngressServiceBackend: 1 name s, 2 port ServiceBackendPort
ServiceBackendPort: 1 name s, 2 number i
TypedLocalObjectReference: 1 apiGroup s*, 2 kind s, 3 name s
HorizontalPodAutoscaler: 1 metadata ObjectMeta, 2 spec HorizontalPodAutoscalerSpec
HorizontalPodAutoscalerSpec: 1 scaleTargetRef CrossVersionObjectReference, 2 minReplicas i*, 3 maxReplicas i, 4 metrics []MetricSpec, 5 behavior HorizontalPodAutoscalerBehavior
CrossVersionObjectReference: 1 kind s, 2 name s, 3 apiVersion s
MetricSpec: 1 type s, 2 object ObjectMetricSource, 3 pods PodsMetricSource, 4 resource ResourceMetricSource, 5 external ExternalMetricSource, 7 containerResource ContainerResourceMetricSource
ObjectMetricSource: 1 describedObject CrossVersionObjectReference, 2 target MetricTarget, 3 metric MetricIdentifier
PodsMetricSource: 1 metric MetricIdentifier, 2 target MetricTarget
ResourceMetricSource: 1 name s, 2 target MetricTarget
ExternalMetricSource: 1 metric MetricIdentifier, 2 target MetricTarget
ContainerResourceMetricSource: 1 name s, 2 target MetricTarget, 3 container s
MetricIdentifier: 1 name s, 2 selector LabelSelector*
MetricTarget: 1 type s, 2 value q, 3 averageValue q, 4 averageUtilization i*
HorizontalPodAutoscalerBehavior: 1 scaleUp HPAScalingRules, 2 scaleDown HPAScalingRules
HPAScalingRules: 1 selectPolicy s, 2 policies []HPAScalingPolicy, 3 stabilizationWindowSeconds i*, 4 tolerance q
HPAScalingPolicy: 1 type s, 2 value i, 3 periodSeconds i
"""  # noqa: E501 (one message a line, as a table)

INLINE = "-"


class Field(NamedTuple):
    """One field: its JSON name, what it holds, whether a zero means something."""

    name: str
    type: str
    shape: str
    has_zero: bool


@cache
def messages() -> dict[str, dict[int, Field]]:
    """The table, read."""
    found: dict[str, dict[int, Field]] = {}
    for line in _MESSAGES.strip().splitlines():
        name, _, declared = line.partition(": ")
        found[name] = dict(_field(one) for one in declared.split(", "))
    return found


def _field(text: str) -> tuple[int, Field]:
    number, name, kind = text.split()
    has_zero = kind.endswith("*")
    shape = kind[:2] if kind[:2] in ("[]", "{}") else ""
    return int(number), Field(name, kind.removeprefix(shape).rstrip("*"), shape, has_zero)
