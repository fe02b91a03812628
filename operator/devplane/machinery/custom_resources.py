"""CustomResourceDefinitions: names accepted and served at once, several versions, removal with their instances."""

from __future__ import annotations

from typing import Any

from devplane.machinery.deletion import release_definition
from devplane.machinery.targets import CRDS, Write
from devplane.machinery.verbs import Api
from devplane.resources.registry import Resource, Subresource
from devplane.storage.store import copied

Obj = dict[str, Any]

_EDIT = ("get", "patch", "update")
_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")


class Definitions:
    """Keeps the registry in step with the stored CRDs and writes their status."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._busy = False
        for crd in api.store.items(CRDS):
            self._serve(crd)
        api.written.append(self._written)
        api.removed.append(self._removed)

    def _written(self, resource: Resource, crd: Obj) -> None:
        if resource.key != CRDS or self._busy:
            return
        self._busy = True
        try:
            self._accept(resource, crd)
        finally:
            self._busy = False

    def _accept(self, resource: Resource, crd: Obj) -> None:
        """Write the status that follows from the spec, in two steps as a server does, then serve it."""
        status = accepted_status(crd, self._taken(crd), self._api.now())
        if status != crd.get("status"):
            old, crd = crd, copied(crd)
            crd["status"] = status
            how = Write("kube-apiserver", subresource="status")
            self._api.track(old, crd, self._api.schemas.of(resource), how)
            crd = self._api.commit(resource, crd)
        self._serve(crd)

    def _taken(self, crd: Obj) -> set[str]:
        """Names of resources and kinds that other definitions of the group have."""
        found: set[str] = set()
        for other in self._api.registry.all():
            if other.group == crd["spec"]["group"] and other.crd != crd["metadata"]["name"]:
                found |= {other.plural, other.singular, *other.short_names, other.kind, other.list_of}
        return found

    def _serve(self, crd: Obj) -> None:
        is_accepted = any(
            one["type"] == "Established" and one["status"] == "True"
            for one in crd.get("status", {}).get("conditions") or ()
        )
        self._api.registry.replace_crd(crd["metadata"]["name"], resources_of(crd) if is_accepted else ())

    def _removed(self, resource: Resource, last: Obj) -> None:
        if resource.key == CRDS:
            self._api.registry.replace_crd(last["metadata"]["name"], ())
        elif resource.crd:
            release_definition(self._api, resource.crd)


def resources_of(crd: Obj) -> list[Resource]:
    """The served versions as resources, the storage version first."""
    versions = [version for version in crd["spec"]["versions"] if version.get("served")]
    versions.sort(key=lambda version: (not version.get("storage"), crd["spec"]["versions"].index(version)))
    return [_resource(crd, version) for version in versions]


def _resource(crd: Obj, version: Obj) -> Resource:
    spec = crd["spec"]
    names = spec["names"]
    return Resource(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        singular=names.get("singular") or names["kind"].lower(),
        kind=names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        verbs=_VERBS,
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=_subresources(version, names["kind"]),
        list_kind=names.get("listKind", ""),
        crd=crd["metadata"]["name"],
        warnings=(_deprecation(spec["group"], names["kind"], version),) if version.get("deprecated") else (),
    )


def _deprecation(group: str, kind: str, version: Obj) -> str:
    return str(version.get("deprecationWarning") or f"{group}/{version['name']} {kind} is deprecated")


def _subresources(version: Obj, kind: str) -> tuple[Subresource, ...]:
    declared = version.get("subresources") or {}
    found = []
    if "status" in declared:
        found.append(Subresource("status", kind, _EDIT))
    if "scale" in declared:
        found.append(Subresource("scale", "Scale", _EDIT, "autoscaling", "v1"))
    return tuple(found)


def accepted_status(crd: Obj, taken: set[str], now: str) -> Obj:
    """`status` with the names that can be had; NamesAccepted tells of the last that can't."""
    status = crd.get("status") or {}
    accepted, conflict = _accepted_names(crd["spec"]["names"], status.get("acceptedNames") or {}, taken)
    held = list(status.get("conditions") or ())
    is_served = any(one["type"] == "Established" and one["status"] == "True" for one in held)
    names = ("NamesAccepted", "False", *conflict) if conflict else _NAMES_ACCEPTED
    wanted = [names, ("Established", "False", "NotAccepted", "not all names are accepted")
              if conflict and not is_served else _ESTABLISHED]  # fmt: skip
    if crd["metadata"].get("deletionTimestamp"):
        text = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
        wanted.append(("Terminating", "True", "InstanceDeletionPending", text))
    conditions = [_condition(held, *one, now) for one in wanted]
    storage = next(version["name"] for version in crd["spec"]["versions"] if version.get("storage"))
    stored = list(status.get("storedVersions") or ())
    if storage not in stored:
        stored.append(storage)
    return {"conditions": conditions, "acceptedNames": accepted, "storedVersions": stored}


_NAMES_ACCEPTED = ("NamesAccepted", "True", "NoConflicts", "no conflicts found")
_ESTABLISHED = ("Established", "True", "InitialNamesAccepted", "the initial names have been accepted")


def _accepted_names(wanted: Obj, had: Obj, taken: set[str]) -> tuple[Obj, tuple[str, str] | None]:
    """The names that are free, beside those had before; and (reason, message) of a conflict."""
    accepted, conflict = dict(had), None
    for key in ("plural", "singular", "shortNames", "kind", "listKind"):
        asked, before = wanted.get(key), had.get(key)
        names = asked if isinstance(asked, list) else [asked] if asked else []
        own = before if isinstance(before, list) else [before]
        used = [f'"{one}" is already in use' for one in names if one in taken and one not in own]
        if used:
            reason = f"{key[0].upper()}{key[1:]}Conflict"
            conflict = (reason, used[0] if len(used) == 1 else f"[{', '.join(used)}]")
        elif asked:
            accepted[key] = asked
        else:
            accepted.pop(key, None)
    if wanted.get("categories"):
        accepted["categories"] = wanted["categories"]
    else:
        accepted.pop("categories", None)
    return accepted, conflict


def _condition(held: list[Obj], type_: str, status: str, reason: str, message: str, now: str) -> Obj:
    before = next((one for one in held if one["type"] == type_), None)
    since = before["lastTransitionTime"] if before and before["status"] == status else now
    return {"type": type_, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}
