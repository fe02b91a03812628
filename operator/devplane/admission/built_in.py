"""What admission adds to new pods and claims, and which growth of a claim it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from devplane.errors import ApiError
from devplane.resources.metadata import generated_name
from devplane.schemas.quantities import requested

Obj = dict[str, Any]
Find = Callable[[str, str, str], Obj | None]
"""A stored object by resource, namespace and name."""

ACCOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607
TOLERATED_SECONDS = 300
CLAIM_IN_USE = "kubernetes.io/pvc-protection"
NO_GROWTH = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
)
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def admit_pod(pod: Obj, find: Find, classes: Iterable[Obj]) -> None:
    """Complete a new pod, which may have no name yet, or refuse it when its service account is not there."""
    spec = pod["spec"]
    name = spec.setdefault("serviceAccountName", "default")
    spec["serviceAccount"] = name
    account = find("serviceaccounts", pod["metadata"]["namespace"], name)
    if account is None and name != "default":
        where = f"{pod['metadata']['namespace']}/{name}"
        why = f'error looking up service account {where}: serviceaccount "{name}" not found'
        metadata = pod["metadata"]
        raise ApiError.forbidden("pods", metadata.get("name") or metadata.get("generateName", ""), why)
    if _mounts_token(spec, account):
        _mount_token(spec)
    _prioritize(pod, classes)
    spec.setdefault("tolerations", [_toleration("not-ready"), _toleration("unreachable")])


def _prioritize(pod: Obj, classes: Iterable[Obj]) -> None:
    """The numbers of the class that a pod names, or of the default one; a pod may say the same and nothing else."""
    spec, found = pod["spec"], {one["metadata"]["name"]: one for one in classes}
    name = spec.get("priorityClassName") or ""
    chosen = found.get(name) if name else _default_priority(found.values())
    if name and chosen is None and name not in SYSTEM_PRIORITIES:
        raise ApiError.forbidden(
            "pods", pod["metadata"].get("name", ""), f"no PriorityClass with name {name} was found"
        )
    if chosen is not None:
        spec["priorityClassName"] = chosen["metadata"]["name"]
    value = (chosen or {}).get("value", SYSTEM_PRIORITIES.get(name, 0))
    policy = (chosen or {}).get("preemptionPolicy", "PreemptLowerPriority")
    for field, wanted, shown in (("priority", value, "integer value of priority"),
                                 ("preemptionPolicy", policy, "string value of PreemptionPolicy")):  # fmt: skip
        if spec.setdefault(field, wanted) != wanted:
            why = (
                f"the {shown} ({spec[field]}) must not be provided in pod spec; "
                f"priority admission controller computed {wanted} from the given PriorityClass name"
            )
            raise ApiError.forbidden("pods", pod["metadata"].get("name", ""), why)


SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


def _default_priority(classes: Iterable[Obj]) -> Obj | None:
    """Of several defaults the lowest."""
    marked = [one for one in classes if one.get("globalDefault")]
    return min(marked, key=lambda one: one["value"]) if marked else None


def _mounts_token(spec: Obj, account: Obj | None) -> bool:
    """The pod's word counts before the account's."""
    own = spec.get("automountServiceAccountToken")
    if own is not None:
        return bool(own)
    return account is not None and account.get("automountServiceAccountToken") is not False


def _mount_token(spec: Obj) -> None:
    volume = _access_volume(spec)
    mount = {"name": volume, "readOnly": True, "mountPath": ACCOUNT_PATH}
    needed = False
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        mounts = container["volumeMounts"] = container.get("volumeMounts") or []
        if not any(one.get("mountPath") == ACCOUNT_PATH for one in mounts):
            mounts.append(dict(mount))
            needed = True
    if needed and all(one["name"] != volume for one in spec.get("volumes") or ()):
        spec.setdefault("volumes", []).append({"name": volume, "projected": _projected()})


def _access_volume(spec: Obj) -> str:
    """The name of the token's volume: that which is there already, or a new one."""
    names = (one["name"] for one in spec.get("volumes") or ())
    return next((name for name in names if name.startswith(_ACCESS)), "") or generated_name(_ACCESS)


_ACCESS = "kube-api-access-"


def _projected() -> Obj:
    namespace = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": namespace}]}},
        ],
        "defaultMode": 420,
    }


def _toleration(state: str) -> Obj:
    return {
        "key": f"node.kubernetes.io/{state}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": TOLERATED_SECONDS,
    }


def admit_claim(claim: Obj, classes: Iterable[Obj]) -> None:
    """A claim is kept while a pod uses it; without a class it gets the newest of the default ones."""
    metadata = claim["metadata"]
    metadata["finalizers"] = list(dict.fromkeys([*(metadata.get("finalizers") or ()), CLAIM_IN_USE]))
    if "storageClassName" in claim["spec"]:
        return
    marked = [one for one in classes if (one["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true"]
    if marked:
        newest = max(marked, key=lambda one: (one["metadata"]["creationTimestamp"], one["metadata"]["name"]))
        claim["spec"]["storageClassName"] = newest["metadata"]["name"]


def admit_growth(new: Obj, old: Obj, find: Find) -> None:
    """Refuse more storage for a claim that isn't bound, or whose class doesn't say that its volumes may grow."""
    if requested(new["spec"], "storage") <= requested(old["spec"], "storage"):
        return
    metadata = new["metadata"]
    if (old.get("status") or {}).get("phase") != "Bound":
        why = "Only bound persistent volume claims can be expanded"
        raise ApiError.forbidden("persistentvolumeclaims", metadata["name"], why)
    name = new["spec"].get("storageClassName") or ""
    found = find("storageclasses.storage.k8s.io", "", name) if name else None
    if not (found or {}).get("allowVolumeExpansion"):
        raise ApiError.forbidden("persistentvolumeclaims", metadata["name"], NO_GROWTH)
