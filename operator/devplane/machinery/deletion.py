"""Deletion: preconditions, grace, finalizers, propagation, collections."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from devplane.access.tokens import User
from devplane.admission.attributes import Admission, Attributes
from devplane.errors import ApiError, Cause
from devplane.machinery.bodies import is_released
from devplane.machinery.targets import CRDS, SERVER, Target
from devplane.machinery.verbs import Api
from devplane.resources import metadata as meta
from devplane.resources.registry import Resource
from devplane.storage.selectors import Selector
from devplane.storage.store import copied

Obj = dict[str, Any]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
CRD_CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
PROTECTED_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
LONGEST_GRACE = 10**9
"""About thirty years, so that the end of every grace period is a date."""
POLICIES = ("Foreground", "Background", "Orphan")


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """The parts of a DeleteOptions body that count; None means "the kind's default"."""

    grace_seconds: int | None = None
    propagation: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False
    user: User = SERVER
    admission: Admission | None = None
    is_collection: bool = False


@dataclass(frozen=True, slots=True)
class Deleted:
    """The last state, and whether the object is gone already or waits for somebody."""

    object: Obj
    gone: bool


def options_of(body: Obj) -> DeleteOptions:
    """From a DeleteOptions body; raises 422 for what it can not mean."""
    policy = body.get("propagationPolicy")
    orphan = body.get("orphanDependents")
    if policy is not None and orphan is not None:
        detail = "orphanDependents and deletionPropagation cannot be both set"
        raise ApiError.invalid("DeleteOptions.meta.k8s.io", "", [Cause.invalid("propagationPolicy", policy, detail)])
    if policy is None and orphan is not None:
        policy = "Orphan" if orphan else "Background"
    if policy is not None and policy not in POLICIES:
        cause = Cause.unsupported("propagationPolicy", policy, [*POLICIES, "nil"])
        raise ApiError.invalid("DeleteOptions.meta.k8s.io", "", [cause])
    grace = body.get("gracePeriodSeconds")
    if isinstance(grace, int) and grace < 0:
        grace = 1
    preconditions = body.get("preconditions") or {}
    return DeleteOptions(
        grace_seconds=grace,
        propagation=policy,
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        dry_run=bool(body.get("dryRun")),
    )


def delete(api: Api, target: Target, options: DeleteOptions) -> Deleted:
    """Begin the deletion of an object, or end it when nothing holds it."""
    old = api.get(target)
    _check_preconditions(target, old, options)
    _check_protected(target)
    new = _marked(api, target, old, options)
    if options.admission is not None and new != old:
        options.admission.admit(_attributes(target, old, options))
    gone = is_released(target.resource, new)
    if options.dry_run:
        return Deleted(new, gone)
    if gone:
        if target.resource.key == "pods" and new != old:
            old = new = api.commit(target.resource, new)  # the end of its grace is a change of its own
        return Deleted(api.drop(target, _last_state(target, old, new)), gone=True)
    if new == old:
        return Deleted(old, gone=False)
    stored = api.commit(target.resource, new)
    if target.resource.key == CRDS:
        return _delete_definition(api, target, stored)
    return Deleted(stored, gone=False)


def _attributes(target: Target, old: Obj, options: DeleteOptions) -> Attributes:
    """A deletion as admission is told of it; the objects of a collection come without a name."""
    asked = {
        "gracePeriodSeconds": options.grace_seconds,
        "propagationPolicy": options.propagation,
        "dryRun": ["All"] if options.dry_run else None,
    }
    return Attributes(
        operation="DELETE",
        resource=target.resource,
        namespace=target.name if target.resource.key == "namespaces" else target.namespace,
        name="" if options.is_collection else target.name,
        object=None,
        old=old,
        user=options.user,
        dry_run=options.dry_run,
        options={"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}
        | {key: value for key, value in asked.items() if value is not None},
    )


def _last_state(target: Target, old: Obj, new: Obj) -> Obj:
    """What watchers see last: a deletionTimestamp where it was begun earlier, and of a pod in any case."""
    return new if target.resource.key == "pods" or old["metadata"].get("deletionTimestamp") else old


def _check_preconditions(target: Target, old: Obj, options: DeleteOptions) -> None:
    metadata, kind = old["metadata"], target.resource.kind_name
    if options.uid is not None and options.uid != metadata["uid"]:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({metadata['uid']}). "
            "The object might have been deleted and then recreated"
        )
        raise ApiError.conflict(kind, target.name, why)
    version = metadata["resourceVersion"]
    if options.resource_version is not None and options.resource_version != version:
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion "
            f"in record ({version}). The object might have been modified"
        )
        raise ApiError.conflict(kind, target.name, why)


def _check_protected(target: Target) -> None:
    if target.resource.key == "namespaces" and target.name in PROTECTED_NAMESPACES:
        raise ApiError.forbidden("namespaces", target.name, "this namespace may not be deleted")


def _marked(api: Api, target: Target, old: Obj, options: DeleteOptions) -> Obj:
    """`old` with its deletion begun: time, grace, finalizers, generation."""
    new = copied(old)
    metadata = new["metadata"]
    grace = _grace(target.resource, old, options)
    if not metadata.get("deletionTimestamp"):
        metadata["deletionTimestamp"] = meta.timestamp(api.clock() + timedelta(seconds=grace))
        if target.resource.key != "namespaces":
            metadata["deletionGracePeriodSeconds"] = grace
        if metadata.get("generation"):
            metadata["generation"] += 1
    elif grace < metadata.get("deletionGracePeriodSeconds", 0):
        metadata["deletionTimestamp"] = meta.timestamp(api.clock() + timedelta(seconds=grace))
        metadata["deletionGracePeriodSeconds"] = grace
    _set_finalizers(target.resource, new, options)
    if target.resource.key == "namespaces":
        new["status"] = {**new.get("status", {}), "phase": "Terminating"}
    return new


def _grace(resource: Resource, old: Obj, options: DeleteOptions) -> int:
    """Only a pod that runs somewhere is given time."""
    if resource.key != "pods":
        return 0
    spec, phase = old.get("spec", {}), old.get("status", {}).get("phase")
    if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
        return 0
    seconds: int = spec.get("terminationGracePeriodSeconds", 30)
    return min(seconds if options.grace_seconds is None else options.grace_seconds, LONGEST_GRACE)


def _set_finalizers(resource: Resource, new: Obj, options: DeleteOptions) -> None:
    metadata = new["metadata"]
    finalizers = [one for one in metadata.get("finalizers") or [] if one not in _overruled(options)]
    match options.propagation:
        case "Foreground" if FOREGROUND not in finalizers:
            finalizers.append(FOREGROUND)
        case "Orphan" if ORPHAN not in finalizers:
            finalizers.append(ORPHAN)
    if resource.key == CRDS and CRD_CLEANUP not in finalizers and _is_established(new):
        finalizers.append(CRD_CLEANUP)
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)


def _overruled(options: DeleteOptions) -> tuple[str, ...]:
    """An explicit policy takes back what an earlier deletion asked for."""
    match options.propagation:
        case "Background":
            return (FOREGROUND, ORPHAN)
        case "Foreground":
            return (ORPHAN,)
        case "Orphan":
            return (FOREGROUND,)
        case _:
            return ()


def _is_established(crd: Obj) -> bool:
    conditions = crd.get("status", {}).get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def _delete_definition(api: Api, target: Target, crd: Obj) -> Deleted:
    """Delete the instances of a CustomResourceDefinition; the last of them lets the definition go."""
    resource = api.registry.named(target.name)
    if resource is not None:
        delete_collection(api, resource, None, Selector(), DeleteOptions())
    if api.find(target) is None:
        return Deleted(crd, gone=True)
    release_definition(api, target.name)
    return Deleted(crd, gone=api.find(target) is None)


def release_definition(api: Api, name: str) -> None:
    """Take the cleanup finalizer from a CRD that is being deleted and has no instances left."""
    resource = api.registry.named(CRDS)
    assert resource is not None
    target = Target(resource, "", name)
    crd = api.find(target)
    if crd is None or not crd["metadata"].get("deletionTimestamp") or api.store.count(name):
        return
    finalizers = crd["metadata"].get("finalizers") or []
    if CRD_CLEANUP in finalizers:
        new = copied(crd)
        new["metadata"]["finalizers"] = [one for one in finalizers if one != CRD_CLEANUP]
        api.commit_change(target, new)


def delete_collection(
    api: Api, resource: Resource, namespace: str | None, selector: Selector, options: DeleteOptions
) -> list[Obj]:
    """Delete everything that matches; answers the objects as they were."""
    found = api.list(resource, namespace, selector)
    for obj in found:
        delete_if_there(api, Target(resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]), options)
    return found


def delete_if_there(api: Api, target: Target, options: DeleteOptions) -> None:
    if api.find(target) is not None:
        delete(api, target, options)
