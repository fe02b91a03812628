"""Ownership: list maps, sets, atomic values, subresources, rewritten managedFields."""

from __future__ import annotations

from typing import Any

import pytest

from devplane.errors import ApiError
from devplane.kinds.builtins import builtin
from devplane.patches.apply import apply, ownership, track
from devplane.patches.fieldsets import paths
from devplane.schemas.types import TypeNode

Obj = dict[str, Any]


def types(api_version: str, kind: str) -> TypeNode:
    found = builtin(api_version, kind)
    assert found is not None
    return found.types


DEPLOYMENT = types("apps/v1", "Deployment")


def deployment(*containers: Obj, **spec: Any) -> Obj:
    template = {"spec": {"containers": list(containers)}} if containers else None
    spec = {"template": template, **spec} if template else spec
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": spec,
    }


def applied(live: Obj | None, wanted: Obj, manager: str, *, force: bool = False, now: str = "t1") -> Obj:
    return apply(live, wanted, manager=manager, force=force, types=DEPLOYMENT, subresource="", now=now)


def names(obj: Obj) -> list[str]:
    return [one["name"] for one in obj["spec"]["template"]["spec"]["containers"]]


def owned(obj: Obj, manager: str) -> list[str]:
    return [path for one in ownership(obj).values() if one.manager.name == manager for path in paths(one.fields)]


def test_two_appliers_share_a_list_by_its_keys() -> None:
    live = applied(None, deployment({"name": "a", "image": "1"}, replicas=1), "one")
    live = applied(live, deployment({"name": "b", "image": "2"}), "two")
    assert names(live) == ["a", "b"]
    live = applied(live, deployment(replicas=1), "one")
    assert names(live) == ["b"]


def test_a_container_stays_while_another_manager_owns_something_in_it() -> None:
    live = applied(None, deployment({"name": "a", "image": "1"}), "one")
    live = applied(live, deployment({"name": "a", "workingDir": "/x"}), "two")
    live = applied(live, deployment(), "one")
    assert live["spec"]["template"]["spec"]["containers"] == [{"name": "a", "workingDir": "/x"}]


def test_a_conflict_names_the_item_and_the_manager() -> None:
    live = applied(None, deployment({"name": "a", "image": "1"}), "one")
    with pytest.raises(ApiError) as refusal:
        applied(live, deployment({"name": "a", "image": "2"}), "two")
    path = '.spec.template.spec.containers[name="a"].image'
    assert refusal.value.message == f'Apply failed with 1 conflict: conflict with "one": {path}'
    assert refusal.value.code == 409


def test_force_takes_the_field_from_its_owner() -> None:
    live = applied(None, deployment(replicas=1), "one")
    live = applied(live, deployment(replicas=2), "two", force=True)
    assert live["spec"]["replicas"] == 2
    assert owned(live, "one") == []
    assert owned(live, "two") == [".spec.replicas"]


def test_an_applied_atomic_map_is_owned_and_replaced_whole() -> None:
    live = applied(None, deployment(selector={"matchLabels": {"a": "1"}}), "one")
    assert owned(live, "one") == [".spec.selector"]
    live = applied(live, deployment(selector={"matchLabels": {"b": "2"}}), "one")
    assert live["spec"]["selector"] == {"matchLabels": {"b": "2"}}


def test_ports_without_a_protocol_are_those_of_tcp() -> None:
    live = applied(None, deployment({"name": "a", "ports": [{"containerPort": 80}]}), "one")
    assert '.spec.template.spec.containers[name="a"].ports[containerPort=80,protocol="TCP"]' in owned(live, "one")


def test_an_update_of_status_is_another_entry_than_one_of_spec() -> None:
    live = applied(None, deployment(replicas=1), "one")
    after = {**live, "status": {"replicas": 1}, "metadata": dict(live["metadata"])}
    track(live, after, manager="controller", types=DEPLOYMENT, subresource="status", now="t2")
    entries = after["metadata"]["managedFields"]
    assert [(one["manager"], one["operation"], one.get("subresource")) for one in entries] == [
        ("one", "Apply", None),
        ("controller", "Update", "status"),
    ]
    with pytest.raises(ApiError) as refusal:
        apply(
            after,
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "status": {"replicas": 3}},
            manager="two",
            force=False,
            types=DEPLOYMENT,
            subresource="status",
            now="t3",
        )
    assert (
        'conflict with "controller" with subresource "status" using apps/v1: .status.replicas' in refusal.value.message
    )


def test_what_an_update_removes_nobody_owns_any_more() -> None:
    live = applied(None, deployment({"name": "a", "image": "1"}, replicas=1), "one")
    after = deployment({"name": "a"}, replicas=1)
    after["metadata"] = dict(live["metadata"])
    track(live, after, manager="edit", types=DEPLOYMENT, subresource="", now="t2")
    assert '.spec.template.spec.containers[name="a"].image' not in owned(after, "one")
    assert owned(after, "edit") == []


def test_a_client_may_rewrite_ownership_but_not_through_a_subresource() -> None:
    live = applied(None, deployment(replicas=1), "one")
    forgetful = {**live, "metadata": {**live["metadata"], "managedFields": [{}]}}
    track(live, forgetful, manager="x", types=DEPLOYMENT, subresource="", now="t2")
    assert "managedFields" not in forgetful["metadata"]
    sneaky = {**live, "metadata": {**live["metadata"], "managedFields": [{}]}}
    track(live, sneaky, manager="x", types=DEPLOYMENT, subresource="status", now="t2")
    assert sneaky["metadata"]["managedFields"] == live["metadata"]["managedFields"]


def test_applying_the_same_later_leaves_the_time() -> None:
    live = applied(None, deployment(replicas=1), "one", now="t1")
    assert applied(live, deployment(replicas=1), "one", now="t2") == live


def test_applied_items_come_in_their_order_among_the_live_ones() -> None:
    live = deployment({"name": "a"}, {"name": "x"}, {"name": "b"})
    track(None, live, manager="y", types=DEPLOYMENT, subresource="", now="t")
    assert names(applied(live, deployment({"name": "b"}, {"name": "a"}), "one")) == ["x", "b", "a"]
    assert names(applied(live, deployment({"name": "new"}, {"name": "b"}), "one")) == ["a", "x", "new", "b"]


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (deployment({"name": "a"}, {"name": "a"}), 'duplicate entries for key [name="a"]'),
        (deployment({"image": "x"}), 'omits key field "name"'),
        (deployment(nope=1), ".spec.nope: field not declared in schema"),
        (deployment(template=[]), ".spec.template: expected map"),
    ],
)
def test_a_body_that_is_no_object_of_its_kind_is_refused(wanted: Obj, problem: str) -> None:
    with pytest.raises(ApiError) as refusal:
        applied(None, wanted, "one")
    assert problem in refusal.value.message
