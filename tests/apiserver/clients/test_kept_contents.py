"""ConfigMaps and Secrets that go and come again under their names: what the pods of a node then read."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.clients.citing import docs, source
from apiserver.clients.raw import Raw
from apiserver.clients.stories import FOREVER, becomes, in_phase, is_running, pod, script
from apiserver.clients.waiting import until

IMMUTABLE = "concepts/configuration/configmap/#configmap-immutable"
CACHE = "pkg/kubelet/util/manager/watch_based_manager.go"
KINDS = {
    "configmaps": ("configMapKeyRef", {"configMap": {"name": "kept"}}),
    "secrets": ("secretKeyRef", {"secret": {"secretName": "kept"}}),
}


@pytest.fixture(params=KINDS)
def kind(request: Any) -> str:
    return str(request.param)


def write(raw: Raw, kind: str, value: str, *, immutable: bool = True) -> None:
    """Make it anew."""
    raw.ask("DELETE", raw.at(kind, "kept"))
    field = "data" if kind == "configmaps" else "stringData"
    raw.made(raw.at(kind), {"metadata": {"name": "kept"}, "immutable": immutable, field: {"k": value}})


def start(raw: Raw, kind: str, name: str, text: str = "true", **spec: Any) -> None:
    """A pod that says what its environment and its volume have, and then runs `text`."""
    reference, source_of_volume = KINDS[kind]
    own = {"name": "K", "valueFrom": {reference: {"name": "kept", "key": "k"}}}
    told = script(
        f"echo $K $(cat $FILE); {text}",
        env=[own, {"name": "FILE", "value": "/kept/k"}],
        volumeMounts=[{"name": "v", "mountPath": "/kept"}],
    )
    raw.made(raw.at("pods"), pod(told, name=name, volumes=[{"name": "v", **source_of_volume}], **spec))


def holds(raw: Raw, kind: str, name: str = "holder") -> dict[str, Any]:
    """A pod that goes on; where it runs."""
    start(raw, kind, name, FOREVER)
    node = becomes(raw, "pods", name, is_running())["spec"]["nodeName"]
    return {"nodeSelector": {"kubernetes.io/hostname": node}}


def read(raw: Raw, kind: str, name: str, **where: Any) -> str:
    """What a new pod reads, from its beginning to its end."""
    start(raw, kind, name, **where)
    becomes(raw, "pods", name, in_phase("Succeeded"))
    body = raw.get(raw.at("pods", name, "log")).body
    return str(body.decode().strip())


@docs(IMMUTABLE)
@source(CACHE)
def test_immutable_content_is_kept_while_a_pod_refers_to_its_name(raw: Raw, kind: str) -> None:
    write(raw, kind, "old")
    where = holds(raw, kind)
    write(raw, kind, "new")
    assert read(raw, kind, "second", **where) == "old old"
    raw.ask("DELETE", raw.at(kind, "kept"))
    assert read(raw, kind, "third", **where) == "old old"


@docs(IMMUTABLE)
@source(CACHE)
def test_content_that_no_pod_refers_to_any_more_is_read_anew(raw: Raw, kind: str) -> None:
    """A pod that has ended refers to nothing, though it is still there."""
    write(raw, kind, "old")
    where = holds(raw, kind)
    assert read(raw, kind, "second", **where) == "old old"
    raw.ask("DELETE", raw.at("pods", "holder"))
    until(lambda: raw.get(raw.at("pods", "holder")).code == 404, "its end")
    write(raw, kind, "new")
    until(lambda: _reads_new(raw, kind, where), "the new content")


def _reads_new(raw: Raw, kind: str, where: dict[str, Any]) -> bool:
    """The kubelet lets go of a pod a moment after its end."""
    raw.ask("DELETE", raw.at("pods", "later"), gracePeriodSeconds=0)
    until(lambda: raw.get(raw.at("pods", "later")).code == 404, "its end")
    return read(raw, kind, "later", **where) == "new new"


@source(CACHE)
def test_content_that_may_change_is_read_anew_by_each_pod(raw: Raw, kind: str) -> None:
    write(raw, kind, "old", immutable=False)
    where = holds(raw, kind)
    write(raw, kind, "new", immutable=False)
    until(lambda: _reads_new(raw, kind, where), "the new content")
