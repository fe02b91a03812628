"""What the server fills in of a CustomResourceDefinition. Pure."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]


def complete_definition(crd: Obj, old: Obj | None) -> None:
    """What the server fills in: names, conversion, and on create an empty status."""
    names = crd["spec"].get("names") or {}
    if kind := names.get("kind"):
        names.setdefault("singular", kind.lower())
        names.setdefault("listKind", f"{kind}List")
    for version in crd["spec"].get("versions") or ():
        version.setdefault("served", False)
        version.setdefault("storage", False)
    crd["spec"].setdefault("conversion", {"strategy": "None"})
    stored = [one["name"] for one in crd["spec"].get("versions") or () if one.get("storage")][:1]
    if old is None:
        crd["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored}
    elif stored and "storedVersions" in (crd.get("status") or {}):
        kept = crd["status"]["storedVersions"]
        crd["status"]["storedVersions"] = [*kept, *(one for one in stored if one not in kept)]
