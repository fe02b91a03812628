"""The built-in resources as data: what discovery lists and which store each is kept in."""

from __future__ import annotations

from devplane.resources.registry import STANDARD_VERBS, Resource, Subresource

# plural kind scope(N|C) [short=…] [cat=…] [verbs=…] [singular=…] [sub=name,…]; a line "group/version" starts a group.
_TABLE = """
v1
bindings Binding N verbs=create
configmaps ConfigMap N short=cm
endpoints Endpoints N short=ep singular=endpoints
events Event N short=ev
limitranges LimitRange N short=limits
namespaces Namespace C short=ns verbs=create,delete,get,list,patch,update,watch sub=finalize,status
nodes Node C short=no sub=status
persistentvolumeclaims PersistentVolumeClaim N short=pvc sub=status
persistentvolumes PersistentVolume C short=pv sub=status
pods Pod N short=po cat=all sub=attach,binding,eviction,exec,log,portforward,status
podtemplates PodTemplate N
replicationcontrollers ReplicationController N short=rc cat=all sub=scale,status
resourcequotas ResourceQuota N short=quota sub=status
secrets Secret N
serviceaccounts ServiceAccount N short=sa sub=token
services Service N short=svc cat=all sub=status
apiregistration.k8s.io/v1
apiservices APIService C cat=api-extensions sub=status
apps/v1
controllerrevisions ControllerRevision N
daemonsets DaemonSet N short=ds cat=all sub=status
deployments Deployment N short=deploy cat=all sub=scale,status
replicasets ReplicaSet N short=rs cat=all sub=scale,status
statefulsets StatefulSet N short=sts cat=all sub=scale,status
events.k8s.io/v1
events Event N short=ev
authentication.k8s.io/v1
selfsubjectreviews SelfSubjectReview C verbs=create
tokenreviews TokenReview C verbs=create
authorization.k8s.io/v1
localsubjectaccessreviews LocalSubjectAccessReview N verbs=create
selfsubjectaccessreviews SelfSubjectAccessReview C verbs=create
selfsubjectrulesreviews SelfSubjectRulesReview C verbs=create
subjectaccessreviews SubjectAccessReview C verbs=create
autoscaling/v2
horizontalpodautoscalers HorizontalPodAutoscaler N short=hpa cat=all sub=status
batch/v1
cronjobs CronJob N short=cj cat=all sub=status
jobs Job N cat=all sub=status
networking.k8s.io/v1
ingressclasses IngressClass C singular=ingressclass
ingresses Ingress N short=ing singular=ingress sub=status
networkpolicies NetworkPolicy N short=netpol singular=networkpolicy
policy/v1
poddisruptionbudgets PodDisruptionBudget N short=pdb sub=status
rbac.authorization.k8s.io/v1
clusterrolebindings ClusterRoleBinding C
clusterroles ClusterRole C
rolebindings RoleBinding N
roles Role N
storage.k8s.io/v1
csidrivers CSIDriver C
csinodes CSINode C
csistoragecapacities CSIStorageCapacity N singular=csistoragecapacity
storageclasses StorageClass C short=sc singular=storageclass
volumeattachments VolumeAttachment C sub=status
admissionregistration.k8s.io/v1
mutatingwebhookconfigurations MutatingWebhookConfiguration C cat=api-extensions
validatingadmissionpolicies ValidatingAdmissionPolicy C cat=api-extensions singular=validatingadmissionpolicy sub=status
validatingadmissionpolicybindings ValidatingAdmissionPolicyBinding C cat=api-extensions
validatingwebhookconfigurations ValidatingWebhookConfiguration C cat=api-extensions
apiextensions.k8s.io/v1
customresourcedefinitions CustomResourceDefinition C short=crd,crds cat=api-extensions sub=status
scheduling.k8s.io/v1
priorityclasses PriorityClass C short=pc singular=priorityclass
coordination.k8s.io/v1
leases Lease N
node.k8s.io/v1
runtimeclasses RuntimeClass C singular=runtimeclass
discovery.k8s.io/v1
endpointslices EndpointSlice N
"""

_WARNINGS = {("v1", "endpoints"): ("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",)}
_EDIT = ("get", "patch", "update")


def _subresource(name: str, kind: str) -> Subresource:
    match name:
        case "scale":
            return Subresource("scale", "Scale", _EDIT, "autoscaling", "v1")
        case "status":
            return Subresource("status", kind, _EDIT)
        case "eviction":
            return Subresource("eviction", "Eviction", ("create",), "policy", "v1")
        case "binding":
            return Subresource("binding", "Binding", ("create",))
        case "token":
            return Subresource("token", "TokenRequest", ("create",), "authentication.k8s.io", "v1")
        case "log":
            return Subresource("log", kind, ("get",))
        case "exec" | "attach":
            return Subresource(name, f"Pod{name.capitalize()}Options", ("create", "get"))
        case "portforward":
            return Subresource(name, "PodPortForwardOptions", ("create", "get"))
        case "finalize":
            return Subresource("finalize", kind, ("update",))
        case _:
            raise ValueError(f"{name}: no such subresource")


def _parse(group: str, version: str, line: str) -> Resource:
    plural, kind, scope, *rest = line.split()
    options = dict(part.split("=", 1) for part in rest)

    def words(option: str) -> tuple[str, ...]:
        return tuple(options[option].split(",")) if option in options else ()

    return Resource(
        group=group,
        version=version,
        plural=plural,
        singular=options.get("singular", kind.lower()),
        kind=kind,
        namespaced=scope == "N",
        verbs=words("verbs") or STANDARD_VERBS,
        short_names=words("short"),
        categories=words("cat"),
        subresources=tuple(_subresource(name, kind) for name in words("sub")),
        store="events" if plural == "events" else "",
        warnings=_WARNINGS.get((version, plural), ()),
    )


def builtin_resources() -> list[Resource]:
    """Every built-in resource, in the order of discovery."""
    found: list[Resource] = []
    group, version = "", "v1"
    for line in _TABLE.strip().splitlines():
        if " " not in line:
            group, _, version = line.rpartition("/")
            continue
        found.append(_parse(group, version, line))
    return found
