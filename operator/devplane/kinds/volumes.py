"""Volumes of a pod and where containers mount them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devplane.errors import Cause
from devplane.kinds import metadata, references, rules
from devplane.schemas.quantities import amount
from devplane.schemas.types import Obj

HOST_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
PROPAGATION = ("Bidirectional", "HostToContainer", "None")
_REQUIRED = {
    "secret": ("secretName",), "configMap": ("name",), "persistentVolumeClaim": ("claimName",), "hostPath": ("path",),
    "nfs": ("server", "path"), "csi": ("driver",),
}  # fmt: skip
_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_LONGEST_TOKEN = 2**32


def validate(volumes: list[Obj], path: str) -> Iterator[Cause]:
    seen = set()
    for at, volume in enumerate(volumes):
        where, name = f"{path}[{at}]", volume.get("name")
        if not name:
            yield Cause.required(f"{where}.name")
        else:
            yield from rules.named(name, metadata.label, f"{where}.name")
        if name in seen:
            yield Cause.duplicate(f"{where}.name", name)
        seen.add(name)
        yield from _source(volume, where)


def _source(volume: Obj, path: str) -> Iterator[Cause]:
    return details({kind: found for kind, found in volume.items() if kind != "name"}, path)


def details(volume: Obj, path: str) -> Iterator[Cause]:
    """What a volume is made of: one source, and what that needs."""
    kinds = list(volume)
    if not kinds:
        yield Cause.required(path, "must specify a volume type")
    for extra in kinds[1:]:
        yield Cause.forbidden(f"{path}.{extra}", "may not specify more than 1 volume type")
    for kind in kinds:
        yield from _details(kind, volume[kind], f"{path}.{kind}")


def _details(kind: str, found: Obj, path: str) -> Iterator[Cause]:
    yield from (Cause.required(f"{path}.{one}") for one in _REQUIRED.get(kind, ()) if not found.get(one))
    match kind:
        case "secret" | "configMap" | "downwardAPI" | "projected":
            yield from _mode(found.get("defaultMode"), f"{path}.defaultMode")
            yield from (_projected(found, path) if kind == "projected" else _files(kind, found, path))
        case "hostPath":
            yield from _host_path(found, path)
        case "nfs" if not (found.get("path") or "").startswith("/"):
            yield Cause.invalid(f"{path}.path", found.get("path", ""), "must be an absolute path")
        case "ephemeral" if found.get("volumeClaimTemplate") is None:
            yield Cause.required(f"{path}.volumeClaimTemplate")
        case "emptyDir" if amount(found.get("sizeLimit", 0)) < 0:
            yield Cause.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _host_path(found: Obj, path: str) -> Iterator[Cause]:
    if ".." in (found.get("path") or "").split("/"):
        yield Cause.invalid(f"{path}.path", found["path"], "must not contain '..'")
    yield from rules.one_of(found.get("type"), HOST_TYPES, f"{path}.type")


def _mode(mode: int | None, path: str) -> Iterator[Cause]:
    if mode is not None and not 0 <= mode <= 0o777:
        yield Cause.invalid(path, mode, _MODE)


def _files(kind: str, source: Obj, path: str) -> Iterator[Cause]:
    """Files made of the keys of an object, or of the pod's own fields."""
    for at, item in enumerate(source.get("items") or ()):
        if kind == "downwardAPI":
            yield from _own_file(item, path)
            continue
        where = f"{path}.items[{at}]"
        if not item.get("key"):
            yield Cause.required(f"{where}.key")
        yield from _place(item.get("path"), f"{where}.path")
        yield from _mode(item.get("mode"), f"{where}.mode")


def _own_file(item: Obj, path: str) -> Iterator[Cause]:
    yield from _place(item.get("path"), f"{path}.path")
    if "fieldRef" in item:
        yield from references.field(item["fieldRef"], f"{path}.fieldRef", references.VOLUME_FIELDS)
        if "resourceFieldRef" in item:
            yield Cause.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
    elif "resourceFieldRef" not in item:
        yield Cause.required(path, "one of fieldRef and resourceFieldRef is required")
    elif not item["resourceFieldRef"].get("containerName"):
        yield Cause.required(f"{path}.resourceFieldRef.containerName")
    else:
        yield from references.resource(item["resourceFieldRef"], f"{path}.resourceFieldRef")
    yield from _mode(item.get("mode"), f"{path}.mode")


