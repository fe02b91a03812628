"""What the server fills in and checks of a CustomResourceDefinition beyond its schemas. Pure."""

from __future__ import annotations

from typing import Any

from devplane.errors import Cause

Obj = dict[str, Any]


def complete_definition(crd: Obj, old: Obj | None) -> None:
    """What the server fills in: names, conversion, and on create an empty status."""
    names = crd["spec"].get("names") or {}
    if kind := names.get("kind"):
        names.setdefault("singular", kind.lower())
        names.setdefault("listKind", f"{kind}List")
    crd["spec"].setdefault("conversion", {"strategy": "None"})
    if old is None:
        stored = [one["name"] for one in crd["spec"].get("versions") or () if one.get("storage")]
        crd["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored}


def definition_errors(crd: Obj, old: Obj | None) -> list[Cause]:
    """What is wrong with a CRD beyond its schemas."""
    spec = crd["spec"]
    found = []
    wanted = f"{spec.get('names', {}).get('plural')}.{spec.get('group')}"
    name = crd["metadata"]["name"]
    if name != wanted:
        found.append(Cause.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    if sum(1 for version in spec.get("versions") or () if version.get("storage")) != 1:
        text = "must have exactly one version marked as storage version"
        found.append(Cause.invalid("spec.versions", len(spec.get("versions") or ()), text))
    if spec.get("conversion", {}).get("strategy", "None") != "None":
        text = "devplane converts between versions with strategy None only; remove spec.conversion"
        found.append(Cause.invalid("spec.conversion.strategy", spec["conversion"]["strategy"], text))
    if old is not None:
        found += _immutable_errors(spec, old["spec"])
    return found


def _immutable_errors(new: Obj, old: Obj) -> list[Cause]:
    found = [Cause.invalid(f"spec.{key}", new.get(key), "field is immutable") for key in ("group", "scope")
             if new.get(key) != old.get(key)]  # fmt: skip
    found += [Cause.invalid(f"spec.names.{key}", new["names"].get(key), "field is immutable")
              for key in ("kind", "plural") if new["names"].get(key) != old["names"].get(key)]  # fmt: skip
    return found
