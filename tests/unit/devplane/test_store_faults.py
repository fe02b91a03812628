"""The store when its disk is full, and as it was at an earlier revision."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from devplane.errors import ApiError
from devplane.storage.store import Store

Obj = dict[str, Any]


def config_map(name: str, **data: str) -> Obj:
    return {"metadata": {"name": name, "namespace": "default"}, "data": data}


def held(store: Store) -> dict[str, Obj]:
    return {obj["metadata"]["name"]: obj["data"] for obj in store.items("configmaps")}


def fill(path: Path, store: Store) -> None:
    """No page more than there are, as on a full disk."""
    database: sqlite3.Connection = store._database
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count={pages}")


def test_write_on_a_full_disk_is_refused_in_the_words_of_etcd_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    store = Store(path)
    store.put("configmaps", config_map("one", a="1"))
    fill(path, store)
    with pytest.raises(ApiError, match="etcdserver: mvcc: database space exceeded") as refused:
        store.put("configmaps", config_map("two", a="x" * 100_000))
    assert refused.value.code == 500
    assert held(store) == {"one": {"a": "1"}}
    store.remove("configmaps", "default", "one")
    store.close()
    assert held(Store(path)) == {}


def test_past_is_as_it_was_and_the_present_stays() -> None:
    store = Store()
    store.put("configmaps", config_map("changed", a="1"))
    store.put("configmaps", config_map("deleted", a="1"))
    then = store.revision
    store.put("configmaps", config_map("changed", a="2"))
    store.put("configmaps", config_map("changed", a="3"))
    store.remove("configmaps", "default", "deleted")
    store.put("configmaps", config_map("new", a="1"))
    past = store.as_of(then, "configmaps")
    assert held(past) == {"changed": {"a": "1"}, "deleted": {"a": "1"}}
    assert past.revision == then
    assert held(store) == {"changed": {"a": "3"}, "new": {"a": "1"}}


def test_past_goes_back_as_far_as_changes_are_known() -> None:
    store = Store(ring_size=2)
    for value in "12345":
        store.put("configmaps", config_map("one", a=value))
    past = store.as_of(0, "configmaps")
    assert held(past) == {"one": {"a": "3"}}
    assert past.revision == store.revision - 2