def _place(place: str | None, path: str) -> Iterator[Cause]:
    """A path below a volume, which none of the kubelet's own names may begin."""
    if not place:
        yield Cause.required(path)
        return
    yield from _below(place, path)
    if place.startswith("..") and place.split("/")[0] != "..":
        yield Cause.invalid(path, place, "must not start with '..'")


def _below(place: str, path: str) -> Iterator[Cause]:
    if place.startswith("/"):
        yield Cause.invalid(path, place, "must be a relative path")
    if ".." in place.split("/"):
        yield Cause.invalid(path, place, "must not contain '..'")


def _projected(projected: Obj, path: str) -> Iterator[Cause]:
    places: set[str] = set()
    for at, source in enumerate(projected.get("sources") or ()):
        where = f"{path}.sources[{at}]"
        for kind in ("secret", "configMap", "downwardAPI"):
            if kind in source:
                yield from _projection(kind, source[kind], f"{where}.{kind}", places)
        if "serviceAccountToken" in source:
            yield from _token(source["serviceAccountToken"], f"{where}.serviceAccountToken", path)
        if len(source) > 1:
            yield Cause.forbidden(where, "may not specify more than 1 volume type per source")


def _projection(kind: str, source: Obj, path: str, places: set[str]) -> Iterator[Cause]:
    if kind != "downwardAPI" and not source.get("name"):
        yield Cause.required(f"{path}.name")
    yield from _files(kind, source, path)
    for item in source.get("items") or ():
        if item.get("path") in places:
            yield Cause.invalid(path.partition(".sources")[0], source.get("name", ""), "conflicting duplicate paths")
        places.add(item.get("path", ""))


def _token(token: Obj, path: str, volume: str) -> Iterator[Cause]:
    """The server names the path of a token as if it were the volume's."""
    seconds = token.get("expirationSeconds", 3600)
    if seconds < 600:
        yield Cause.invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    if seconds > _LONGEST_TOKEN:
        detail = "may not specify a duration larger than 2^32 seconds"
        yield Cause.invalid(f"{path}.expirationSeconds", seconds, detail)
    yield from _place(token.get("path"), f"{volume}.path")


def mounts(container: Obj, path: str, named: set[Any]) -> Iterator[Cause]:
    """Where a container mounts volumes; `named` are the names of the pod's."""
    places = set()
    for at, mount in enumerate(container.get("volumeMounts") or ()):
        where, name, place = f"{path}[{at}]", mount.get("name"), mount.get("mountPath")
        if not name:
            yield Cause.required(f"{where}.name")
        if name not in named:
            yield rules.not_found(f"{where}.name", name or "")
        if not place:
            yield Cause.required(f"{where}.mountPath")
        elif place in places:
            yield Cause.invalid(f"{where}.mountPath", place, "must be unique")
        places.add(place)
        yield from _mount(mount, container, path, where)


def _mount(mount: Obj, container: Obj, path: str, where: str) -> Iterator[Cause]:
    """The server names these fields without the number of the mount, but for one."""
    yield from _below(mount.get("subPath") or "", f"{path}.subPath")
    if mount.get("subPath") and mount.get("subPathExpr"):
        detail = "subPathExpr and subPath are mutually exclusive"
        yield Cause.invalid(f"{where}.subPathExpr", mount["subPathExpr"], detail)
    yield from _below(mount.get("subPathExpr") or "", f"{path}.subPathExpr")
    spread = mount.get("mountPropagation")
    yield from rules.one_of(spread, PROPAGATION, f"{path}.mountPropagation")
    if spread == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        detail = "Bidirectional mount propagation is available only to privileged containers"
        yield Cause.forbidden(f"{path}.mountPropagation", detail)
    if mount.get("recursiveReadOnly") not in (None, "Disabled") and not mount.get("readOnly"):
        yield Cause.forbidden(f"{path}.recursiveReadOnly", "may only be specified when readOnly is true")
