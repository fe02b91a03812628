"""Volumes of a pod and where containers mount them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devplane.errors import Cause
from devplane.kinds import metadata, rules
from devplane.schemas.quantities import amount
from devplane.schemas.types import Obj


def validate(volumes: list[Obj], path: str) -> Iterator[Cause]:
    seen = set()
    for at, volume in enumerate(volumes):
        where, name = f"{path}[{at}]", volume.get("name")
        if not name:
            yield Cause.required(f"{where}.name")
        else:
            yield from (Cause.invalid(f"{where}.name", name, problem) for problem in metadata.label(name))
        if name in seen:
            yield Cause.duplicate(f"{where}.name", name)
        seen.add(name)
        yield from _source(volume, where)


def _source(volume: Obj, path: str) -> Iterator[Cause]:
    kinds = [kind for kind in volume if kind != "name"]
    if not kinds:
        yield Cause.required(path, "must specify a volume type")
    for extra in kinds[1:]:
        yield Cause.forbidden(f"{path}.{extra}", "may not specify more than 1 volume type")
    required = {"secret": "secretName", "configMap": "name", "persistentVolumeClaim": "claimName", "hostPath": "path"}
    for kind, field in required.items():
        if kind in volume and not volume[kind].get(field):
            yield Cause.required(f"{path}.{kind}.{field}")
    if "projected" in volume:
        yield from _projected(volume["projected"], f"{path}.projected")
    if "emptyDir" in volume and amount(volume["emptyDir"].get("sizeLimit", 0)) < 0:
        yield Cause.forbidden(f"{path}.emptyDir.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _projected(projected: Obj, path: str) -> Iterator[Cause]:
    for at, source in enumerate(projected.get("sources") or ()):
        token = source.get("serviceAccountToken")
        if token is None:
            continue
        where = f"{path}.sources[{at}].serviceAccountToken"
        if token.get("expirationSeconds", 3600) < 600:
            yield Cause.invalid(
                f"{where}.expirationSeconds",
                token["expirationSeconds"],
                "may not specify a duration less than 10 minutes",
            )
        if not token.get("path"):
            yield Cause.required(f"{where}.path")


def mounts(found: Any, path: str, named: set[Any]) -> Iterator[Cause]:
    """`named` are the names of the pod's volumes."""
    places = set()
    for at, mount in enumerate(found):
        where, name, place = f"{path}[{at}]", mount.get("name"), mount.get("mountPath")
        if not name:
            yield Cause.required(f"{where}.name")
        elif name not in named:
            yield rules.not_found(f"{where}.name", name)
        if not place:
            yield Cause.required(f"{where}.mountPath")
        elif place in places:
            yield Cause.invalid(f"{where}.mountPath", place, "must be unique")
        places.add(place)
        yield from _sub_path(mount, where)


def _sub_path(mount: Obj, path: str) -> Iterator[Cause]:
    for field in ("subPath", "subPathExpr"):
        value = mount.get(field)
        if value and value.startswith("/"):
            yield Cause.invalid(f"{path}.{field}", value, "must be a relative path")
        if value and ".." in value.split("/"):
            yield Cause.invalid(f"{path}.{field}", value, "must not contain '..'")
    if mount.get("subPath") and mount.get("subPathExpr"):
        yield Cause.invalid(
            f"{path}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive"
        )
