"""Every verb in any order against a dict: finalizers, preconditions, stale versions, dry runs, lists, and a watch."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from apiserver.fuzz.budget import SIZES, sized
from apiserver.fuzz.verdict import judged
from apiserver.fuzz.wire import MERGE, Answer, Wire

Obj = dict[str, Any]

NAMES = st.sampled_from(["a", "b", "c"])
WORDS = st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from(["1", "2"]), max_size=2)
HOLDS = st.lists(st.sampled_from(["x.io/a", "x.io/b"]), unique=True, max_size=2)
VERSIONS = st.sampled_from(["current", "stale", "none"])
END = "the-end"


class Verbs(RuleBasedStateMachine):
    """`kept` is what should be stored, by name; `told` what a watch from the beginning should tell."""

    wire: Wire
    make_namespace: Callable[[], str]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, Obj] = {}
        self.told: list[tuple[str, str, str]] = []
        self.last = 0

    @initialize()
    def begin(self) -> None:
        self.path = f"/api/v1/namespaces/{self.make_namespace()}/configmaps"
        self.start = self.listed().body["metadata"]["resourceVersion"]
        self.last = int(self.start)

    def listed(self, **query: Any) -> Answer:
        return judged(self.wire.ask("GET", self.path, **query))

    def ask(self, method: str, name: str, body: Any = None, kind: str = "application/json", **query: Any) -> Answer:
        return judged(self.wire.ask(method, f"{self.path}/{name}" if name else self.path, body, kind, **query))

    def version(self, name: str, which: str) -> str:
        now = self.kept.get(name, {}).get("version", "1")
        return {"current": now, "stale": str(int(now) - 1), "none": ""}[which]

    def stored(self, kind: str, name: str, answer: Answer) -> None:
        """The answer is the new state of an object: it is newer than all before, and told to watchers."""
        metadata = answer.body["metadata"]
        version = metadata["resourceVersion"]
        if self.kept.get(name, {}).get("version") == version:
            return
        assert int(version) > self.last, answer
        self.last = int(version)
        self.kept[name] = {
            "uid": metadata["uid"],
            "version": version,
            "data": answer.body.get("data", {}),
            "holds": metadata.get("finalizers", []),
            "going": "deletionTimestamp" in metadata,
        }
        self.told.append((kind, name, version))

    def gone(self, name: str) -> None:
        """Its last event has a version of its own, which the answer need not say."""
        del self.kept[name]
        self.told.append(("DELETED", name, ""))

    @rule(name=NAMES, data=WORDS, holds=HOLDS)
    def create(self, name: str, data: dict[str, str], holds: list[str]) -> None:
        answer = self.ask("POST", "", {"metadata": {"name": name, "finalizers": holds}, "data": data})
        if name in self.kept:
            assert (answer.code, answer.body["reason"]) == (409, "AlreadyExists"), answer
            return
        assert answer.code == 201, answer
        assert answer.body.get("data", {}) == data
        self.stored("ADDED", name, answer)

    @rule(name=NAMES, data=WORDS, holds=HOLDS, which=VERSIONS, right_uid=st.booleans())
    def update(self, name: str, data: dict[str, str], holds: list[str], which: str, right_uid: bool) -> None:
        known = self.kept.get(name)
        uid = known["uid"] if known and right_uid else "" if right_uid else "another"
        metadata = {"name": name, "finalizers": holds, "resourceVersion": self.version(name, which), "uid": uid}
        answer = self.ask("PUT", name, {"metadata": metadata, "data": data})
        if known is None:
            assert answer.code == 404, answer
        elif which == "stale" or not right_uid:
            assert (answer.code, answer.body["reason"]) == (409, "Conflict"), answer
        else:
            self.changed(name, answer, data, holds)

    @rule(name=NAMES, data=WORDS, holds=HOLDS, which=VERSIONS)
    def patch(self, name: str, data: dict[str, str], holds: list[str], which: str) -> None:
        known = self.kept.get(name)
        metadata: Obj = {"finalizers": holds or None}
        if which != "none":
            metadata["resourceVersion"] = self.version(name, which)
        whole = {"x": None, "y": None, **data}
        answer = self.ask("PATCH", name, {"metadata": metadata, "data": whole}, MERGE)
        if known is None:
            assert answer.code == 404, answer
        elif which == "stale":
            assert (answer.code, answer.body["reason"]) == (409, "Conflict"), answer
        else:
            self.changed(name, answer, data, holds)

    def changed(self, name: str, answer: Answer, data: dict[str, str], holds: list[str]) -> None:
        """The answer to a change that nothing speaks against."""
        known = self.kept[name]
        if known["going"] and set(holds) - set(known["holds"]):
            assert answer.code in (403, 422), answer  # what is being deleted gets no new finalizers
            return
        assert answer.code == 200, answer
        assert answer.body.get("data", {}) == data
        assert answer.body["metadata"]["uid"] == known["uid"]
        if known["going"] and not holds:
            self.gone(name)
            return
        is_same = known["data"] == data and known["holds"] == holds
        assert (answer.body["metadata"]["resourceVersion"] == known["version"]) == is_same, answer
        self.stored("MODIFIED", name, answer)

    @rule(name=NAMES, which=VERSIONS, right_uid=st.booleans())
    def delete(self, name: str, which: str, right_uid: bool) -> None:
        known = self.kept.get(name)
        uid = known["uid"] if known and right_uid else "another"
        preconditions = {"resourceVersion": self.version(name, which)} if which != "none" else {}
        if known is None or not right_uid or which == "current":
            preconditions["uid"] = uid
        answer = self.ask("DELETE", name, {"preconditions": preconditions})
        if known is None:
            assert answer.code == 404, answer
        elif which == "stale" or preconditions.get("uid") == "another":
            assert (answer.code, answer.body["reason"]) == (409, "Conflict"), answer
        else:
            assert answer.code == 200, answer
            if known["holds"]:
                assert answer.body["metadata"]["deletionTimestamp"]
                self.stored("MODIFIED", name, answer)
            else:
                self.gone(name)

    @rule(selected=st.sampled_from(["", "metadata.name=a", "metadata.name!=a"]))
    def delete_collection(self, selected: str) -> None:
        chosen = [name for name in sorted(self.kept) if selected == "" or (name == "a") == ("!=" not in selected)]
        answer = self.ask("DELETE", "", fieldSelector=selected)
        assert answer.code == 200, answer
        for name in chosen:
            if not self.kept[name]["holds"]:
                self.gone(name)
            elif not self.kept[name]["going"]:
                self.stored("MODIFIED", name, self.ask("GET", name))

    @rule(name=NAMES, data=WORDS)
    def dry_run(self, name: str, data: dict[str, str]) -> None:
        body = {"metadata": {"name": name}, "data": data}
        for method, where in (("POST", ""), ("PUT", name), ("DELETE", name)):
            answer = self.ask(method, where, body if method != "DELETE" else None, dryRun="All")
            assert answer.code in (200, 201, 404, 409), answer

    @invariant()
    def what_is_read_is_what_was_written(self) -> None:
        answer = self.listed()
        found = {one["metadata"]["name"]: one for one in answer.body["items"]}
        assert list(found) == sorted(self.kept)
        for name, known in self.kept.items():
            metadata = found[name]["metadata"]
            assert (metadata["uid"], metadata["resourceVersion"]) == (known["uid"], known["version"])
            assert (found[name].get("data", {}), metadata.get("finalizers", [])) == (known["data"], known["holds"])
            assert ("deletionTimestamp" in metadata) == known["going"]
        version = int(answer.body["metadata"]["resourceVersion"])
        assert version >= self.last
        self.last = version

    @rule(limit=st.integers(1, 2))
    def read_in_pages(self, limit: int) -> None:
        names, token = [], ""
        for _ in itertools.count():
            page = self.listed(limit=limit, **({"continue_": token} if token else {})).body
            names += [one["metadata"]["name"] for one in page["items"]]
            token = page["metadata"].get("continue", "")
            if not token:
                break
        assert names == sorted(self.kept)

    def teardown(self) -> None:
        if not hasattr(self, "start"):
            return
        judged(self.wire.ask("POST", self.path, {"metadata": {"name": END}}))
        seen, versions = [], [int(self.start)]
        with self.wire.watch(self.path, resourceVersion=self.start) as events:
            for event in events:
                metadata = event["object"]["metadata"]
                versions.append(int(metadata["resourceVersion"]))
                if metadata["name"] == END:
                    break
                is_gone = event["type"] == "DELETED"
                seen.append((event["type"], metadata["name"], "" if is_gone else metadata["resourceVersion"]))
        assert seen == self.told
        assert versions == sorted(set(versions))


@SIZES
def test_verbs_do_what_a_dict_does(wire: Wire, namespaces: Callable[[], str], size: int) -> None:
    machine = type("Machine", (Verbs,), {"wire": wire, "make_namespace": staticmethod(namespaces)})
    run_state_machine_as_test(machine, settings=sized(12, size, stateful_step_count=20))


@pytest.mark.parametrize("version", ["1", "99"])
def test_a_watch_from_long_ago_begins_with_410(wire: Wire, version: str) -> None:
    """The server began at 100; what was before is not known."""
    with wire.watch("/api/v1/configmaps", resourceVersion=version) as events:
        event = next(events)
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
