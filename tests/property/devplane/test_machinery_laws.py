"""Laws of devplane's patches, ownership, pruning and defaults, over generated objects."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from devplane.custom.schema import Structural
from devplane.kinds.builtins import builtin
from devplane.patches.apply import apply, ownership, track
from devplane.patches.fieldsets import all_fields, compare, difference, fields_of, intersection, paths, union, without
from devplane.patches.plain import merge_patch, strategic_merge
from devplane.schemas.types import TypeNode

Obj = dict[str, Any]

KEYS = st.sampled_from(["a", "b", "c", "d"])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text("xyz", max_size=2))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)


def law(*examples: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A property over examples. A loaded machine may take its time."""
    return lambda test: settings(deadline=None)(given(*examples)(test))


def types_of(api_version: str, kind: str) -> TypeNode:
    found = builtin(api_version, kind)
    assert found is not None
    return found.types


DEPLOYMENT, CONFIG_MAP = types_of("apps/v1", "Deployment"), types_of("v1", "ConfigMap")
TEXTS = st.sampled_from(["1", "2", "3"])
DATA = st.dictionaries(KEYS, TEXTS, max_size=4)
PORTS = st.lists(st.fixed_dictionaries({"containerPort": st.integers(1, 3)}), min_size=1, max_size=2, unique_by=str)
CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": KEYS},
        optional={
            "image": TEXTS,
            "command": st.lists(TEXTS, min_size=1, max_size=2),
            "workingDir": TEXTS,
            "ports": PORTS,
        },
    ),
    max_size=3,
    unique_by=lambda one: one["name"],
)


@st.composite
def deployments(draw: st.DrawFn) -> Obj:
    """Wishes of one manager: some replicas, a selector, labels, containers."""
    spec: Obj = {}
    if draw(st.booleans()):
        spec["replicas"] = draw(st.integers(1, 3))
    if draw(st.booleans()):
        spec["selector"] = {"matchLabels": {"app": draw(TEXTS)}}
    if containers := draw(CONTAINERS):
        spec["template"] = {"spec": {"containers": containers}}
    labels = draw(DATA)
    metadata = {"name": "d", "labels": labels} if labels else {"name": "d"}
    found = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}
    return {**found, "spec": spec} if spec else found


def applied(live: Obj | None, wanted: Obj, manager: str) -> Obj:
    return apply(live, wanted, manager=manager, force=True, types=DEPLOYMENT, subresource="", now="t")


