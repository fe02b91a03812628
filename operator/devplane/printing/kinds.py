"""How an object of each built-in kind becomes the cells of its row, as kubectl's users know them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from devplane.printing.networks import NETWORKS
from devplane.printing.parts import NONE, UNKNOWN, UNSET, Cells, Obj, created, name, spec, status
from devplane.printing.times import age, since
from devplane.printing.volumes import VOLUMES
from devplane.printing.workloads import WORKLOADS


def _event(obj: Obj, now: datetime) -> list[Any]:
    about, series = obj.get("involvedObject") or {}, obj.get("series")
    first = obj.get("firstTimestamp") or obj.get("eventTime")
    last = series.get("lastObservedTime") if series else obj.get("lastTimestamp") or first
    count = series.get("count", 0) if series else obj.get("count") or 1
    subject = "/".join(filter(None, [about.get("kind", "").lower(), about.get("name")]))
    return [since(last, now), obj.get("type", ""), obj.get("reason", ""), subject, about.get("fieldPath", ""),
            _origin(obj), (obj.get("message") or "").strip(), since(first, now), count, name(obj)]  # fmt: skip


def _origin(event: Obj) -> str:
    source = event.get("source") or {}
    component = source.get("component") or event.get("reportingComponent")
    return ", ".join(filter(None, [component, source.get("host") or event.get("reportingInstance")]))


def _node(obj: Obj, now: datetime) -> list[Any]:
    info = status(obj).get("nodeInfo") or {}
    found = (info.get(field) or UNKNOWN for field in ("osImage", "kernelVersion", "containerRuntimeVersion"))
    return [name(obj), _node_status(obj), _roles(obj), age(obj, now), info.get("kubeletVersion", ""),
            _address(obj, "InternalIP"), _address(obj, "ExternalIP"), *found]  # fmt: skip


def _node_status(node: Obj) -> str:
    ready = next((one for one in status(node).get("conditions") or () if one["type"] == "Ready"), None)
    shown = "Unknown" if ready is None else "Ready" if ready["status"] == "True" else "NotReady"
    return f"{shown},SchedulingDisabled" if spec(node).get("unschedulable") else shown


def _roles(node: Obj) -> str:
    prefix, labels = "node-role.kubernetes.io/", node["metadata"].get("labels") or {}
    found = {key.removeprefix(prefix) for key in labels if key.startswith(prefix)} | {labels.get("kubernetes.io/role")}
    return ",".join(sorted(role for role in found if role)) or NONE


def _address(node: Obj, kind: str) -> str:
    found = (one["address"] for one in status(node).get("addresses") or () if one["type"] == kind)
    return next(found, NONE)


def _namespace(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), status(obj).get("phase", ""), age(obj, now)]


def _config_map(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), age(obj, now)]


def _secret(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), obj.get("type", ""), len(obj.get("data") or ()), age(obj, now)]


def _account(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), len(obj.get("secrets") or ()), age(obj, now)]


def _quota(obj: Obj, now: datetime) -> list[Any]:
    hard, used = (status(obj).get(field) or {} for field in ("hard", "used"))
    shown = {resource: f"{resource}: {used.get(resource, '0')}/{most}" for resource, most in sorted(hard.items())}
    limits = [text for resource, text in shown.items() if resource.startswith("limits.")]
    requests = [text for resource, text in shown.items() if not resource.startswith("limits.")]
    return [name(obj), ", ".join(requests), ", ".join(limits), age(obj, now)]


def _lease(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), spec(obj).get("holderIdentity") or "", age(obj, now)]


def _priority_class(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), obj.get("value", 0), obj.get("globalDefault", False), age(obj, now),
            obj.get("preemptionPolicy", "")]  # fmt: skip


def _runtime_class(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), obj.get("handler", ""), age(obj, now)]


def _binding(obj: Obj, now: datetime) -> list[Any]:
    subjects = obj.get("subjects") or ()
    kinds = ("User", "Group", "ServiceAccount")
    named = (", ".join(_subject(one) for one in subjects if one.get("kind") == kind) for kind in kinds)
    role = obj.get("roleRef") or {}
    return [name(obj), f"{role.get('kind', '')}/{role.get('name', '')}", age(obj, now), *named]


def _subject(subject: Obj) -> str:
    return f"{subject['namespace']}/{subject['name']}" if subject.get("namespace") else str(subject["name"])


def _webhooks(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), len(obj.get("webhooks") or ()), age(obj, now)]


def _policy(obj: Obj, now: datetime) -> list[Any]:
    kind = spec(obj).get("paramKind")
    shown = f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET
    return [name(obj), len(spec(obj).get("validations") or ()), shown, age(obj, now)]


def _policy_binding(obj: Obj, now: datetime) -> list[Any]:
    reference = spec(obj).get("paramRef") or {}
    named = f"{reference.get('namespace') or '*'}/{reference['name']}" if reference.get("name") else ""
    shown = named or (_selector_in_go(reference["selector"]) if "selector" in reference else UNSET)
    return [name(obj), spec(obj).get("policyName", ""), shown, age(obj, now)]


def _selector_in_go(given: Obj) -> str:
    """A selector as Go's protobuf messages print themselves, which is what this column has."""
    labels = "".join(f"{key}: {value}," for key, value in sorted((given.get("matchLabels") or {}).items()))
    terms = "".join(
        f"LabelSelectorRequirement{{Key:{one['key']},Operator:{one['operator']},"
        f"Values:[{' '.join(one.get('values') or ())}],}},"
        for one in given.get("matchExpressions") or ()
    )
    expressions = f"[]LabelSelectorRequirement{{{terms}}}"
    return f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:{expressions},}}"


_ADMISSION = "admissionregistration.k8s.io"
_RBAC = "rbac.authorization.k8s.io"

CELLS: Mapping[str, Cells] = {
    **WORKLOADS,
    **NETWORKS,
    **VOLUMES,
    "events": _event,
    "nodes": _node,
    "namespaces": _namespace,
    "configmaps": _config_map,
    "secrets": _secret,
    "serviceaccounts": _account,
    "resourcequotas": _quota,
    "limitranges": created,
    "leases.coordination.k8s.io": _lease,
    "priorityclasses.scheduling.k8s.io": _priority_class,
    "runtimeclasses.node.k8s.io": _runtime_class,
    "customresourcedefinitions.apiextensions.k8s.io": created,
    f"roles.{_RBAC}": created,
    f"clusterroles.{_RBAC}": created,
    f"rolebindings.{_RBAC}": _binding,
    f"clusterrolebindings.{_RBAC}": _binding,
    f"validatingwebhookconfigurations.{_ADMISSION}": _webhooks,
    f"mutatingwebhookconfigurations.{_ADMISSION}": _webhooks,
    f"validatingadmissionpolicies.{_ADMISSION}": _policy,
    f"validatingadmissionpolicybindings.{_ADMISSION}": _policy_binding,
}
