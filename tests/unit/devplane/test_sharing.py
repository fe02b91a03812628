"""Parts that stored objects have in common, the order of lists, and what a client copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from devplane.machinery.client import Client
from devplane.machinery.verbs import Api
from devplane.resources.builtin import builtin_resources
from devplane.resources.registry import Registry
from devplane.storage.store import Change, Store

Obj = dict[str, Any]


def pod(name: str, phase: str = "Pending", namespace: str = "default") -> Obj:
    fields = {"f:spec": {"f:containers": {'k:{"name":"c"}': {".": {}, "f:image": {}}}}}
    owned = [{"manager": "tests", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields}]
    metadata = {"name": name, "namespace": namespace, "labels": {"app": "a"}, "managedFields": owned}
    spec = {"containers": [{"name": "c"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": phase}}


def controlled(obj: Obj, owner: str) -> Obj:
    others = {"apiVersion": "v1", "kind": "Node", "name": "other", "uid": "0"}
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": owner, "uid": "1", "controller": True}
    return {**obj, "metadata": {**obj["metadata"], "ownerReferences": [others, reference]}}


def names(store: Store, owner: str) -> list[str]:
    return [one["metadata"]["name"] for one in store.controlled("pods", "default", "Job", owner)]


def owned_fields(obj: Obj | None) -> Obj:
    assert obj is not None
    found: Obj = obj["metadata"]["managedFields"][0]["fieldsV1"]
    return found


def test_versions_of_an_object_have_their_equal_parts_in_common_and_nothing_else() -> None:
    store = Store()
    changes: list[Change] = []
    store.subscribe("pods", changes.append)
    store.put("pods", pod("a"))
    store.put("pods", pod("a", "Running"))
    before, after = changes[1].previous, changes[1].object
    assert before is not None
    assert after["spec"] is before["spec"]
    assert after["metadata"]["labels"] is before["metadata"]["labels"]
    assert (before["status"], after["status"]) == ({"phase": "Pending"}, {"phase": "Running"})
    assert (before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"]) == ("101", "102")


def test_objects_that_are_owned_alike_keep_one_set_of_fields_after_a_start_too(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.sqlite")
    for name in ("a", "b"):
        store.put("pods", pod(name))
    assert owned_fields(store.get("pods", "default", "a")) is owned_fields(store.get("pods", "default", "b"))
    kept = store.items("pods")
    store.close()
    again = Store(tmp_path / "state.sqlite")
    assert again.items("pods") == kept
    assert owned_fields(again.get("pods", "default", "a")) is owned_fields(again.get("pods", "default", "b"))


def test_items_are_in_the_order_of_namespace_and_name() -> None:
    store = Store()
    for namespace, name in (("b", "x"), ("a", "z"), ("b", "a"), ("a", "b")):
        store.put("pods", pod(name, namespace=namespace))
    names = [(one["metadata"]["namespace"], one["metadata"]["name"]) for one in store.items("pods")]
    assert names == [("a", "b"), ("a", "z"), ("b", "a"), ("b", "x")]
    assert [one["metadata"]["name"] for one in store.items("pods", "b")] == ["a", "x"]
    assert store.items("pods", "c") == []
    store.remove("pods", "a", "b")
    store.remove("pods", "a", "z")
    assert (store.items("pods", "a"), store.count("pods")) == ([], 2)


def test_what_nobody_controls_is_found_among_what_is_owned(tmp_path: Path) -> None:
    def loose(store: Store) -> list[str]:
        return [one["metadata"]["name"] for one in store.uncontrolled("pods", "default")]

    store = Store(tmp_path / "state.sqlite")
    for name in ("c", "a", "b"):
        store.put("pods", pod(name))
    store.put("pods", pod("elsewhere", namespace="other"))
    store.put("pods", controlled(pod("b"), "one"))
    assert loose(store) == ["a", "c"]
    store.put("pods", pod("b"))
    store.remove("pods", "default", "a")
    assert loose(store) == ["b", "c"]
    store.close()
    assert loose(Store(tmp_path / "state.sqlite")) == ["b", "c"]


def test_what_an_owner_controls_is_found_by_its_kind_and_name(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.sqlite")
    for name, owner in (("a", "one"), ("c", "two"), ("b", "one")):
        store.put("pods", controlled(pod(name), owner))
    store.put("pods", pod("loose"))
    assert names(store, "one") == ["a", "b"]
    store.put("pods", controlled(pod("a", "Running"), "two"))
    store.put("pods", pod("b"))
    assert (names(store, "one"), names(store, "two")) == ([], ["a", "c"])
    store.remove("pods", "default", "a")
    store.close()
    assert names(Store(tmp_path / "state.sqlite"), "two") == ["c"]


def test_client_copies_what_it_is_asked_for_and_no_other_object() -> None:
    store = Store()
    for name in ("a", "b"):
        store.put("pods", pod(name))
    shown: list[Obj] = []

    def is_b(one: Obj) -> bool:
        shown.append(one)
        return bool(one["metadata"]["name"] == "b")

    (found,) = Client(Api(store, Registry(builtin_resources()))).list("pods", "default", where=is_b)
    assert [one is store.get("pods", "default", one["metadata"]["name"]) for one in shown] == [True, True]
    assert found == store.get("pods", "default", "b")
    assert found is not store.get("pods", "default", "b")
