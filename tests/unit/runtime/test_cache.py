"""Children by owner, from watches that may miss deletions."""

from __future__ import annotations

from typing import Any

from fakes.kube import Call, FakeKube
from tunebird.kube.errors import Rejected
from tunebird.kube.meta import HTTP_ROUTE, JOB, MANAGED_BY, OWNER_UID, POD
from tunebird.runtime.cache import GONE_PODS, ChildrenCache


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def pod(name: str, *, owner: str = "job-uid", controller: str = "", **metadata: Any) -> dict[str, Any]:
    references = [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": controller, "controller": True}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "ml",
            "uid": f"{name}-uid",
            "labels": {MANAGED_BY: "tunebird", OWNER_UID: owner},
            "ownerReferences": references if controller else [],
            **metadata,
        },
    }


def names(cache: ChildrenCache, owner: str = "job-uid") -> list[str]:
    return [child["metadata"]["name"] for child in cache.of(owner, POD)]


def test_child_is_found_by_label_and_by_controller_sorted_by_name() -> None:
    cache = ChildrenCache()
    cache.put(POD, pod("b", controller="batch-job"))
    cache.put(POD, pod("a"))
    assert names(cache) == ["a", "b"]
    assert names(cache, "batch-job") == ["b"]
    assert cache.of("job-uid", JOB) == ()


def test_child_that_changes_owner_leaves_the_old_one() -> None:
    cache = ChildrenCache()
    cache.put(POD, pod("a", owner="one"))
    cache.put(POD, pod("a", owner="two"))
    assert (names(cache, "one"), names(cache, "two")) == ([], ["a"])


def test_deleted_child_is_gone_and_leaves_nothing_behind() -> None:
    cache = ChildrenCache()
    cache.put(POD, pod("a"))
    cache.drop(POD, pod("a"))
    assert names(cache) == []
    assert cache.by_uid(POD, "a-uid") is None
    assert cache._owned == {}


def test_managed_fields_are_not_kept() -> None:
    cache = ChildrenCache()
    cache.put(POD, pod("a", managedFields=[{"manager": "kubelet"}]))
    assert "managedFields" not in cache.of("job-uid", POD)[0]["metadata"]


async def test_sweep_finds_what_the_watch_missed() -> None:
    kube, clock = FakeKube(), Seconds()
    cache = ChildrenCache(clock)
    cache.put(POD, pod("ghost", owner="one"))
    kube.put(pod("missed", owner="two"))
    clock.now = 10
    assert await cache.sweep(kube, ()) == {"one", "two"}
    assert (names(cache, "one"), names(cache, "two")) == ([], ["missed"])


async def test_sweep_of_an_unchanged_world_wakes_nobody() -> None:
    kube, clock = FakeKube(), Seconds()
    kube.put(pod("a"))
    cache = ChildrenCache(clock)
    await cache.sweep(kube, ())
    clock.now = 10
    assert await cache.sweep(kube, ()) == set()


async def test_what_a_watch_tells_during_the_list_is_newer_than_the_list() -> None:
    kube, clock = FakeKube(), Seconds()
    old = kube.put(pod("a"))
    cache = ChildrenCache(clock)
    cache.put(POD, old)
    clock.now = 10

    def meanwhile(call: Call) -> None:
        if call.ref.kind == POD:
            clock.now = 11
            cache.put(POD, pod("a", resourceVersion="999"))
            cache.put(POD, pod("new"))

    kube.before = meanwhile
    assert await cache.sweep(kube, ()) == set()
    assert [child["metadata"].get("resourceVersion") for child in cache.of("job-uid", POD)] == ["999", None]


async def test_sweep_without_the_gateway_api_finds_no_routes_and_goes_on() -> None:
    kube = FakeKube()
    kube.put(pod("a"))

    def no_gateway_api(call: Call) -> None:
        if call.ref.kind == HTTP_ROUTE:
            raise Rejected("the server could not find the requested resource", code=404, reason="NotFound")

    kube.before = no_gateway_api
    cache = ChildrenCache()
    await cache.sweep(kube, ())
    assert names(cache) == ["a"]


async def test_sweep_is_confined_to_the_watched_namespaces() -> None:
    kube = FakeKube()
    kube.put(pod("here"))
    kube.put({**pod("there"), "metadata": {**pod("there")["metadata"], "namespace": "other"}})
    cache = ChildrenCache()
    await cache.sweep(kube, ("ml",))
    assert names(cache) == ["here"]


def test_the_last_sight_of_a_pod_is_kept_for_its_owner() -> None:
    cache = ChildrenCache()
    cache.put(POD, pod("a"))
    ended = {**pod("a"), "status": {"phase": "Failed"}}
    cache.drop(POD, ended)
    assert names(cache) == []
    (last,) = cache.last_words("job-uid")
    assert last["status"] == {"phase": "Failed"}
    assert cache.last_words("another-uid") == ()


def test_the_oldest_last_sights_are_forgotten_first() -> None:
    cache = ChildrenCache()
    for number in range(GONE_PODS + 1):
        cache.drop(POD, pod(f"p{number}"))
    kept = [one["metadata"]["name"] for one in cache.last_words("job-uid")]
    assert (len(kept), kept[0], kept[-1]) == (GONE_PODS, "p1", f"p{GONE_PODS}")
