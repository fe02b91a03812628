"""The API server in memory behaves as the reconcilers' tests trust it to."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.kube import FakeChildren, FakeKube, fail_once
from tunebird.kube.errors import Conflict, Unavailable
from tunebird.kube.meta import DEPLOYMENT, JOB, MANAGED_BY, OWNER_UID, POD, Ref


def deployment(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "d", "namespace": "ml"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": 1, **spec}}


def container(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "i", **fields}


REF = Ref(DEPLOYMENT, "ml", "d")


async def test_apply_of_the_same_again_writes_nothing() -> None:
    kube = FakeKube()
    first = await kube.apply(deployment())
    kube.writes.clear()
    assert await kube.apply(deployment()) == first
    assert kube.writes == []


async def test_apply_keeps_what_others_set_and_takes_back_what_it_no_longer_names() -> None:
    kube = FakeKube()
    await kube.apply(deployment(paused=True, template={"spec": {"containers": [container("a"), container("b")]}}))
    kube.patch(REF, {"spec": {"progressDeadlineSeconds": 600}})
    await kube.apply(deployment(template={"spec": {"containers": [container("a", image="j")]}}))
    live = kube.find(DEPLOYMENT, "d", "ml")
    assert live is not None
    assert live["spec"] == {
        "replicas": 1,
        "progressDeadlineSeconds": 600,
        "template": {"spec": {"containers": [container("a", image="j")]}},
    }


async def test_generation_moves_with_the_spec_alone() -> None:
    kube = FakeKube()
    made = await kube.apply(deployment())
    await kube.replace_status({**made, "status": {"replicas": 1}})
    assert kube.objects[REF]["metadata"]["generation"] == 1
    await kube.apply(deployment(replicas=2))
    assert kube.objects[REF]["metadata"]["generation"] == 2
    assert kube.objects[REF]["status"] == {"replicas": 1}


async def test_stale_status_is_a_conflict() -> None:
    kube = FakeKube()
    stale = await kube.create(deployment())
    kube.patch(REF, {"spec": {"replicas": 3}})
    with pytest.raises(Conflict):
        await kube.replace_status({**stale, "status": {}})


async def test_create_ignores_the_status_and_happens_once() -> None:
    kube = FakeKube()
    made = await kube.create({**deployment(), "status": {"replicas": 9}})
    assert "status" not in made
    with pytest.raises(Conflict):
        await kube.create(deployment())


async def test_delete_of_another_uid_is_a_conflict_and_of_nothing_success() -> None:
    kube = FakeKube()
    await kube.create(deployment())
    with pytest.raises(Conflict):
        await kube.delete(REF, uid="another")
    await kube.delete(REF)
    await kube.delete(REF)
    assert [call.verb for call in kube.writes] == ["create", "delete"]


async def test_finalizer_holds_a_deleted_object() -> None:
    kube = FakeKube()
    kube.put({**deployment(), "metadata": {"name": "d", "namespace": "ml", "finalizers": ["x"]}})
    await kube.delete(REF)
    assert "deletionTimestamp" in kube.objects[REF]["metadata"]
    kube.patch(REF, {"metadata": {"finalizers": None}})
    assert REF not in kube.objects


async def test_collection_takes_orphans_of_orphans() -> None:
    kube = FakeKube()
    made = kube.put(deployment())
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": made["metadata"]["uid"]}
    job = kube.put({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "ownerReferences": [owner]}})
    second = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": job["metadata"]["uid"]}
    kube.put({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "ownerReferences": [second]}})
    kube.collect()
    assert len(kube.objects) == 3
    await kube.delete(REF)
    kube.collect()
    assert kube.objects == {}


async def test_hook_may_fail_a_call() -> None:
    kube = FakeKube()
    kube.before = fail_once("create", DEPLOYMENT)
    with pytest.raises(Unavailable):
        await kube.create(deployment())
    assert kube.objects == {}
    await kube.create(deployment())


async def test_children_are_those_of_ours_that_name_the_owner_and_may_lag() -> None:
    kube = FakeKube()
    children = FakeChildren(kube)
    labels = {MANAGED_BY: "tunebird", OWNER_UID: "owner"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": labels}}
    children.freeze()
    kube.put(pod)
    assert children.of("owner", POD) == ()
    children.thaw()
    assert [child["metadata"]["name"] for child in children.of("owner", POD)] == ["p"]
    assert children.of("owner", JOB) == ()
