"""Server-side apply against a plain model of it: who owns what, who is in whose way, and what goes."""

from __future__ import annotations

import copy
import re
from typing import Any

from hypothesis import strategies as st

from apiserver.fuzz.budget import SIZES, explore
from apiserver.fuzz.ownership_model import ITEM, Leaves, Model, Path, Who, leaves, owned
from apiserver.fuzz.verdict import judged
from apiserver.fuzz.wire import APPLY, JSON_PATCH, Answer, Wire
from apiserver.fuzz.worlds import DEFINITIONS, GROUP, definition

Obj = dict[str, Any]

SHAPE: Obj = {
    "type": "object",
    "properties": {
        "size": {"type": "integer"},
        "mode": {"type": "string"},
        "text": {"type": "string"},
        "inner": {"type": "object", "properties": {"x": {"type": "string"}, "y": {"type": "string"}}},
        "words": {"type": "object", "additionalProperties": {"type": "string"}},
        "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
        "args": {"type": "array", "x-kubernetes-list-type": "atomic", "items": {"type": "string"}},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "items": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"],
                      "properties": {"name": {"type": "string"}, "a": {"type": "string"}, "b": {"type": "string"}}},
        },
    },
}  # fmt: skip
LETTERS = st.sampled_from(["a", "b", "c"])
NUMBERS = st.sampled_from(["1", "2"])
ENTRIES = st.dictionaries(LETTERS, NUMBERS, min_size=1, max_size=3)
ITEMS = st.lists(
    st.fixed_dictionaries({"name": LETTERS}, optional={"a": NUMBERS, "b": NUMBERS}), min_size=1, max_size=3,
    unique_by=lambda one: one["name"],
)  # fmt: skip
SPECS = st.fixed_dictionaries({}, optional={
    "size": st.integers(1, 2), "text": NUMBERS, "words": ENTRIES, "whole": ENTRIES, "items": ITEMS,
    "inner": st.fixed_dictionaries({}, optional={"x": NUMBERS, "y": NUMBERS}).filter(bool),
    "args": st.lists(NUMBERS, min_size=1, max_size=2), "tags": st.lists(LETTERS, min_size=1, unique=True),
}).filter(bool)  # fmt: skip
STEPS = st.lists(
    st.tuples(st.sampled_from(["apply", "apply", "apply", "force", "update"]), st.sampled_from(["ann", "bob",
    "cat"]), SPECS),
    min_size=2, max_size=8,
)  # fmt: skip
PATH = f"/apis/{GROUP}/v1/namespaces/default/shares"


def applied(wire: Wire, name: str, manager: str, spec: Obj, *, force: bool) -> Answer:
    body = {"apiVersion": f"{GROUP}/v1", "kind": "Share", "metadata": {"name": name}, "spec": spec}
    return judged(wire.ask("PATCH", f"{PATH}/{name}", body, APPLY, fieldManager=manager, force=str(force).lower()))


def found_owners(obj: Obj) -> dict[Who, set[Path]]:
    entries = [
        (Who(one["manager"], one["operation"]), one["fieldsV1"].get("f:spec", {}))
        for one in obj["metadata"]["managedFields"]
    ]
    return {who: paths for who, fields in entries if (paths := owned(fields))}


def told(answer: Answer) -> set[tuple[str, str]]:
    causes = answer.body["details"]["causes"]
    assert {one["reason"] for one in causes} == {"FieldManagerConflict"}
    return {(re.findall('conflict with "([^"]*)"', one["message"])[0], one["field"]) for one in causes}


def shown(path: Path) -> str:
    """A path as a conflict names it: ``.spec.items[name="a"].b``, ``.spec.tags[="a"]``."""
    text = ".spec"
    for step in path:
        kind, value = step[:2], step[2:]
        key = re.sub(r'^\{"name":(.*)\}$', r"name=\1", value)
        text += f".{value}" if kind == "f:" else f"[{key}]" if kind == "k:" else f"[={value}]"
    return text


class Story:
    """One object, told to the server and to the model."""

    def __init__(self, wire: Wire, name: str) -> None:
        self.wire, self.name, self.model = wire, name, Model()
        judged(wire.ask("DELETE", f"{PATH}/{name}"))
        self.stored = judged(wire.ask("POST", PATH, {"metadata": {"name": name}}, fieldManager="maker")).body

    def step(self, how: str, manager: str, spec: Obj) -> None:
        if how == "update":
            self.update(manager, spec)
        else:
            self.apply(manager, spec, force=how == "force")
        self.compare()

    def apply(self, manager: str, spec: Obj, *, force: bool) -> None:
        config = leaves(spec)
        conflicts = {(who, shown(path)) for who, path in self.model.conflicts(manager, config)}
        answer = applied(self.wire, self.name, manager, spec, force=force)
        if conflicts and not force:
            assert (answer.code, answer.body.get("reason")) == (409, "Conflict"), (conflicts, answer)
            assert told(answer) == conflicts, answer
            return
        assert answer.code == 200, (conflicts, answer)
        self.model.apply(manager, config)
        again = applied(self.wire, self.name, manager, spec, force=False)
        assert again.body["metadata"]["resourceVersion"] == answer.body["metadata"]["resourceVersion"], again

    def update(self, manager: str, spec: Obj) -> None:
        where, patch = f"{PATH}/{self.name}", [{"op": "add", "path": "/spec", "value": spec}]
        answer = judged(self.wire.ask("PATCH", where, patch, JSON_PATCH, fieldManager=manager))
        assert answer.code == 200, answer
        self.model.update(manager, leaves(spec))

    def compare(self) -> None:
        obj = judged(self.wire.ask("GET", f"{PATH}/{self.name}")).body
        assert real(leaves(obj.get("spec") or {})) == real(self.model.live), (obj, self.model)
        owners = {who: self.leaves_of(who, paths) for who, paths in found_owners(obj).items() if who.name != "maker"}
        owners = {who: paths for who, paths in owners.items() if paths}
        assert owners == self.model.owners, obj["metadata"]["managedFields"]
        written = [one for one in obj["metadata"]["managedFields"] if one["operation"] == "Update"]
        assert all(one["time"] for one in written)  # an apply that changes nothing but who owns it has none

    def leaves_of(self, who: Who, paths: set[Path]) -> set[Path]:
        """Whoever made a map or a list by an update owns that too, and still when all that was in it is gone."""
        return {path for path in paths if who.operation == "Apply" or path not in CONTAINERS}


CONTAINERS = {("f:words",), ("f:inner",), ("f:tags",), ("f:items",)}


def real(found: Leaves) -> Leaves:
    """Values alone: a container of which nothing is left may stay, empty."""
    return {
        path: value for path, value in found.items() if value not in ("{}", "[]", "null") and value is not ITEM and path
    }


@SIZES
def test_applies_and_updates_own_what_kubernetes_documents(wire: Wire, size: int) -> None:
    made = wire.ask("POST", DEFINITIONS, definition("shares", "Share", copy.deepcopy(SHAPE)))
    assert made.code in (201, 409), made

    def check(steps: list[tuple[str, str, Obj]]) -> None:
        story = Story(wire, "told")
        for step in steps:
            story.step(*step)

    explore(check, 25, size, steps=STEPS)
