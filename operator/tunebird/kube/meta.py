"""Names of things: kinds, references, keys, labels, owner references, content hashes. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Manifest = Mapping[str, Any]

GROUP = "tunebird.dev"
VERSION = "v1alpha1"
FIELD_MANAGER = "tunebird"

MANAGED_BY = "app.kubernetes.io/managed-by"
FINETUNEJOB = f"{GROUP}/finetunejob"
MODELROLLOUT = f"{GROUP}/modelrollout"
OWNER_UID = f"{GROUP}/owner-uid"
ATTEMPT = f"{GROUP}/attempt"
REVISION = f"{GROUP}/revision"


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource type: its API version ("v1", "batch/v1"), kind and plural."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def path(self) -> str:
        """The URL prefix of its API group, e.g. ``/apis/batch/v1``."""
        return f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"


CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
SECRET = Kind("v1", "Secret", "secrets")
SERVICE = Kind("v1", "Service", "services")
POD = Kind("v1", "Pod", "pods")
PERSISTENT_VOLUME_CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
EVENT = Kind("v1", "Event", "events")
JOB = Kind("batch/v1", "Job", "jobs")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
HTTP_ROUTE = Kind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
FINE_TUNE_JOB = Kind(f"{GROUP}/{VERSION}", "FineTuneJob", "finetunejobs")
MODEL_ROLLOUT = Kind(f"{GROUP}/{VERSION}", "ModelRollout", "modelrollouts")


@dataclass(frozen=True, slots=True)
class Ref:
    """One object of a kind."""

    kind: Kind
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Key:
    """The object that a loop works on. `uid` tells a re-created object from the one that went before."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def owner_reference(owner: Manifest) -> dict[str, Any]:
    """The controller reference that lets the garbage collector delete a child with `owner`."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owned_by(child: Manifest, uid: str) -> bool:
    """Whether `child` has `uid` as its controller; a child of another uid is waited for, never adopted."""
    references = child.get("metadata", {}).get("ownerReferences", ())
    return any(reference.get("controller") and reference.get("uid") == uid for reference in references)


def content_hash(value: object, *, length: int = 10) -> str:
    """A short hash of a JSON value, the same for the same content in any key order."""
    encoded = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(encoded).hexdigest()[:length]
