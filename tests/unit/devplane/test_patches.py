"""Merge, JSON and strategic merge patches."""

from __future__ import annotations

from typing import Any

import pytest

from devplane.errors import ApiError
from devplane.kinds.builtins import builtin
from devplane.patches.plain import json_patch, merge_patch, strategic_merge


def strategic(target: dict[str, Any], patch: dict[str, Any], kind: str = "Pod") -> dict[str, Any]:
    found = builtin("apps/v1" if kind == "Deployment" else "v1", kind)
    assert found is not None
    return strategic_merge(target, patch, found.types)


def containers(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(items), **more}}


@pytest.mark.parametrize(
    ("target", "patch", "wanted"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": "foo"}, "bar", "bar"),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_follows_the_examples_of_its_rfc(target: Any, patch: Any, wanted: Any) -> None:
    assert merge_patch(target, patch) == wanted


def test_a_json_patch_changes_a_copy() -> None:
    target = {"data": {"a": "1"}}
    assert json_patch(target, [{"op": "add", "path": "/data/b", "value": "2"}]) == {"data": {"a": "1", "b": "2"}}
    assert target == {"data": {"a": "1"}}


@pytest.mark.parametrize(
    ("ops", "code"),
    [
        ([{"op": "test", "path": "/data/a", "value": "2"}], 422),
        ([{"op": "remove", "path": "/data/none"}], 422),
        ([{"op": "replace", "path": "/data/none", "value": 1}], 422),
        ([{"op": "jump", "path": "/data"}], 422),
        ([{"path": "/data"}], 422),
        (["x"], 422),
        ({"op": "add"}, 400),
    ],
)
def test_a_json_patch_that_does_not_apply_is_refused(ops: Any, code: int) -> None:
    with pytest.raises(ApiError) as refusal:
        json_patch({"data": {"a": "1"}}, ops)
    assert refusal.value.code == code


def test_containers_merge_by_name_and_keep_what_is_not_named() -> None:
    live = containers({"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "2"})
    patch = containers({"name": "a", "env": [{"name": "Y", "value": "2"}]})
    merged = strategic(live, patch)["spec"]["containers"]
    assert [one["name"] for one in merged] == ["a", "b"]
    assert merged[0]["image"] == "1"
    assert [one["name"] for one in merged[0]["env"]] == ["X", "Y"] or [one["name"] for one in merged[0]["env"]] == [
        "Y",
        "X",
    ]


def test_a_delete_directive_removes_one_item() -> None:
    live = containers({"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]})
    patch = containers({"name": "a", "env": [{"name": "X", "$patch": "delete"}]})
    assert strategic(live, patch)["spec"]["containers"][0]["env"] == [{"name": "Y", "value": "2"}]


def test_a_replace_directive_drops_what_was_there() -> None:
    live = containers({"name": "a"}, {"name": "b"})
    assert strategic(live, containers({"$patch": "replace"}, {"name": "c"})) == containers({"name": "c"})
    replaced = strategic(
        {"metadata": {"labels": {"a": "1"}}}, {"metadata": {"labels": {"$patch": "replace", "b": "2"}}}
    )
    assert replaced == {"metadata": {"labels": {"b": "2"}}}


def test_element_order_is_what_the_client_asks_for() -> None:
    live = containers({"name": "a"}, {"name": "server"}, {"name": "b"})
    patch = {
        "spec": {
            "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
            "containers": [{"name": "a", "image": "x"}],
        }
    }
    names = [one["name"] for one in strategic(live, patch)["spec"]["containers"]]
    assert names.index("b") < names.index("a")
    assert set(names) == {"a", "b", "server"}


def test_primitives_can_be_deleted_from_a_merged_list() -> None:
    live = {"metadata": {"finalizers": ["a/x", "b/y"]}}
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/x"], "finalizers": ["c/z"]}}
    assert sorted(strategic(live, patch)["metadata"]["finalizers"]) == ["b/y", "c/z"]


def test_retained_keys_drop_the_other_member_of_a_union() -> None:
    live = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic(live, patch, "Deployment") == {"spec": {"strategy": {"type": "Recreate"}}}


def test_null_removes_and_atomic_lists_are_replaced() -> None:
    live = containers({"name": "a", "command": ["x", "y"], "image": "1"})
    merged = strategic(live, containers({"name": "a", "command": ["z"], "image": None}))
    assert merged == containers({"name": "a", "command": ["z"]})


def test_directives_do_not_reach_an_object_that_had_no_such_field() -> None:
    patch = containers({"name": "a", "env": [{"name": "X", "$patch": "delete"}, {"name": "Y", "value": "1"}]})
    assert strategic({"spec": {}}, patch) == containers({"name": "a", "env": [{"name": "Y", "value": "1"}]})


@pytest.mark.parametrize(
    "patch",
    [
        containers({"image": "no name"}),
        {"spec": {"$patch": "shrink"}},
        {"spec": {"$retainKeys": ["a"], "b": 1}},
    ],
)
def test_a_strategic_patch_that_means_nothing_is_refused(patch: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as refusal:
        strategic(containers({"name": "a"}), patch)
    assert refusal.value.code == 400
