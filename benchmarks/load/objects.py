"""What is created: a mix of kinds that controllers, defaults, validation and CEL have something to do with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

Obj = dict[str, Any]

NAMESPACE = "load"
ACCOUNT = "bench"
FINE_TUNE_JOBS = "finetunejobs.tunebird.dev"


def config_map(name: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "bench", "bench/part": "config"}},
        "data": {"config.json": '{"seed": 42, "rate": 0.0002, "schedule": "cosine"}', "note": "x" * 200, "sent": "0"},
    }


def pod(name: str) -> Obj:
    """No node has the label that it wants: the scheduler says so and it stays Pending."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"bench/part": "pod"}},
        "spec": {"nodeSelector": {"bench/absent": "true"}, "containers": [_container()]},
    }


def job(name: str) -> Obj:
    template = {"metadata": {"labels": {"bench/part": "job"}},
                "spec": {"restartPolicy": "Never", "containers": [_container()]}}  # fmt: skip
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"suspend": True, "completions": 2, "parallelism": 2, "template": template},
    }


def _container() -> Obj:
    return {
        "name": "main",
        "image": "bench/none:1",
        "command": ["sleep", "3600"],
        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "32Mi"}},
    }


def fine_tune_job(name: str) -> Obj:
    """Of a CRD with CEL rules. No operator runs."""
    return {
        "apiVersion": "tunebird.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name},
        "spec": {
            "model": {"source": {"uri": "pvc://models/base"}},
            "datasets": [{"name": "support", "source": {"uri": "pvc://data/support.jsonl"}}],
            "method": {"objective": "sft", "tuning": "lora"},
            "output": {"storage": {"uri": "pvc://models/out"}},
        },
    }


MIX: dict[str, tuple[str, Callable[[str], Obj]]] = {
    "ConfigMap": (f"/api/v1/namespaces/{NAMESPACE}/configmaps", config_map),
    "Pod": (f"/api/v1/namespaces/{NAMESPACE}/pods", pod),
    "Job": (f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs", job),
    "FineTuneJob": (f"/apis/tunebird.dev/v1alpha1/namespaces/{NAMESPACE}/finetunejobs", fine_tune_job),
}
"""In turn, a quarter each."""


def mixed(count: int) -> list[tuple[str, str, bytes]]:
    """(path of the collection, name, body), the kinds in turn."""
    kinds = list(MIX.values())
    found = []
    for number in range(count):
        path, make = kinds[number % len(kinds)]
        found.append((path, f"bench-{number}", orjson.dumps(make(f"bench-{number}"))))
    return found


def access() -> list[tuple[str, Obj]]:
    """The account of the load, a role for just that, and nineteen bindings of others, as a namespace has them."""
    resources = [{"apiGroups": [""], "resources": ["configmaps", "pods"]},
                 {"apiGroups": ["batch"], "resources": ["jobs"]},
                 {"apiGroups": ["tunebird.dev"], "resources": ["finetunejobs"]}]  # fmt: skip
    rules = [{**one, "verbs": ["get", "list", "watch", "create", "patch"]} for one in resources]
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
    bindings = [_binding(f"other-{number}", f"other-{number}") for number in range(19)]
    return [
        ("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}),
        (f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": ACCOUNT}}),
        (f"{rbac}/roles", {"metadata": {"name": "load"}, "rules": rules}),
        *((f"{rbac}/rolebindings", one) for one in (*bindings, _binding("the-load", ACCOUNT))),
    ]


def _binding(name: str, account: str) -> Obj:
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "load"},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}],
    }


def as_protobuf(obj: Obj) -> bytes:
    """A ConfigMap of `config_map` as kubectl sends it."""
    entries = b"".join(_field(2, _text(1, key) + _text(2, value)) for key, value in obj["data"].items())
    labels = (_field(11, _text(1, key) + _text(2, value)) for key, value in obj["metadata"]["labels"].items())
    raw = _field(1, _text(1, obj["metadata"]["name"]) + b"".join(labels)) + entries
    return b"k8s\x00" + _field(1, _text(1, "v1") + _text(2, "ConfigMap")) + _field(2, raw)


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _field(number: int, raw: bytes) -> bytes:
    length, size = bytearray(), len(raw)
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + raw
