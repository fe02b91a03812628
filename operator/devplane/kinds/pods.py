"""Defaults, first status and update rules of pods. What a PodSpec may say is in podspec. Pure."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from devplane.errors import Cause
from devplane.kinds import podspec
from devplane.schemas.quantities import in_thousandths
from devplane.schemas.types import Obj

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_SPEC = {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}
_CONTAINER = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
GATED = {
    "type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "lastProbeTime": None,
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}  # fmt: skip
UPDATE_WORDS = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def default(pod: Obj) -> None:
    spec = pod["spec"]
    spec.setdefault("enableServiceLinks", True)
    default_spec(spec)
    if spec.get("hostNetwork"):
        _default_host_ports(spec)


def default_template_of(owner: Obj) -> None:
    """The pod template of a PodTemplate or of a workload's spec."""
    default_spec(owner["template"]["spec"])


def default_spec(spec: Obj) -> None:
    """Defaults of a PodSpec, in a pod or in a template."""
    for field, value in _SPEC.items():
        if not spec.get(field):
            spec[field] = value
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("securityContext", {})
    if "serviceAccountName" in spec or "serviceAccount" in spec:
        name = spec.get("serviceAccountName") or spec["serviceAccount"]
        spec["serviceAccountName"] = spec["serviceAccount"] = name
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    for container in containers(spec):
        _default_container(container)


def containers(spec: Obj) -> list[Obj]:
    """Init, ordinary and ephemeral containers."""
    kinds = ("initContainers", "containers", "ephemeralContainers")
    return [one for kind in kinds for one in spec.get(kind) or () if isinstance(one, dict)]


def _default_container(container: Obj) -> None:
    for field, value in _CONTAINER.items():
        if not container.get(field):
            container[field] = value
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(container.get("image", ""))
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or ():
        if "valueFrom" in variable:
            _default_reference(variable["valueFrom"])
    _default_checks(container)
    _default_requests(container)


def _default_checks(container: Obj) -> None:
    for name in PROBES:
        if name in container:
            _default_probe(container[name])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict) and "httpGet" in hook:
            _default_http(hook["httpGet"])


def _default_reference(source: Obj) -> None:
    """The pod's own field or resource that a variable or a file holds."""
    if "fieldRef" in source:
        source["fieldRef"].setdefault("apiVersion", "v1")
    elif "resourceFieldRef" in source:
        source["resourceFieldRef"].setdefault("divisor", "0")


def _default_requests(container: Obj) -> None:
    """A limit without a request asks for as much; nothing is counted finer than in thousandths."""
    resources = container.get("resources") or {}
    for kind in ("limits", "requests"):
        for name, value in (resources.get(kind) or {}).items():
            if value[-1:] in ("n", "u"):
                resources[kind][name] = in_thousandths(value)
    for name, limit in (resources.get("limits") or {}).items():
        resources.setdefault("requests", {}).setdefault(name, limit)


