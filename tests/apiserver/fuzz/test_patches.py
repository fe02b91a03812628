"""Patches against a model that was written from the documents alone: a patch is the update by what the model makes."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

from apiserver.fuzz import patch_model
from apiserver.fuzz.budget import SIZES, explore
from apiserver.fuzz.mutations import places
from apiserver.fuzz.patch_model import MERGE_KEYS, RefusedError
from apiserver.fuzz.verdict import judged
from apiserver.fuzz.wire import JSON_PATCH, MERGE, STRATEGIC, Answer, Wire
from apiserver.fuzz.worlds import APPS, GROUP, LABELS

Obj = dict[str, Any]

THINGS = f"/apis/{GROUP}/v1/namespaces/default/things"
KEYS = st.sampled_from(["a", "b", "c", "a/b", "m~n", "0", "", "é"])
LEAVES = st.sampled_from([0, 1, True, False, "", "x", 1.5, -3, "1"])
FREE = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
WITH_NULLS = st.recursive(
    LEAVES | st.none(), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8
)  # fmt: skip


def content(answer: Answer) -> Obj:
    """An answered object without what the server alone writes."""
    body: Obj = answer.body
    for key in ("managedFields", "generation", "resourceVersion"):
        body["metadata"].pop(key, None)
    return body


def replaced(wire: Wire, where: str, wanted: Obj) -> Answer:
    return judged(wire.ask("PUT", f"{where}?dryRun=All", wanted))


@SIZES
def test_a_merge_patch_is_what_its_rfc_says(wire: Wire, size: int) -> None:
    where = f"{THINGS}/merged"
    wire.ask("POST", THINGS, {"metadata": {"name": "merged"}, "spec": {}})

    def check(before: Any, patch: Any) -> None:
        stored = judged(
            wire.ask("PATCH", where, [{"op": "add", "path": "/spec", "value": {"any": before}}], JSON_PATCH)
        )
        assert stored.body["spec"] == {"any": before}
        after = judged(wire.ask("PATCH", f"{where}?dryRun=All", {"spec": {"any": patch}}, MERGE))
        assert after.code == 200, after
        assert after.body["spec"] == patch_model.merge({"any": before}, {"any": patch})

    explore(check, 60, size, before=FREE, patch=WITH_NULLS)


def pointer(path: tuple[str | int, ...]) -> str:
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


def value_at(document: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        document = document[step]
    return document


@st.composite
def operations(draw: st.DrawFn, document: Any) -> list[Obj]:
    """Operations of which most find something."""
    found = {pointer(path): value_at(document, path) for path in places(document)}
    lists = [f"{one}/{end}" for one, value in found.items() if isinstance(value, list) for end in ("-", "0", "1", "01")]
    maps = [f"{one}/{end}" for one, value in found.items() if isinstance(value, dict) for end in ("a", "b", "-")]
    wrong = [f"{one}/0" for one, value in found.items() if not isinstance(value, dict | list)]
    pointers = st.sampled_from([*found, *lists, *maps, *wrong]).map(lambda one: f"/spec/any{one}")

    def operation(op: str) -> st.SearchStrategy[Obj]:
        more = (
            {"value": FREE}
            if op in ("add", "replace", "test")
            else {"from": pointers}
            if op in ("move", "copy")
            else {}
        )
        return st.fixed_dictionaries({"op": st.just(op), "path": pointers, **more})

    return draw(st.lists(st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]).flatmap(operation),
                         min_size=1, max_size=3))  # fmt: skip


@SIZES
def test_a_json_patch_is_what_its_rfc_says(wire: Wire, size: int) -> None:
    where = f"{THINGS}/patched"
    wire.ask("POST", THINGS, {"metadata": {"name": "patched"}, "spec": {}})

    def check(case: tuple[Any, list[Obj]]) -> None:
        before, ops = case
        stored = judged(
            wire.ask("PATCH", where, [{"op": "add", "path": "/spec", "value": {"any": before}}], JSON_PATCH)
        )
        assert stored.code == 200, stored
        after = judged(wire.ask("PATCH", f"{where}?dryRun=All", ops, JSON_PATCH))
        try:
            wanted = patch_model.json_patch({"spec": {"any": before}}, ops)
        except RefusedError:
            assert after.code == 422, after
            return
        assert after.code == 200, after
        assert json.dumps(after.body.get("spec"), sort_keys=True) == json.dumps(wanted["spec"], sort_keys=True)

    explore(check, 70, size, case=FREE.flatmap(lambda before: st.tuples(st.just(before), operations(before))))


NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(["1", "2", ""])


def listed(field: str, item: st.SearchStrategy[Obj], least: int = 0) -> st.SearchStrategy[list[Obj]]:
    """Items whose merge keys differ."""
    key = MERGE_KEYS.get(field, "")
    return st.lists(item, min_size=least, max_size=3, unique_by=lambda one: one.get(key) if key else json.dumps(one))


ENV = listed("env", st.fixed_dictionaries({"name": NAMES}, optional={"value": VALUES}))
PORTS = listed(
    "ports", st.fixed_dictionaries({"containerPort": st.integers(1, 3)}, optional={"protocol": st.just("TCP")})
)
MOUNTS = listed(
    "volumeMounts", st.fixed_dictionaries({"mountPath": st.sampled_from(["/a", "/b"]), "name": st.just("v")})
)
CONTAINER: dict[str, Any] = {
    "image": st.sampled_from(["x:1", "y:2"]), "args": st.lists(VALUES, max_size=2), "env": ENV, "ports": PORTS,
    "volumeMounts": MOUNTS, "resources": st.fixed_dictionaries(
        {}, optional={"limits": st.dictionaries(st.sampled_from(["cpu", "memory"]), st.sampled_from(["1", "2"]))}),
}  # fmt: skip
TOLERATIONS = st.lists(st.fixed_dictionaries({"key": NAMES, "operator": st.just("Exists")}), max_size=2)
SPEC: dict[str, Any] = {
    "nodeSelector": st.dictionaries(NAMES, VALUES, max_size=2),
    "tolerations": TOLERATIONS,
    "imagePullSecrets": listed("imagePullSecrets", st.fixed_dictionaries({"name": NAMES})),
    "hostAliases": listed("hostAliases", st.fixed_dictionaries(
        {"ip": st.sampled_from(["1.1.1.1", "2.2.2.2"]), "hostnames": st.lists(NAMES, min_size=1, max_size=2)})),
    "terminationGracePeriodSeconds": st.integers(0, 9),
}  # fmt: skip


def live_pods() -> st.SearchStrategy[Obj]:
    container = st.fixed_dictionaries({"name": NAMES, "image": st.just("x:1")}, optional={
        key: value for key, value in CONTAINER.items() if key != "image"})  # fmt: skip
    volume = st.just([{"name": "v", "emptyDir": {}}])
    return st.fixed_dictionaries({"containers": listed("containers", container, 1), "volumes": volume}, optional=SPEC)


@st.composite
def directed(draw: st.DrawFn, items: st.SearchStrategy[list[Obj]], field: str) -> list[Obj]:
    """Items of a patch: some are to be deleted, sometimes all that is there is to be replaced."""
    key, found = MERGE_KEYS[field], draw(items)
    found = [{key: one[key], "$patch": "delete"} if draw(st.integers(0, 4)) == 0 else one for one in found]
    return [*found, {"$patch": "replace"}] if draw(st.integers(0, 7)) == 0 else found


def optional(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value | st.none() for key, value in fields.items()}


def pod_patches() -> st.SearchStrategy[Obj]:
    inner = {**CONTAINER, "env": directed(ENV, "env"), "ports": directed(PORTS, "ports")}
    container = st.fixed_dictionaries({"name": NAMES}, optional=optional(inner))
    maps = st.dictionaries(NAMES, VALUES | st.none(), max_size=2)
    replacing = maps.map(lambda one: {**one, "$patch": "replace"})
    fields = {
        **SPEC, "containers": directed(listed("containers", container), "containers"), "nodeSelector": maps | replacing,
        "hostAliases": directed(SPEC["hostAliases"], "hostAliases"),
    }  # fmt: skip
    return st.fixed_dictionaries({}, optional=optional(fields)).filter(lambda one: one.get("containers", 0) is not None)


@SIZES
def test_a_strategic_patch_of_a_pod_template_is_what_kubernetes_documents(wire: Wire, size: int) -> None:
    path, where = f"{APPS}/deployments", f"{APPS}/deployments/strategic"
    base = {"metadata": {"name": "strategic"}, "spec": {"selector": {"matchLabels": LABELS}, "template": {
        "metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "a", "image": "x:1"}]}}}}  # fmt: skip
    wire.ask("POST", path, base)

    def check(live: Obj, patch: Obj) -> None:
        draft: Obj = copy.deepcopy(base)
        draft["spec"]["template"]["spec"] = live
        stored = judged(wire.ask("PUT", where, draft))
        assert stored.code == 200, stored
        asked = {"spec": {"template": {"spec": patch}}}
        after = judged(wire.ask("PATCH", f"{where}?dryRun=All", asked, STRATEGIC))
        wanted = replaced(wire, where, patch_model.strategic(stored.body, asked))
        assert (after.code == 200) == (wanted.code == 200), (after, wanted)
        if after.code == 200:
            found, expected = content(after), content(wanted)
            assert by_key(found) == by_key(expected), (after, wanted)
            assert_order(found, stored.body, patch)

    explore(check, 70, size, live=live_pods(), patch=pod_patches())


def by_key(value: Any, field: str = "") -> Any:
    """Lists that merge as maps: their order is looked at apart."""
    if isinstance(value, dict):
        return {key: by_key(one, key) for key, one in value.items()}
    if isinstance(value, list):
        key = MERGE_KEYS.get(field)
        return {str(one[key]): by_key(one) for one in value} if key and all(key in one for one in value) else value
    return value


def assert_order(found: Obj, live: Obj, patch: Obj) -> None:
    """Items of the patch stand in its order, those that it does not name in the order in which they were."""
    after = [one["name"] for one in found["spec"]["template"]["spec"]["containers"]]
    before = [one["name"] for one in live["spec"]["template"]["spec"]["containers"]]
    named = [one["name"] for one in patch.get("containers") or () if "name" in one]
    assert [one for one in after if one in named] == [one for one in named if one in after]
    assert [one for one in after if one not in named] == [one for one in before if one in after and one not in named]


@SIZES
def test_an_element_order_of_a_strategic_patch_is_followed(wire: Wire, size: int) -> None:
    path, where = f"{APPS}/deployments", f"{APPS}/deployments/ordered"
    items = [{"name": name, "image": "x:1"} for name in "abcde"]
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": items}}
    spec = {"selector": {"matchLabels": LABELS}, "template": template}
    wire.ask("POST", path, {"metadata": {"name": "ordered"}, "spec": spec})

    def check(order: list[str], changed: list[str]) -> None:
        patched = [{"name": name, "image": "new:2"} for name in order if name in changed]
        inner = {"$setElementOrder/containers": [{"name": name} for name in order], "containers": patched}
        body = {"spec": {"template": {"spec": inner}}}
        after = judged(wire.ask("PATCH", f"{where}?dryRun=All", body, STRATEGIC))
        assert after.code == 200, after
        found = [one["name"] for one in after.body["spec"]["template"]["spec"]["containers"]]
        there = [name for name in order if name in "abcde" or name in changed]
        assert [name for name in found if name in order] == there
        assert [name for name in found if name not in order] == [name for name in "abcde" if name not in order]

    names = st.lists(st.sampled_from("abcdef"), unique=True, max_size=6)
    explore(check, 40, size, order=names, changed=names)


@SIZES
def test_finalizers_merge_as_a_list_of_words(wire: Wire, size: int) -> None:
    path, where = f"{APPS}/deployments", f"{APPS}/deployments/held"
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "a", "image": "x:1"}]}}
    base = {"metadata": {"name": "held"}, "spec": {"selector": {"matchLabels": LABELS}, "template": template}}
    wire.ask("POST", path, base)
    words = st.lists(st.sampled_from(["x.io/a", "x.io/b", "x.io/c"]), unique=True)

    def check(live: list[str], gone: list[str], more: list[str]) -> None:
        more = [one for one in more if one not in gone]
        judged(wire.ask("PATCH", where, {"metadata": {"finalizers": live}}, MERGE))
        patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": gone, "finalizers": more}}
        after = judged(wire.ask("PATCH", f"{where}?dryRun=All", patch, STRATEGIC))
        wanted = patch_model.strategic({"finalizers": live}, patch["metadata"])["finalizers"]
        assert sorted(after.body["metadata"].get("finalizers", [])) == sorted(wanted), after

    explore(check, 30, size, live=words, gone=words, more=words)
