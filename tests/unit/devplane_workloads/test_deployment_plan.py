"""Rolling updates decided from tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devplane.controllers.deployments.plan import DESIRED, limits, plan, see, template_hash
from devplane.objects import stamp

Obj = dict[str, Any]
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def template(version: str) -> Obj:
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": version}]}}


def deployment(version: str = "new", replicas: int = 4, surge: Any = 1, unavailable: Any = 1, **spec: Any) -> Obj:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    body = {"replicas": replicas, "strategy": strategy, "template": template(version), **spec}
    return {"metadata": {"name": "web", "namespace": "ns", "uid": "d", "generation": 1}, "spec": body}


def replica_set(version: str, size: int, available: int | None = None, desired: int = 4) -> Obj:
    ready = size if available is None else available
    counts = {"replicas": size, "readyReplicas": ready, "availableReplicas": ready}
    metadata = {
        "name": f"web-{version}",
        "creationTimestamp": stamp(NOW),
        "annotations": {DESIRED: str(desired), "deployment.kubernetes.io/revision": "1"},
    }
    return {"metadata": metadata, "spec": {"replicas": size, "template": template(version)}, "status": counts}


def test_first_replica_set_gets_all_replicas() -> None:
    assert plan(see(deployment(), []), NOW).make == 4


def test_new_replica_set_starts_within_the_surge() -> None:
    decided = plan(see(deployment(), [replica_set("old", 4)]), NOW)
    assert (decided.make, decided.revision) == (1, 2)


def test_old_one_shrinks_when_the_new_one_can_not_grow() -> None:
    seen = see(deployment(), [replica_set("old", 4), replica_set("new", 1, available=0)])
    assert plan(seen, NOW).sizes == {"web-old": 3}


def test_pods_that_never_were_available_go_first() -> None:
    broken, good = replica_set("broken", 2, available=0), replica_set("good", 3)
    seen = see(deployment(unavailable=0, surge=2), [broken, good, replica_set("new", 1, available=0)])
    assert plan(seen, NOW).sizes == {"web-broken": 1}


def test_recreate_waits_for_the_old_pods() -> None:
    strategy = {"type": "Recreate"}
    seen = see(deployment(strategy=strategy), [replica_set("old", 4), replica_set("new", 0)])
    assert plan(seen, NOW).sizes == {"web-old": 0}
    leaving = replica_set("old", 0)
    leaving["status"]["replicas"] = 2
    assert plan(see(deployment(strategy=strategy), [leaving, replica_set("new", 0)]), NOW).sizes == {}


def test_paused_deployment_is_scaled_but_not_rolled() -> None:
    assert plan(see(deployment(paused=True), [replica_set("old", 4)]), NOW).make is None
    scaled = plan(see(deployment(paused=True, replicas=6), [replica_set("old", 4)]), NOW)
    assert scaled.sizes == {"web-old": 6}


def test_history_is_kept_to_its_limit() -> None:
    sets = [replica_set(f"v{at}", 0) for at in range(4)]
    decided = plan(see(deployment(revisionHistoryLimit=1), [*sets, replica_set("new", 4)]), NOW)
    assert len(decided.dropped) == 3


def test_progress_that_stops_is_late_after_its_deadline() -> None:
    sets = [replica_set("new", 4, available=0)]
    first = plan(see(deployment(progressDeadlineSeconds=5), sets), NOW)
    known = {**deployment(progressDeadlineSeconds=5), "status": first.status}
    waiting = plan(see(known, sets), NOW + timedelta(seconds=1))
    assert waiting.again == pytest.approx(4.05)
    late = plan(see({**known, "status": waiting.status}, sets), NOW + timedelta(seconds=6))
    reasons = {one["type"]: one["reason"] for one in late.status["conditions"]}
    assert reasons == {"Available": "MinimumReplicasUnavailable", "Progressing": "ProgressDeadlineExceeded"}


@pytest.mark.parametrize(
    ("surge", "unavailable", "bounds"), [("25%", "25%", (5, 3)), ("26%", "24%", (6, 4)), (0, 0, (4, 3)), (2, 0, (6, 4))]
)
def test_limits_round_surge_up_and_unavailable_down(surge: Any, unavailable: Any, bounds: tuple[int, int]) -> None:
    found = limits(deployment(surge=surge, unavailable=unavailable)["spec"])
    assert (found.most, found.fewest) == bounds


def test_hash_is_of_the_template_without_its_own_label() -> None:
    labelled = template("a")
    labelled["metadata"]["labels"]["pod-template-hash"] = "x"
    assert template_hash(labelled) == template_hash(template("a")) != template_hash(template("b"))


@given(
    replicas=st.integers(1, 8),
    surge=st.integers(0, 3),
    unavailable=st.integers(0, 3),
    chances=st.lists(st.integers(0, 3), min_size=80, max_size=80),
)
def test_any_rolling_update_ends_within_its_limits(
    replicas: int, surge: int, unavailable: int, chances: list[int]
) -> None:
    """Pods become available one after the other, at random moments; the limits hold at each step."""
    wanted = deployment(replicas=replicas, surge=surge, unavailable=unavailable)
    bounds = limits(wanted["spec"])
    sets = {"old": replica_set("old", replicas, desired=replicas)}
    for chance in [*chances, *[0] * 80]:
        decided = plan(see(wanted, list(sets.values())), NOW)
        if decided.make is not None:
            sets["new"] = replica_set("new", decided.make, available=0, desired=replicas)
        for name, size in decided.sizes.items():
            one = sets[name.removeprefix("web-")]
            one["spec"]["replicas"] = one["status"]["replicas"] = size
            one["status"]["availableReplicas"] = min(one["status"]["availableReplicas"], size)
        if chance == 0 and "new" in sets:
            status = sets["new"]["status"]
            status["availableReplicas"] = min(status["availableReplicas"] + 1, status["replicas"])
        assert sum(one["spec"]["replicas"] for one in sets.values()) <= bounds.most
        assert sum(one["status"]["availableReplicas"] for one in sets.values()) >= bounds.fewest
    assert sets["old"]["spec"]["replicas"] == 0
    assert sets["new"]["status"]["availableReplicas"] == replicas
