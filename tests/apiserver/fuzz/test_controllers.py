"""Objects with something wrong that are stored all the same: controllers, scheduler and kubelet live through them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import strategies as st

from apiserver.fuzz.budget import SIZES, explore
from apiserver.fuzz.mutations import encoded, mutated
from apiserver.fuzz.verdict import judged
from apiserver.fuzz.wire import MERGE, Wire
from apiserver.fuzz.worlds import APPS, BATCH, LABELS, SELECTOR, SPACE, STORED
from devplane.outside.spawned import Spawned, spawned

WAIT_SECONDS = 120
KINDS = (
    f"{APPS}/deployments", f"{APPS}/replicasets", f"{BATCH}/jobs", f"{SPACE}/services", f"{SPACE}/resourcequotas",
    "/apis/policy/v1/namespaces/default/poddisruptionbudgets", f"{SPACE}/pods", f"{SPACE}/events",
)  # fmt: skip
SIMPLE: Any = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "main", "image": "none/such:1"}]}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spawned]:
    """With controllers and a node; there is no image, so that nothing ever runs."""
    with spawned(tmp_path_factory.mktemp("whole"), ["--shutdown-seconds", "1"]) as started:
        yield started


def simple(path: str) -> Any:
    """The object of a kind with a template that has no volumes."""
    body = {**STORED[path], "metadata": {"name": "odd", "labels": LABELS}}
    spec = {**body.get("spec", {})}
    if "template" in spec:
        more = {"restartPolicy": "Never"} if path.endswith("jobs") else {}
        spec["template"] = {**SIMPLE, "spec": {**SIMPLE["spec"], **more}}
    elif "containers" in spec:
        spec = SIMPLE["spec"]
    return {**body, "spec": spec} if "spec" in body else body


def until_there(wire: Wire, path: str, number: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while len(judged(wire.ask("GET", path, labelSelector="proof=yes")).body["items"]) < number:
        assert time.monotonic() < deadline, "the controllers do nothing any more"
        time.sleep(0.02)


def prove(wire: Wire) -> None:
    """A Deployment and a Job still get their pods."""
    labels = {"proof": "yes"}
    template = {"metadata": {"labels": labels}, "spec": SIMPLE["spec"]}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    wire.made(f"{APPS}/deployments", {"metadata": {"name": "proof"}, "spec": spec})
    once = {**template, "spec": {**SIMPLE["spec"], "restartPolicy": "Never"}}
    wire.made(f"{BATCH}/jobs", {"metadata": {"name": "proof"}, "spec": {"template": once}})
    until_there(wire, f"{SPACE}/pods", 3)


@SIZES
def test_controllers_live_through_objects_with_something_wrong(whole: Spawned, size: int) -> None:
    wire = Wire.of(whole.kubeconfig)

    def check(case: tuple[str, Any], changed: Any) -> None:
        path, body = case
        answer = judged(wire.send("POST", path, encoded(body), {"Content-Type": "application/json"}))
        if answer.code == 201:
            where = f"{path}/{quote(answer.body['metadata']['name'], safe='')}"
            judged(wire.ask("PATCH", where, {"spec": changed}, MERGE))
            judged(wire.ask("DELETE", where, {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}))
            judged(wire.ask("PATCH", where, {"metadata": {"finalizers": None}}, MERGE))

    cases = st.sampled_from(KINDS).flatmap(lambda path: st.tuples(st.just(path), mutated(st.just(simple(path)))))
    changes = st.sampled_from([
        {"replicas": 0}, {"replicas": 3}, {"suspend": True}, {"selector": SELECTOR}, {"parallelism": 0},
        {"minAvailable": 1}, {"paused": True}, {"ports": None}, {"hard": {"pods": "1"}},
        {"activeDeadlineSeconds": 1}, {"completions": 3},
    ])  # fmt: skip
    explore(check, 50, size, case=cases, changed=changes)
    for kind in KINDS:
        judged(wire.ask("DELETE", kind))
    prove(wire)
    for kind in KINDS:
        judged(wire.ask("DELETE", kind))
    said = whole.log.read_text()
    assert "Traceback" not in said, said[-6000:]
