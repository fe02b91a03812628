"""Who is woken by what, and what kopf was told to watch."""

from __future__ import annotations

from typing import Any

import kopf
import pytest

from tunebird import handlers
from tunebird.handlers.finetunejobs import unfinished
from tunebird.kube.meta import GROUP, HTTP_ROUTE, MANAGED_BY, OWNER_UID, POD
from tunebird.runtime import kopf_settings
from tunebird.runtime.app import App
from tunebird.runtime.cache import ChildrenCache
from tunebird.runtime.reports import ReportStore


class Woken:
    """Stands for the loops of a kind, and keeps who was woken."""

    def __init__(self) -> None:
        self.uids: list[str] = []
        self.namespaces: list[str | None] = []

    def wake(self, uid: str) -> None:
        self.uids.append(uid)

    def wake_all(self, namespace: str | None = None) -> None:
        self.namespaces.append(namespace)


class World:
    def __init__(self) -> None:
        self.jobs, self.rollouts = Woken(), Woken()
        self.app = App(self.jobs, self.rollouts, ChildrenCache(), ReportStore(self.jobs.wake))  # type: ignore[arg-type]


def job(*, status: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    base = {"name": "j", "namespace": "ml", "uid": "job-uid", "generation": 1}
    return {"metadata": {**base, **metadata}, "spec": {}, "status": status or {}}


def condition(kind: str, status: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": "R",
        "message": "",
        "lastTransitionTime": "2026-01-01T12:00:00Z",
        "observedGeneration": 1,
    }


def test_child_wakes_its_owner_and_is_in_the_cache() -> None:
    world = World()
    labels = {MANAGED_BY: "tunebird", OWNER_UID: "job-uid"}
    pod = {"metadata": {"name": "p", "namespace": "ml", "uid": "p-uid", "labels": labels}}
    world.app.child_seen(POD, pod, gone=False)
    assert (world.jobs.uids, len(world.app.children.of("job-uid", POD))) == (["job-uid"], 1)
    world.app.child_seen(POD, pod, gone=True)
    assert (world.jobs.uids, world.app.children.of("job-uid", POD)) == (["job-uid"] * 2, ())


def test_new_spec_annotation_or_deletion_wakes_the_job_but_its_status_does_not() -> None:
    world = World()
    for seen in (
        job(),
        job(status={"phase": "Running"}),
        job(generation=2),
        job(generation=2, annotations={f"{GROUP}/retry": "1"}),
        job(generation=2, annotations={f"{GROUP}/retry": "1"}, deletionTimestamp="2026-01-01T12:00:00Z"),
    ):
        world.app.job_seen(seen, gone=False)
    assert len(world.jobs.uids) == 4


def test_result_of_a_job_wakes_the_rollouts_of_its_namespace_once() -> None:
    world = World()
    world.app.job_seen(job(), gone=False)
    world.rollouts.namespaces.clear()
    world.app.job_seen(job(status={"phase": "Running"}), gone=False)
    assert world.rollouts.namespaces == []
    done = {"artifact": {"digest": "sha256:1"}, "conditions": [condition("Succeeded", "True")]}
    world.app.job_seen(job(status=done), gone=False)
    world.app.job_seen(job(status=done), gone=False)
    assert world.rollouts.namespaces == ["ml"]


def test_what_was_seen_of_a_job_is_forgotten_with_it() -> None:
    world = World()
    world.app.job_seen(job(), gone=False)
    world.app.job_seen(job(), gone=True)
    assert world.app.seen._last == {}


def test_rollout_is_woken_by_what_people_change() -> None:
    world = World()
    world.app.rollout_seen(job(), gone=False)
    world.app.rollout_seen(job(status={"phase": "Healthy"}), gone=False)
    world.app.rollout_seen(job(annotations={f"{GROUP}/promote": "1/2"}), gone=False)
    assert len(world.rollouts.uids) == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (job(), True),
        (job(status={"conditions": [condition("Succeeded", "Unknown"), condition("Failed", "Unknown")]}), True),
        (job(status={"observedGeneration": 1, "conditions": [condition("Succeeded", "True")]}), False),
        (job(status={"observedGeneration": 1, "conditions": [condition("Failed", "True")]}), False),
        (job(status={"observedGeneration": 1, "conditions": [condition("Failed", "True")]}, generation=2), True),
        (job(status={"observedGeneration": 1, "conditions": "nonsense"}), True),
    ],
)
def test_finished_job_has_no_loop_while_it_stays_as_it_is(body: dict[str, Any], expected: bool) -> None:
    assert unfinished(kopf.Body(body)) is expected


def test_both_kinds_have_a_daemon_and_nothing_detects_changes() -> None:
    registry = handlers.registry()
    daemons = {handler.selector.any_name: handler for handler in registry._spawning.get_all_handlers()}
    assert set(daemons) == {"finetunejobs", "modelrollouts"}
    assert daemons["finetunejobs"].when is unfinished
    assert daemons["modelrollouts"].when is None
    assert registry._changing.get_all_handlers() == []


def test_children_are_filtered_by_the_server_and_again_here() -> None:
    registry = handlers.registry()
    watched = [handler for handler in registry._watching.get_all_handlers() if handler.labels]
    assert {handler.selector.any_name for handler in watched} == {
        "jobs",
        "pods",
        "deployments",
        "services",
        "httproutes",
    }
    selectors = kopf_settings.settings().watching.label_selectors
    assert len(selectors) == len(watched)
    assert set(selectors.values()) == {f"{MANAGED_BY}=tunebird"}
    assert HTTP_ROUTE.plural in {selector.any_name for selector in selectors}
