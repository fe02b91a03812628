"""Equal parts of stored objects are kept once: those of an object's versions, and sets of owned fields."""

from __future__ import annotations

from typing import Any

import orjson

Obj = dict[str, Any]

MOST_SETS = 2_000


class Sharing:
    """Objects in the store are never changed in place, so they may have parts in common."""

    def __init__(self) -> None:
        self._sets: dict[bytes, Obj] = {}

    def settle(self, obj: Obj, previous: Obj | None) -> None:
        """Replace parts of `obj`, which is to be stored over `previous`, with equal ones that are kept already."""
        if previous is not None:
            _adopt(obj, previous)
            _adopt(obj["metadata"], previous["metadata"])
        entries = obj["metadata"].get("managedFields")
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and isinstance(fields := entry.get("fieldsV1"), dict):
                entry["fieldsV1"] = self._kept(fields)

    def _kept(self, fields: Obj) -> Obj:
        """Objects made from one template are owned alike, and owned fields take half of an object's memory."""
        if len(self._sets) >= MOST_SETS:
            self._sets.clear()
        return self._sets.setdefault(orjson.dumps(fields), fields)


def _adopt(new: Obj, old: Obj) -> None:
    """Parts are equal when their bytes are: to Python alone, true is 1."""
    for key, value in new.items():
        if isinstance(value, dict | list) and old.get(key) == value and orjson.dumps(old[key]) == orjson.dumps(value):
            new[key] = old[key]
