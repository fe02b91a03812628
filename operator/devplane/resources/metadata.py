"""What the server itself writes in `metadata`: times, generated names, generation."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from devplane.resources.registry import Resource

Obj = dict[str, Any]

_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"

# Built-in kinds whose generation rises with spec; custom resources always have one.
GENERATED = frozenset({
    "pods", "replicationcontrollers", "deployments.apps", "replicasets.apps", "statefulsets.apps", "daemonsets.apps",
    "jobs.batch", "cronjobs.batch", "poddisruptionbudgets.policy", "ingresses.networking.k8s.io",
    "ingressclasses.networking.k8s.io", "networkpolicies.networking.k8s.io", "endpointslices.discovery.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io", "priorityclasses.scheduling.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
})  # fmt: skip


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds: ``2026-11-21T09:44:54Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def generated_name(prefix: str) -> str:
    return prefix[:58] + "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(5))


def has_generation(resource: Resource) -> bool:
    return bool(resource.crd) or resource.key in GENERATED


def desired_state(obj: Obj, resource: Resource) -> Obj:
    """The part of an object whose change raises the generation."""
    left_out = {"metadata", "status"} if resource.has_status or not resource.crd else {"metadata"}
    desired = {key: value for key, value in obj.items() if key not in left_out}
    if resource.key == "pods":  # being bound to a node is no change of what is desired
        desired["spec"] = {key: value for key, value in obj["spec"].items() if key != "nodeName"}
    if resource.key == "deployments.apps":
        desired["annotations"] = obj["metadata"].get("annotations") or {}
    return desired
