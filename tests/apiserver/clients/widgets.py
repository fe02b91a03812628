"""A custom resource for the client tests; its group is the test's own, so that it may run on any cluster."""

from __future__ import annotations

import uuid
from typing import Any

Obj = dict[str, Any]


def group() -> str:
    return f"g{uuid.uuid4().hex[:8]}.example.com"


def short(group: str) -> str:
    """The resource's short name: as much the test's own as the group."""
    return group.partition(".")[0]


def definition(group: str, **version: Any) -> Obj:
    """A CRD `widgets` with a schema, a CEL rule, status, scale and printer columns."""
    spec = {
        "type": "object",
        "required": ["size"],
        "properties": {
            "size": {"type": "integer", "minimum": 0, "description": "How large it is."},
            "mode": {"type": "string", "enum": ["auto", "fixed"], "default": "auto"},
            "max": {"type": "integer"},
        },
        "x-kubernetes-validations": [
            {"rule": "!has(self.max) || self.size <= self.max", "message": "size is above max"}
        ],
    }
    schema = {
        "type": "object",
        "required": ["spec"],
        "properties": {
            "spec": spec,
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    served = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"},
        },
        "additionalPrinterColumns": [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        ],
        **version,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": [short(group)]},
            "versions": [served],
        },
    }


def widget(group: str, name: str = "one", **spec: Any) -> Obj:
    return {
        "apiVersion": f"{group}/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"size": 3, **spec},
    }
