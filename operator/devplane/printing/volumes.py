"""The cells of volumes, and of what makes and attaches them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from devplane.printing.parts import NONE, UNSET, Cells, Obj, created, name, spec, status
from devplane.printing.times import age

_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_CLASS = "volume.beta.kubernetes.io/storage-class"
_DEFAULTS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


def _modes(given: Iterable[str]) -> str:
    """Each once, in the order of Kubernetes."""
    return ",".join(short for mode, short in _MODES.items() if mode in set(given))


def _class(obj: Obj) -> str:
    annotations = obj["metadata"].get("annotations") or {}
    return str(annotations.get(_CLASS) or spec(obj).get("storageClassName") or "")


def _phase(obj: Obj) -> str:
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else str(status(obj).get("phase", ""))


def _storage(capacity: Obj | None) -> str:
    return str((capacity or {}).get("storage", "0"))


def _claim(obj: Obj, now: datetime) -> list[Any]:
    wanted, found = spec(obj), status(obj)
    bound = (_storage(found.get("capacity")), _modes(found.get("accessModes") or ()))
    return [name(obj), _phase(obj), wanted.get("volumeName", ""), *(bound if wanted.get("volumeName") else ("", "")),
            _class(obj), wanted.get("volumeAttributesClassName", UNSET), age(obj, now),
            wanted.get("volumeMode", UNSET)]  # fmt: skip


def _volume(obj: Obj, now: datetime) -> list[Any]:
    wanted = spec(obj)
    claim = wanted.get("claimRef")
    bound = f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""
    return [name(obj), _storage(wanted.get("capacity")), _modes(wanted.get("accessModes") or ()),
            wanted.get("persistentVolumeReclaimPolicy", ""), _phase(obj), bound, _class(obj),
            wanted.get("volumeAttributesClassName", UNSET), status(obj).get("reason", ""), age(obj, now),
            wanted.get("volumeMode", UNSET)]  # fmt: skip


def _storage_class(obj: Obj, now: datetime) -> list[Any]:
    annotations = obj["metadata"].get("annotations") or {}
    is_default = any(annotations.get(key) == "true" for key in _DEFAULTS)
    return [name(obj) + (" (default)" if is_default else ""), obj.get("provisioner", ""),
            obj.get("reclaimPolicy", "Delete"), obj.get("volumeBindingMode", "Immediate"),
            obj.get("allowVolumeExpansion", False), age(obj, now)]  # fmt: skip


def _driver(obj: Obj, now: datetime) -> list[Any]:
    wanted = spec(obj)
    tokens = wanted.get("tokenRequests")
    audiences = UNSET if tokens is None else ",".join(one.get("audience", "") for one in tokens)
    return [name(obj), wanted.get("attachRequired", True), wanted.get("podInfoOnMount", False),
            wanted.get("storageCapacity", False), audiences, wanted.get("requiresRepublish", False),
            ",".join(wanted.get("volumeLifecycleModes") or ()) or NONE, age(obj, now)]  # fmt: skip


def _drivers_of_node(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), len(spec(obj).get("drivers") or ()), age(obj, now)]


def _attachment(obj: Obj, now: datetime) -> list[Any]:
    wanted = spec(obj)
    return [name(obj), wanted.get("attacher", ""), (wanted.get("source") or {}).get("persistentVolumeName", ""),
            wanted.get("nodeName", ""), status(obj).get("attached", False), age(obj, now)]  # fmt: skip


VOLUMES: Mapping[str, Cells] = {
    "persistentvolumeclaims": _claim,
    "persistentvolumes": _volume,
    "storageclasses.storage.k8s.io": _storage_class,
    "csidrivers.storage.k8s.io": _driver,
    "csinodes.storage.k8s.io": _drivers_of_node,
    "csistoragecapacities.storage.k8s.io": created,
    "volumeattachments.storage.k8s.io": _attachment,
}