def values(obj: Obj) -> Obj:
    """Leaves by path: what an object says, whatever the order of its lists."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return all_fields({**obj, "metadata": metadata}, DEPLOYMENT)


@law(OBJECTS, OBJECTS)
def test_a_merge_patch_applied_twice_is_applied_once(target: Obj, patch: Obj) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


@law(OBJECTS)
def test_an_empty_merge_patch_changes_nothing(target: Obj) -> None:
    assert merge_patch(target, {}) == target


@law(OBJECTS, OBJECTS)
def test_a_merge_patch_leaves_its_arguments_alone(target: Obj, patch: Obj) -> None:
    before = copy.deepcopy((target, patch))
    merge_patch(target, patch)["new"] = {"a": 1}
    assert (target, patch) == before


@law(deployments(), deployments())
def test_a_strategic_patch_applied_twice_is_applied_once(live: Obj, patch: Obj) -> None:
    once = strategic_merge(live, patch, DEPLOYMENT)
    again = strategic_merge(once, patch, DEPLOYMENT)
    assert values(again) == values(once)


@law(deployments(), deployments())
def test_sets_of_fields_are_sets(one: Obj, other: Obj) -> None:
    a, b = fields_of(one, DEPLOYMENT), fields_of(other, DEPLOYMENT)
    left, right = set(paths(a)), set(paths(b))
    assert set(paths(union(a, b))) == left | right
    assert set(paths(difference(a, b))) == left - right
    assert set(paths(intersection(a, b))) == left & right


@law(deployments(), deployments())
def test_what_differs_is_what_was_changed_and_what_was_removed(old: Obj, new: Obj) -> None:
    changed, removed = compare(old, new, DEPLOYMENT)
    before, after = set(paths(all_fields(old, DEPLOYMENT))), set(paths(all_fields(new, DEPLOYMENT)))
    assert set(paths(removed)) <= before
    assert set(paths(changed)) <= after
    assert after - before <= set(paths(changed))
    assert compare(new, new, DEPLOYMENT) == ({}, {})


@law(deployments())
def test_an_object_without_everything_it_has_is_nothing(obj: Obj) -> None:
    assert without(obj, all_fields(obj, DEPLOYMENT), DEPLOYMENT) is None


@law(deployments(), deployments())
def test_applying_the_same_again_changes_nothing(first: Obj, second: Obj) -> None:
    live = applied(applied(None, first, "one"), second, "two")
    assert applied(live, second, "two") == live


@law(deployments(), deployments())
def test_a_forced_apply_is_seen_in_the_object(first: Obj, second: Obj) -> None:
    live = applied(applied(None, first, "one"), second, "two")
    wanted = set(paths(fields_of(second, DEPLOYMENT)))
    assert wanted <= set(paths(fields_of(values_only(live), DEPLOYMENT)))


def values_only(obj: Obj) -> Obj:
    return {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key != "managedFields"}}


@law(deployments())
def test_the_only_manager_takes_everything_with_it(wanted: Obj) -> None:
    live = applied(None, wanted, "one")
    bare = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}
    left = applied(live, bare, "one")
    assert left == bare


@law(DATA, DATA, DATA)
def test_a_dropped_key_goes_only_if_nobody_else_owns_it(mine: Obj, theirs: Obj, kept: Obj) -> None:
    def written(live: Obj | None, data: Obj, manager: str) -> Obj:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data}
        return apply(live, body, manager=manager, force=True, types=CONFIG_MAP, subresource="", now="t")

    live = written(written(None, mine, "me"), theirs, "them")
    data = written(live, kept, "me").get("data") or {}
    assert set(data) == set(theirs) | set(kept)
    assert all(data[key] == value for key, value in kept.items())
    assert all(data[key] == theirs[key] for key in set(theirs) - set(kept))


@law(deployments(), deployments(), deployments())
def test_every_owned_field_is_there(first: Obj, second: Obj, third: Obj) -> None:
    live = applied(applied(None, first, "one"), second, "two")
    after = copy.deepcopy(third)
    after["metadata"]["managedFields"] = live["metadata"].get("managedFields", [])
    track(live, after, manager="three", types=DEPLOYMENT, subresource="", now="t")
    there = set(paths(all_fields(values_only(after), DEPLOYMENT)))
    for owned in ownership(after).values():
        assert set(paths(owned.fields)) <= there


SCHEMAS = st.recursive(
    st.sampled_from([{"type": "string"}, {"type": "integer", "default": 1}, {"type": "string", "nullable": True}]),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("object"), "properties": st.dictionaries(KEYS, inner, max_size=3)}),
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.fixed_dictionaries({"type": st.just("object"), "additionalProperties": inner}),
        st.fixed_dictionaries({"type": st.just("object"), "x-kubernetes-preserve-unknown-fields": st.just(True)}),
    ),
    max_leaves=6,
)


def structural(schema: Obj) -> Structural:
    return Structural({"type": "object", "properties": {"spec": schema}})


def resource(value: Any) -> Obj:
    return {"apiVersion": "x.dev/v1", "kind": "X", "metadata": {"name": "x"}, "spec": value}


@law(SCHEMAS, VALUES)
def test_a_pruned_object_has_nothing_left_to_prune(schema: Obj, value: Any) -> None:
    found, obj = structural(schema), resource(copy.deepcopy(value))
    found.prune(obj)
    assert found.prune(obj) == []


@law(SCHEMAS, VALUES)
def test_a_defaulted_object_has_nothing_left_to_default(schema: Obj, value: Any) -> None:
    found, obj = structural(schema), resource(copy.deepcopy(value))
    found.default(obj)
    again = copy.deepcopy(obj)
    found.default(again)
    assert again == obj


@law(SCHEMAS, VALUES)
def test_the_quick_answer_and_the_exact_one_agree(schema: Obj, value: Any) -> None:
    found, obj = structural(schema), resource(value)
    causes = found.validate(obj, None)
    assert found._is_valid(obj) == (causes == [])
