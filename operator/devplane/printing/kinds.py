"""The columns and cells of built-in kinds, as kubectl's users know them. Pure.

A column is ``Name``, ``+Name`` (only with -o wide) and optionally ``:type``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from devplane.printing.pods import POD_COLUMNS, pod_cells
from devplane.printing.times import age, human, since

Obj = dict[str, Any]

NONE = "<none>"
UNSET = "<unset>"


@dataclass(frozen=True, slots=True)
class Printer:
    """Column names and how an object becomes their cells."""

    columns: tuple[str, ...]
    cells: Callable[[Obj, datetime], list[Any]]


def _name(obj: Obj) -> str:
    name: str = obj["metadata"]["name"]
    return name


def _status(obj: Obj) -> Obj:
    status: Obj = obj.get("status") or {}
    return status


def _spec(obj: Obj) -> Obj:
    spec: Obj = obj.get("spec") or {}
    return spec


def _selector(selector: Obj | None) -> str:
    if not selector:
        return NONE
    terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for one in selector.get("matchExpressions") or ():
        values = ",".join(one.get("values") or ())
        terms.append(f"{one['key']} {one['operator'].lower()} ({values})" if values else str(one["key"]))
    return ",".join(terms) or NONE


def _containers(obj: Obj) -> tuple[str, str]:
    containers = _spec(obj).get("template", {}).get("spec", {}).get("containers") or ()
    return ",".join(one["name"] for one in containers), ",".join(one.get("image", "") for one in containers)


def _job(job: Obj, now: datetime) -> list[Any]:
    spec, status = _spec(job), _status(job)
    names, images = _containers(job)
    return [_name(job), _job_status(status, spec), _completions(spec, status), _job_duration(status, now),
            age(job, now), names, images, _selector(spec.get("selector"))]  # fmt: skip


def _completions(spec: Obj, status: Obj) -> str:
    succeeded = status.get("succeeded", 0)
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallelism = spec.get("parallelism", 0)
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _job_status(status: Obj, spec: Obj) -> str:
    held = {one["type"] for one in status.get("conditions") or () if one["status"] == "True"}
    for kind, shown in (("Complete", "Complete"), ("Failed", "Failed")):
        if kind in held:
            return shown
    if "Suspended" in held:
        return "Suspended"
    if "FailureTarget" in held:
        return "FailureTarget"
    return "SuccessCriteriaMet" if "SuccessCriteriaMet" in held else "Running"


def _job_duration(status: Obj, now: datetime) -> str:
    started = status.get("startTime")
    if not started:
        return ""
    ends = [one["lastTransitionTime"] for one in status.get("conditions") or () if one["type"] == "Failed"]
    end = status.get("completionTime") or (ends[0] if ends else None)
    return human((datetime.fromisoformat(end) if end else now) - datetime.fromisoformat(started))


def _deployment(obj: Obj, now: datetime) -> list[Any]:
    status = _status(obj)
    names, images = _containers(obj)
    return [_name(obj), f"{status.get('readyReplicas', 0)}/{_spec(obj).get('replicas', 0)}",
            status.get("updatedReplicas", 0), status.get("availableReplicas", 0), age(obj, now), names, images,
            _selector(_spec(obj).get("selector"))]  # fmt: skip


def _replica_set(obj: Obj, now: datetime) -> list[Any]:
    status = _status(obj)
    names, images = _containers(obj)
    return [_name(obj), _spec(obj).get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0),
            age(obj, now), names, images, _selector(_spec(obj).get("selector"))]  # fmt: skip


def _stateful_set(obj: Obj, now: datetime) -> list[Any]:
    ready = _status(obj).get("readyReplicas", 0)
    return [_name(obj), f"{ready}/{_spec(obj).get('replicas', 0)}", age(obj, now), *_containers(obj)]


def _service(obj: Obj, now: datetime) -> list[Any]:
    spec = _spec(obj)
    selector = ",".join(f"{key}={value}" for key, value in sorted((spec.get("selector") or {}).items()))
    return [_name(obj), spec.get("type", ""), spec.get("clusterIP") or NONE, _external(obj), _ports(spec),
            age(obj, now), selector or NONE]  # fmt: skip


def _external(service: Obj) -> str:
    spec = _spec(service)
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", NONE))
    given = _status(service).get("loadBalancer", {}).get("ingress") or ()
    shown = [one.get("ip") or one.get("hostname", "") for one in given] + list(spec.get("externalIPs") or ())
    return ",".join(shown) or ("<pending>" if spec.get("type") == "LoadBalancer" else NONE)


def _ports(spec: Obj) -> str:
    def shown(port: Obj) -> str:
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        return f"{port['port']}{node}/{port.get('protocol', 'TCP')}"

    return ",".join(shown(port) for port in spec.get("ports") or ()) or NONE


def _first_of(values: Iterable[str], most: int = 3) -> str:
    found = list(values)
    more = f" + {len(found) - most} more..." if len(found) > most else ""
    return ",".join(found[:most]) + more if found else UNSET


def _slice(obj: Obj, now: datetime) -> list[Any]:
    ports = [str(port.get("port", "*")) for port in obj.get("ports") or ()]
    addresses = [one for endpoint in obj.get("endpoints") or () for one in endpoint.get("addresses") or ()]
    return [_name(obj), obj.get("addressType", ""), _first_of(ports), _first_of(addresses), age(obj, now)]


def _endpoints(obj: Obj, now: datetime) -> list[Any]:
    """Ready addresses only, each with each of its ports."""
    shown = []
    for subset in obj.get("subsets") or ():
        ends = [f":{port['port']}" for port in subset.get("ports") or ()] or [""]
        shown += [f"{one['ip']}{end}" for end in ends for one in subset.get("addresses") or ()]
    none = "" if obj.get("subsets") else NONE
    return [_name(obj), _first_of(shown) if shown else none, age(obj, now)]


def _event(obj: Obj, now: datetime) -> list[Any]:
    about, source = obj.get("involvedObject") or {}, obj.get("source") or {}
    last = obj.get("lastTimestamp") or obj.get("eventTime")
    first = obj.get("firstTimestamp") or obj.get("eventTime")
    origin = ", ".join(filter(None, [source.get("component") or obj.get("reportingComponent"),
                                     source.get("host") or obj.get("reportingInstance")]))  # fmt: skip
    subject = f"{about.get('kind', '').lower()}/{about.get('name', '')}"
    count = (obj.get("series") or {}).get("count") or obj.get("count") or 1
    return [since(last, now), obj.get("type", ""), obj.get("reason", ""), subject, about.get("fieldPath", ""), origin,
            (obj.get("message") or "").strip(), since(first, now), count, _name(obj)]  # fmt: skip


def _node(obj: Obj, now: datetime) -> list[Any]:
    info = _status(obj).get("nodeInfo") or {}
    prefix = "node-role.kubernetes.io/"
    roles = sorted(key.removeprefix(prefix) for key in obj["metadata"].get("labels") or {} if key.startswith(prefix))
    addresses = {one["type"]: one["address"] for one in _status(obj).get("addresses") or ()}
    return [_name(obj), _node_status(obj), ",".join(roles) or NONE, age(obj, now), info.get("kubeletVersion", ""),
            addresses.get("InternalIP", NONE), addresses.get("ExternalIP", NONE), info.get("osImage") or "<unknown>",
            info.get("kernelVersion") or "<unknown>", info.get("containerRuntimeVersion") or "<unknown>"]  # fmt: skip


def _node_status(node: Obj) -> str:
    ready = next((one for one in _status(node).get("conditions") or () if one["type"] == "Ready"), None)
    shown = "Unknown" if ready is None else "Ready" if ready["status"] == "True" else "NotReady"
    return f"{shown},SchedulingDisabled" if _spec(node).get("unschedulable") else shown


def _namespace(obj: Obj, now: datetime) -> list[Any]:
    return [_name(obj), _status(obj).get("phase", ""), age(obj, now)]


def _config_map(obj: Obj, now: datetime) -> list[Any]:
    return [_name(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), age(obj, now)]


def _secret(obj: Obj, now: datetime) -> list[Any]:
    return [_name(obj), obj.get("type", ""), len(obj.get("data") or ()), age(obj, now)]


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _modes(modes: Iterable[str]) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in modes)


def _claim(obj: Obj, now: datetime) -> list[Any]:
    spec, status = _spec(obj), _status(obj)
    is_bound = bool(spec.get("volumeName"))
    phase = "Terminating" if obj["metadata"].get("deletionTimestamp") else status.get("phase", "")
    capacity = (status.get("capacity") or {}).get("storage", "") if is_bound else ""
    return [_name(obj), phase, spec.get("volumeName", ""), capacity,
            _modes(status.get("accessModes") or ()) if is_bound else "", spec.get("storageClassName") or "", UNSET,
            age(obj, now), spec.get("volumeMode", "Filesystem")]  # fmt: skip


def _volume(obj: Obj, now: datetime) -> list[Any]:
    spec, claim = _spec(obj), _spec(obj).get("claimRef") or {}
    bound = f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""
    phase = "Terminating" if obj["metadata"].get("deletionTimestamp") else _status(obj).get("phase", "")
    return [_name(obj), (spec.get("capacity") or {}).get("storage", ""), _modes(spec.get("accessModes") or ()),
            spec.get("persistentVolumeReclaimPolicy", ""), phase, bound, spec.get("storageClassName", ""), UNSET,
            _status(obj).get("reason", ""), age(obj, now), spec.get("volumeMode", "Filesystem")]  # fmt: skip


def _budget(obj: Obj, now: datetime) -> list[Any]:
    least, most = (_spec(obj).get(key, "N/A") for key in ("minAvailable", "maxUnavailable"))
    return [_name(obj), str(least), str(most), _status(obj).get("disruptionsAllowed", 0), age(obj, now)]


def _account(obj: Obj, now: datetime) -> list[Any]:
    return [_name(obj), len(obj.get("secrets") or ()), age(obj, now)]


def _lease(obj: Obj, now: datetime) -> list[Any]:
    return [_name(obj), _spec(obj).get("holderIdentity") or "", age(obj, now)]


def _definition(obj: Obj, _: datetime) -> list[Any]:
    return [_name(obj), obj["metadata"].get("creationTimestamp")]


def _binding(obj: Obj, now: datetime) -> list[Any]:
    subjects = obj.get("subjects") or ()
    by_kind = {
        kind: ", ".join(_subject(one) for one in subjects if one.get("kind") == kind)
        for kind in ("User", "Group", "ServiceAccount")
    }
    role = obj.get("roleRef") or {}
    return [_name(obj), f"{role.get('kind', '')}/{role.get('name', '')}", age(obj, now), *by_kind.values()]


def _subject(subject: Obj) -> str:
    return f"{subject['namespace']}/{subject['name']}" if subject.get("namespace") else str(subject["name"])


def _role(obj: Obj, _: datetime) -> list[Any]:
    return [_name(obj), obj["metadata"].get("creationTimestamp")]


def _webhooks(obj: Obj, now: datetime) -> list[Any]:
    return [_name(obj), len(obj.get("webhooks") or ()), age(obj, now)]


def _policy(obj: Obj, now: datetime) -> list[Any]:
    kind = _spec(obj).get("paramKind")
    shown = f"{kind['apiVersion']}/{kind['kind']}" if kind else UNSET
    return [_name(obj), len(_spec(obj).get("validations") or ()), shown, age(obj, now)]


def _policy_binding(obj: Obj, now: datetime) -> list[Any]:
    reference = _spec(obj).get("paramRef") or {}
    named = f"{reference.get('namespace') or '*'}/{reference['name']}" if reference.get("name") else ""
    shown = named or (_selector(reference["selector"]) if "selector" in reference else UNSET)
    return [_name(obj), _spec(obj).get("policyName", ""), shown, age(obj, now)]


_ADMISSION = "admissionregistration.k8s.io"
_WORKLOAD = ("+Containers", "+Images", "+Selector")
_BINDING = ("Name", "Role", "Age", "+Users", "+Groups", "+ServiceAccounts")
_SETS = ("Name", "Desired:integer", "Current:integer", "Ready:integer", "Age", *_WORKLOAD)

PRINTERS: Mapping[str, Printer] = {
    "pods": Printer(POD_COLUMNS, pod_cells),
    "jobs.batch": Printer(("Name", "Status", "Completions", "Duration", "Age", *_WORKLOAD), _job),
    "deployments.apps": Printer(("Name", "Ready", "Up-to-date", "Available", "Age", *_WORKLOAD), _deployment),
    "replicasets.apps": Printer(_SETS, _replica_set),
    "replicationcontrollers": Printer(_SETS, _replica_set),
    "statefulsets.apps": Printer(("Name", "Ready", "Age", "+Containers", "+Images"), _stateful_set),
    "services": Printer(("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "+Selector"), _service),
    "endpoints": Printer(("Name", "Endpoints", "Age"), _endpoints),
    "endpointslices.discovery.k8s.io": Printer(("Name", "AddressType", "Ports", "Endpoints", "Age"), _slice),
    "events": Printer(("Last Seen", "Type", "Reason", "Object", "+Subobject", "+Source", "Message", "+First Seen",
                       "+Count", "+Name"), _event),
    "nodes": Printer(("Name", "Status", "Roles", "Age", "Version", "+Internal-IP", "+External-IP", "+OS-Image",
                      "+Kernel-Version", "+Container-Runtime"), _node),
    "namespaces": Printer(("Name", "Status", "Age"), _namespace),
    "configmaps": Printer(("Name", "Data", "Age"), _config_map),
    "secrets": Printer(("Name", "Type", "Data", "Age"), _secret),
    "persistentvolumeclaims": Printer(("Name", "Status", "Volume", "Capacity", "Access Modes", "StorageClass",
                                       "VolumeAttributesClass", "Age", "+VolumeMode"), _claim),
    "persistentvolumes": Printer(("Name", "Capacity", "Access Modes", "Reclaim Policy", "Status", "Claim",
                                  "StorageClass", "VolumeAttributesClass", "Reason", "Age", "+VolumeMode"), _volume),
    "poddisruptionbudgets.policy": Printer(("Name", "Min Available", "Max Unavailable", "Allowed Disruptions:integer",
                                            "Age"), _budget),
    "serviceaccounts": Printer(("Name", "Secrets", "Age"), _account),
    "leases.coordination.k8s.io": Printer(("Name", "Holder", "Age"), _lease),
    "customresourcedefinitions.apiextensions.k8s.io": Printer(("Name", "Created At:date"), _definition),
    "roles.rbac.authorization.k8s.io": Printer(("Name", "Created At:date"), _role),
    "clusterroles.rbac.authorization.k8s.io": Printer(("Name", "Created At:date"), _role),
    "rolebindings.rbac.authorization.k8s.io": Printer(_BINDING, _binding),
    "clusterrolebindings.rbac.authorization.k8s.io": Printer(_BINDING, _binding),
    f"validatingwebhookconfigurations.{_ADMISSION}": Printer(("Name", "Webhooks:integer", "Age"), _webhooks),
    f"mutatingwebhookconfigurations.{_ADMISSION}": Printer(("Name", "Webhooks:integer", "Age"), _webhooks),
    f"validatingadmissionpolicies.{_ADMISSION}": Printer(("Name", "Validations:integer", "ParamKind", "Age"), _policy),
    f"validatingadmissionpolicybindings.{_ADMISSION}": Printer(("Name", "PolicyName", "ParamRef", "Age"),
                                                               _policy_binding),
}  # fmt: skip
