"""Kinds that are stored and that nothing acts on say so when an object is made. No Kubernetes says such a thing."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.api.answers import is_own_warning
from apiserver.api.replay import Replay

POD = {"containers": [{"name": "c", "image": "busybox"}], "restartPolicy": "Always"}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": POD}
CHOSEN = {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}
JOB = {"template": {"spec": {**POD, "restartPolicy": "Never"}}}
SCALED = {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}}
KINDS: list[tuple[str, str, str, dict[str, Any], str]] = [
    ("v1", "replicationcontrollers", "ReplicationController", {"template": TEMPLATE}, "it is stored, and gets no pods"),
    ("apps/v1", "statefulsets", "StatefulSet", {**CHOSEN, "serviceName": "s"}, "it is stored, and gets no pods"),
    ("apps/v1", "daemonsets", "DaemonSet", CHOSEN, "it is stored, and gets no pods"),
    ("batch/v1", "cronjobs", "CronJob", {"schedule": "@daily", "jobTemplate": {"spec": JOB}}, "starts no Jobs"),
    ("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", SCALED, "and scales nothing"),
]


@pytest.mark.parametrize(("version", "plural", "kind", "spec", "says"), KINDS)
async def test_kind_without_a_controller_says_so_when_it_is_made(
    server: Replay, version: str, plural: str, kind: str, spec: dict[str, Any], says: str
) -> None:
    path = f"/{'api' if version == 'v1' else 'apis'}/{version}/namespaces/default/{plural}"
    body = {"apiVersion": version, "kind": kind, "metadata": {"name": "one"}, "spec": spec}
    made = await server.send("POST", path, body)
    assert made.status == 201, made.body
    warning = made.headers["Warning"]
    assert warning.startswith(f'299 - "devplane runs no controller for {kind}s: ')
    assert warning.endswith(f'{says}"')
    assert is_own_warning(warning)
    changed = await server.send("PUT", f"{path}/one", made.body)
    assert (changed.status, changed.headers.get("Warning")) == (200, None)


async def test_kind_with_a_controller_says_nothing(server: Replay) -> None:
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "one"}, "spec": CHOSEN}
    made = await server.send("POST", "/apis/apps/v1/namespaces/default/deployments", body)
    assert (made.status, made.headers.get("Warning")) == (201, None)