def pull_policy(image: str) -> str:
    """`Always` for the tag latest, said or not."""
    last = image.rpartition("/")[2]
    if "@" in last:
        return "IfNotPresent"
    tag = last.partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _default_probe(probe: Obj) -> None:
    if not probe.get("timeoutSeconds"):
        probe["timeoutSeconds"] = 1
    for name, value in (("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        if not probe.get(name):
            probe[name] = value
    if "httpGet" in probe:
        _default_http(probe["httpGet"])
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def _default_http(get: Obj) -> None:
    if not get.get("path"):
        get["path"] = "/"
    get.setdefault("scheme", "HTTP")


def _default_volume(volume: Obj) -> None:
    if set(volume) == {"name"}:
        volume["emptyDir"] = {}
    for source in ("secret", "configMap", "downwardAPI", "projected"):
        if source in volume:
            volume[source].setdefault("defaultMode", 0o644)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    for items in _downward_items(volume):
        for item in items:
            _default_reference(item)
    for source in (volume.get("projected") or {}).get("sources") or ():
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)


def _downward_items(volume: Obj) -> list[list[Obj]]:
    projected = (volume.get("projected") or {}).get("sources") or ()
    sources = [volume.get("downwardAPI"), *(source.get("downwardAPI") for source in projected)]
    return [source.get("items") or [] for source in sources if source]


def _default_host_ports(spec: Obj) -> None:
    for container in containers(spec):
        for port in container.get("ports") or ():
            port.setdefault("hostPort", port.get("containerPort"))


def prepare(new: Obj, old: Obj | None) -> None:
    """The first status of a pod, and what admission adds: its account, its priority, patience with a lost node."""
    if old is not None:
        return
    spec = new["spec"]
    new["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}
    if spec.get("schedulingGates"):
        new["status"]["conditions"] = [{**GATED, "lastTransitionTime": new["metadata"].get("creationTimestamp")}]
    if spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1
    name = spec.setdefault("serviceAccountName", "default")
    spec["serviceAccount"] = name
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    tolerations = spec.setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(_tolerates(one, key) for one in tolerations):
            patience = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            tolerations.append(patience)


def _tolerates(toleration: Obj, key: str) -> bool:
    return toleration.get("key") in (key, None) and toleration.get("effect") in ("NoExecute", None)


def qos_class(spec: Obj) -> str:
    """Guaranteed, Burstable or BestEffort, from the containers' CPU and memory."""
    asked = [one.get("resources") or {} for one in containers(spec)]
    if not any(_compute(one.get("requests")) or _compute(one.get("limits")) for one in asked):
        return "BestEffort"
    exact = all(
        set(_compute(one.get("limits"))) == {"cpu", "memory"}
        and _compute(one.get("requests")) == _compute(one.get("limits"))
        for one in asked
    )
    return "Guaranteed" if exact else "Burstable"


def _compute(amounts: Obj | None) -> Obj:
    return {name: amount for name, amount in (amounts or {}).items() if name in ("cpu", "memory")}


def validate(new: Obj, old: Obj | None) -> list[Cause]:
    found = podspec.validate(new.get("spec") or {}, "spec")
    if old is not None:
        return [*found, *_updates(new["spec"], old["spec"])] if new["spec"] != old["spec"] else []
    if new["spec"].get("ephemeralContainers"):
        found.append(Cause.forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if new["spec"].get("schedulingGates") and new["spec"].get("nodeName"):
        found.append(Cause.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
    return found


def _updates(new: Obj, old: Obj) -> list[Cause]:
    """Images, a shorter deadline, more tolerations and fewer gates: nothing else of a pod's spec may change."""
    for kind in ("containers", "initContainers"):
        if len(new.get(kind) or ()) != len(old.get(kind) or ()):
            return [Cause.forbidden(f"spec.{kind}", "pod updates may not add or remove containers")]
    found = [*_deadline(new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds"))]
    found += _tolerations(new.get("tolerations") or [], old.get("tolerations") or [])
    found += _gates(new.get("schedulingGates") or (), old.get("schedulingGates") or ())
    allowed = copy.deepcopy(new)
    _undo_images(allowed, old)
    for field in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        _undo(allowed, old, field)
    if (old.get("terminationGracePeriodSeconds") or 0) < 0 and new.get("terminationGracePeriodSeconds") == 1:
        _undo(allowed, old, "terminationGracePeriodSeconds")
    return found if allowed == old else [*found, Cause.forbidden("spec", f"{UPDATE_WORDS}\n{changes(allowed, old)}")]


def _deadline(new: int | None, old: int | None) -> Iterator[Cause]:
    path = "spec.activeDeadlineSeconds"
    if old is not None and new is None:
        yield Cause.invalid(path, None, "must not update from a positive integer to nil value")
    elif old is not None and new is not None and new > old:
        yield Cause.invalid(path, new, "must be less than or equal to previous value")


def _tolerations(new: list[Obj], old: list[Obj]) -> Iterator[Cause]:
    """What is tolerated may only grow, but for the seconds."""
    kept = [_but_seconds(one) for one in new]
    if any(_but_seconds(one) not in kept for one in old):
        detail = "existing toleration can not be modified except its tolerationSeconds"
        yield Cause.forbidden("spec.tolerations", detail)


def _but_seconds(toleration: Obj) -> Obj:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def _gates(new: Sequence[Obj], old: Sequence[Obj]) -> Iterator[Cause]:
    for at, gate in enumerate(new):
        if gate not in old:
            detail = f"only deletion is allowed, but found new scheduling gate '{gate.get('name', '')}'"
            yield Cause.forbidden(f"spec.schedulingGates[{at}].name", detail)


def _undo(spec: Obj, old: Obj, field: str) -> None:
    spec.pop(field, None)
    if field in old:
        spec[field] = old[field]


def _undo_images(spec: Obj, old: Obj) -> None:
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for one, before in zip(spec.get(kind) or (), old.get(kind) or (), strict=False):
            one["image"] = before.get("image")


def changes(new: Any, old: Any, path: str = "spec") -> str:
    """The lines of a difference, one changed value each: ``- spec.x: 1`` and ``+ spec.x: 2``."""
    if isinstance(new, dict) and isinstance(old, dict):
        keys = sorted({*new, *old})
        return "".join(changes(new.get(k), old.get(k), f"{path}.{k}") for k in keys if new.get(k) != old.get(k))
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        pairs = enumerate(zip(new, old, strict=True))
        return "".join(changes(one, before, f"{path}[{at}]") for at, (one, before) in pairs if one != before)
    return f"- {path}: {old!r}\n+ {path}: {new!r}\n"
