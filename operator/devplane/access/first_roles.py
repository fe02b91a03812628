"""The roles for people that every cluster has: `view`, `edit` and `admin`, and what they are made of.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#user-facing-roles
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Obj = dict[str, Any]

_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")
_ALL = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_RBAC = "rbac.authorization.k8s.io"
_LABEL = f"{_RBAC}/aggregate-to-"

_APPS_READ = (
    "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status "
    "replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status"
)
_APPS_WRITE = (
    "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets "
    "statefulsets/scale"
)
# Of each group: what is read by `view`, and what is written by `edit`.
_WORKLOADS = {
    "apps": (_APPS_READ, _APPS_WRITE),
    "autoscaling": ("horizontalpodautoscalers horizontalpodautoscalers/status", "horizontalpodautoscalers"),
    "batch": ("cronjobs cronjobs/status jobs jobs/status", "cronjobs jobs"),
    "policy": ("poddisruptionbudgets poddisruptionbudgets/status", "poddisruptionbudgets"),
    "networking.k8s.io": ("ingresses ingresses/status networkpolicies", "ingresses networkpolicies"),
}
_CORE_READ = (
    "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
    "replicationcontrollers/scale serviceaccounts services services/status bindings events limitranges "
    "namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas resourcequotas/status "
    "namespaces"
)
_STREAMS = "pods/attach pods/exec pods/portforward pods/proxy"
_CORE_WRITE = (
    "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets "
    "serviceaccounts services services/proxy"
)


def _rule(group: str, resources: str, verbs: tuple[str, ...]) -> Obj:
    return {"apiGroups": [group], "resources": resources.split(), "verbs": list(verbs)}


def _view() -> list[Obj]:
    workloads = [_rule(group, read, _READ) for group, (read, _) in _WORKLOADS.items()]
    return [_rule("", _CORE_READ, _READ), _rule("discovery.k8s.io", "endpointslices", _READ), *workloads]


def _edit() -> list[Obj]:
    return [
        _rule("", f"{_STREAMS} secrets services/proxy", _READ),
        _rule("", "serviceaccounts", ("impersonate",)),
        _rule("", f"pods {_STREAMS}", _WRITE),
        _rule("", "pods/eviction", ("create",)),
        _rule("", _CORE_WRITE, _WRITE),
        _rule("", "serviceaccounts/token", ("create",)),
        *(_rule(group, write, _WRITE) for group, (_, write) in _WORKLOADS.items()),
        _rule("coordination.k8s.io", "leases", _ALL),
    ]


def _admin() -> list[Obj]:
    return [
        _rule("authorization.k8s.io", "localsubjectaccessreviews", ("create",)),
        _rule(_RBAC, "roles rolebindings", _ALL),
    ]


def first_roles() -> Iterator[Obj]:
    """Each of the three as a role that collects others by label, with the one that holds its own rules."""
    held: list[Obj] = []
    into = {"view": "edit", "edit": "admin"}
    for name, own in (("view", _view()), ("edit", _edit()), ("admin", _admin())):
        held = [*own, *held]
        yield _role(f"system:aggregate-to-{name}", own, {f"{_LABEL}{name}": "true"})
        above = {f"{_LABEL}{into[name]}": "true"} if name in into else {}
        selector = {"matchLabels": {f"{_LABEL}{name}": "true"}}
        yield {**_role(name, held, above), "aggregationRule": {"clusterRoleSelectors": [selector]}}


def _role(name: str, rules: list[Obj], labels: dict[str, str]) -> Obj:
    metadata = {
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults", **labels},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    }
    return {"metadata": metadata, "rules": rules}
