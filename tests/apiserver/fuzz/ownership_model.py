"""Server-side apply as Kubernetes documents it, on values at paths. Written plainly, from the documents alone.

https://kubernetes.io/docs/reference/using-api/server-side-apply/ : leaves at paths, each owned by managers.

- Applying makes the manager the owner of every field of its configuration, and of no other.
- A field that it owned, that is not in its configuration any more and that nobody else owns, is removed.
- A field whose value it changes and that another manager owns is a conflict: refused, unless it is forced; then the
  others lose it. The same value makes it shared.
- Any other write makes its manager an owner of what it changed, and takes these fields from all others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

Obj = dict[str, Any]
Path = tuple[str, ...]
Leaves = dict[Path, Any]

KEYED, SETS, ATOMIC = ("items",), ("tags",), ("whole", "args")
ITEM = object()
"""The value of an item itself, of a list that is a map: it is owned beside its fields."""


def leaves(value: Any, path: Path = (), name: str = "") -> Leaves:
    """A configuration as leaves at paths; steps are written as in managedFields."""
    if name in KEYED and value:
        found: Leaves = {}
        for item in value:
            here = (*path, f"k:{json.dumps({'name': item['name']}, separators=(',', ':'))}")
            found |= {here: ITEM} | leaves(item, here)
        return found
    if name in SETS and value:
        return {(*path, f"v:{json.dumps(one)}"): one for one in value}
    if isinstance(value, dict) and value and name not in ATOMIC:
        found = {}
        for key, one in value.items():
            found |= leaves(one, (*path, f"f:{key}"), key)
        return found
    return {path: json.dumps(value, sort_keys=True)}


def owned(fields: Obj, path: Path = ()) -> set[Path]:
    """The paths of a `fieldsV1` that are leaves, or items themselves."""
    found: set[Path] = set()
    for key, below in fields.items():
        if key == ".":
            continue
        inner = owned(below, (*path, key))
        if not inner or (key.startswith("k:") and "." in below):
            found.add((*path, key))
        found |= inner
    return found


@dataclass(frozen=True)
class Who:
    """A manager as conflicts name it."""

    name: str
    operation: str


@dataclass
class Model:
    """The leaves of `spec`, and who owns which."""

    live: Leaves = field(default_factory=dict)
    owners: dict[Who, set[Path]] = field(default_factory=dict)

    def conflicts(self, manager: str, config: Leaves) -> set[tuple[str, Path]]:
        """Who owns what applying `config` would change."""
        me = Who(manager, "Apply")
        changed = {path for path, value in config.items() if path not in self.live or self.live[path] != value}
        return {(who.name, path) for who, paths in self.owners.items() if who != me for path in paths & changed}

    def apply(self, manager: str, config: Leaves) -> None:
        """With force where it conflicts."""
        me = Who(manager, "Apply")
        for name, path in self.conflicts(manager, config):
            for who in [who for who in self.owners if who.name == name and who != me]:
                self.owners[who].discard(path)
        before = self.owners.get(me, set())
        self.owners[me] = set(config)
        self.live |= config
        for path in before - set(config):
            if not any(path in paths for paths in self.owners.values()):
                self._drop(path)
        self._forget_gone()

    def _drop(self, path: Path) -> None:
        """An item that nobody owns goes with all that is in it (structured-merge-diff v6, typed/remove.go)."""
        for one in [one for one in self.live if one[: len(path)] == path]:
            del self.live[one]

    def update(self, manager: str, after: Leaves) -> None:
        """A write that is no apply, after which these leaves are there."""
        changed = {path for path, value in after.items() if path not in self.live or self.live[path] != value}
        for paths in self.owners.values():
            paths -= changed
        self.live = dict(after)
        if changed:
            self.owners.setdefault(Who(manager, "Update"), set()).update(changed)
        self._forget_gone()

    def _forget_gone(self) -> None:
        for paths in self.owners.values():
            paths &= set(self.live)
        self.owners = {who: paths for who, paths in self.owners.items() if paths}
