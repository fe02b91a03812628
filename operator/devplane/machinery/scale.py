"""The scale subresource: replicas of workloads and of custom resources as an autoscaling/v1 Scale."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from devplane.admission.attributes import Attributes
from devplane.errors import ApiError, Cause
from devplane.machinery.bodies import check_name
from devplane.machinery.targets import CRDS, Target, Write
from devplane.machinery.verbs import Api
from devplane.machinery.writes import options
from devplane.storage.selectors import field_value
from devplane.storage.store import copied

Obj = dict[str, Any]

_PATHS = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}


def _paths(api: Api, target: Target) -> Obj:
    if not target.resource.crd:
        return {**_PATHS, "labelSelectorPath": ""}
    crd = api.store.get(CRDS, "", target.resource.crd)
    assert crd is not None
    versions = crd["spec"]["versions"]
    version = next(one for one in versions if one["name"] == target.resource.version)
    declared: Obj = version["subresources"]["scale"]
    return declared


def read(api: Api, target: Target) -> Obj:
    """The Scale of an object."""
    return _scale(api, target, api.get(target))


def _scale(api: Api, target: Target, obj: Obj) -> Obj:
    paths = _paths(api, target)
    metadata = {key: obj["metadata"][key] for key in _SHOWN if key in obj["metadata"]}
    status: Obj = {"replicas": _count(obj, paths["statusReplicasPath"])}
    if text := _selector(obj, target, paths.get("labelSelectorPath", "")):
        status["selector"] = text
    replicas = _count(obj, paths["specReplicasPath"])
    spec = {"replicas": replicas} if replicas else {}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status}


def _count(obj: Obj, path: str) -> int:
    """The number at a path; a custom resource may hold anything there, and what is no number counts as none."""
    text = field_value(obj, path[1:])
    return int(text) if re.fullmatch("-?[0-9]{1,19}", text) else 0


_SHOWN = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def _selector(obj: Obj, target: Target, path: str) -> str:
    if target.resource.crd:
        return field_value(obj, path[1:]) if path else ""
    labels = obj.get("spec", {}).get("selector", {}).get("matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _admitted(api: Api, target: Target, wanted: Obj, how: Write) -> tuple[Obj, Write]:
    """The Scale after admission, which is asked about the Scale and not about the object."""
    assert how.admission is not None
    told = Attributes(
        operation="UPDATE",
        resource=target.resource,
        namespace=target.namespace,
        name=target.name,
        object=wanted,
        old=read(api, target),
        user=how.user,
        subresource="scale",
        dry_run=how.dry_run,
        options=options("UpdateOptions", how),
    )
    return how.admission.admit(told) or wanted, replace(how, admission=None)


def _check(target: Target, wanted: Obj) -> None:
    """What is written is a Scale, and that of the URL."""
    kind, version = wanted.get("kind") or "Scale", wanted.get("apiVersion") or "autoscaling/v1"
    if (version, kind) != ("autoscaling/v1", "Scale"):
        short = version.rpartition("/")[2]
        why = f"converting ({short}.{kind}) to (autoscaling.Scale): unknown conversion"
        raise ApiError.bad_request(f'{kind} in version "{short}" cannot be handled as a Scale: {why}')
    check_name(target, {"metadata": wanted.get("metadata") or {}})


def write(api: Api, target: Target, wanted: Obj, how: Write) -> Obj:
    """Set the replicas that a changed Scale asks for; answers the new Scale."""
    if how.admission is not None:
        wanted, how = _admitted(api, target, wanted, how)
    _check(target, wanted)
    replicas = (wanted.get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int):
        raise ApiError.bad_request(f"Scale.spec.replicas: {replicas!r} is not a number")
    if replicas < 0:
        cause = Cause.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise ApiError.invalid("Scale.autoscaling", target.name, [cause])
    asked = (wanted.get("metadata") or {}).get("resourceVersion")
    path = _paths(api, target)["specReplicasPath"][1:].split(".")

    def change(obj: Obj, _: object) -> Obj:
        if asked:
            obj["metadata"]["resourceVersion"] = asked
        place = obj
        for step in path[:-1]:
            place = place.setdefault(step, {})
        place[path[-1]] = replicas
        return copied(obj)

    return _scale(api, target, api.patched(target, change, replace(how, through="scale")))
