"""A pod's status from what the kubelet sees of its containers. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from devplane.objects import Obj, condition, container_requests, stamp

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOST = "ContainerStatusUnknown"
LOST_MESSAGE = "The container could not be located when the pod was terminated"


@dataclass(frozen=True, slots=True)
class Waiting:
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Terminated:
    exit_code: int
    reason: str
    message: str = ""
    started_at: datetime = EPOCH
    finished_at: datetime = EPOCH
    container_id: str = ""


CREATING = Waiting("ContainerCreating")
INITIALIZING = Waiting("PodInitializing")


@dataclass(frozen=True, slots=True)
class ContainerView:
    """One container as its status shows it; `ready` is its readiness probe's word while it runs."""

    spec: Obj
    state: Waiting | Running | Terminated
    last: Terminated | None = None
    ready: bool = False
    started: bool = False
    restarts: int = 0
    container_id: str = ""
    seen_image: bool = False
    is_init: bool = False

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def is_sidecar(self) -> bool:
        return self.spec.get("restartPolicy") == "Always"

    @property
    def has_started(self) -> bool:
        return not isinstance(self.state, Waiting) or self.last is not None


@dataclass(frozen=True, slots=True)
class PodView:
    """`sandbox` is true while containers can run; `finished` once none will run again."""

    inits: tuple[ContainerView, ...]
    mains: tuple[ContainerView, ...]
    started_at: datetime
    host_ip: str
    ip: str = ""
    sandbox: bool = False
    finished: bool = False
    failure: tuple[str, str] | None = None

    @property
    def initialized(self) -> bool:
        """Once a container has started it stays so, whatever sidecars do."""
        return not self.uninitialized

    @property
    def uninitialized(self) -> list[str]:
        if any(one.has_started for one in self.mains):
            return []
        return [init.name for init in self.inits if not _is_initialized(init)]


def _is_initialized(init: ContainerView) -> bool:
    if init.is_sidecar:
        return init.started or isinstance(init.state, Terminated)
    return _succeeded(init)


def pod_status(pod: Mapping[str, Any], view: PodView, now: datetime) -> Obj:
    """The whole status to write; conditions of others and their transition times are kept."""
    previous = pod.get("status") or {}
    reached = reached_phase(view, pod["spec"].get("restartPolicy", "Always"))
    shown = reached if view.finished else _held_back(reached, previous.get("phase", "Pending"))
    status: Obj = {
        "phase": shown,
        "conditions": _conditions(pod, view, reached, now),
        "hostIP": view.host_ip,
        "hostIPs": [{"ip": view.host_ip}],
        "startTime": stamp(view.started_at),
        "containerStatuses": [container_status(one) for one in view.mains],
        "qosClass": previous.get("qosClass") or "BestEffort",
    }
    if view.ip:
        status |= {"podIP": view.ip, "podIPs": [{"ip": view.ip}]}
    if view.inits:
        status["initContainerStatuses"] = [container_status(one) for one in view.inits]
    if view.failure is not None and shown == "Failed":
        status |= {"reason": view.failure[0], "message": view.failure[1]}
    return status


def _held_back(reached: str, shown: str) -> str:
    """A pod shows its end only when nothing of it runs any more."""
    return shown if reached in {"Succeeded", "Failed"} else reached


def reached_phase(view: PodView, restart_policy: str) -> str:
    if view.failure is not None:
        return "Failed"
    failed_init = any(
        not init.is_sidecar and isinstance(init.state, Terminated) and init.state.exit_code for init in view.inits
    )
    if failed_init and restart_policy == "Never":
        return "Failed"
    if not view.initialized and not view.finished:
        return "Pending"
    if any(isinstance(one.state, Waiting) and one.last is None for one in view.mains):
        return "Pending"
    sidecars = (init for init in view.inits if init.is_sidecar)
    if any(isinstance(one.state, Running) for one in (*view.mains, *sidecars)):
        return "Running"
    return _phase_of_ended(view.mains, restart_policy, view.finished)


def _phase_of_ended(mains: Sequence[ContainerView], restart_policy: str, finished: bool) -> str:
    if restart_policy == "Always" and not finished:
        return "Running"
    if all(_exit_code(one) == 0 for one in mains):
        return "Succeeded"
    if restart_policy == "OnFailure" and not finished:
        return "Running"
    return "Failed"


def _exit_code(container: ContainerView) -> int | None:
    ended = container.state if isinstance(container.state, Terminated) else container.last
    return None if ended is None else ended.exit_code


def _conditions(pod: Mapping[str, Any], view: PodView, reached: str, now: datetime) -> list[Obj]:
    containers_ready = _containers_ready(view, reached)
    wanted = [
        ("PodReadyToStartContainers", view.sandbox, "", ""),
        ("Initialized", *_initialized(view, reached)),
        ("Ready", *_ready(pod, containers_ready)),
        ("ContainersReady", *containers_ready),
        ("PodScheduled", True, "", ""),
    ]
    kept = [
        one for one in (pod.get("status") or {}).get("conditions") or () if one["type"] not in {w[0] for w in wanted}
    ]
    return [*(_condition(pod, now, *one) for one in wanted), *kept]


def _condition(pod: Mapping[str, Any], now: datetime, type_: str, is_true: bool, reason: str, message: str) -> Obj:
    value = "True" if is_true else "False"
    before = condition(pod, type_)
    unchanged = before is not None and before["status"] == value
    since = before["lastTransitionTime"] if before is not None and unchanged else stamp(now)
    found: Obj = {"type": type_, "status": value, "lastProbeTime": None, "lastTransitionTime": since}
    if reason:
        found["reason"] = reason
    if message:
        found["message"] = message
    return found


def _initialized(view: PodView, reached: str) -> tuple[bool, str, str]:
    if reached == "Succeeded":
        return True, "PodCompleted", ""
    if waiting := view.uninitialized:
        return False, "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(waiting)}]"
    return True, "", ""


def _containers_ready(view: PodView, reached: str) -> tuple[bool, str, str]:
    if reached == "Succeeded":
        return False, "PodCompleted", ""
    if reached == "Failed":
        return False, "PodFailed", ""
    watched = [*(init for init in view.inits if init.is_sidecar), *view.mains]
    unready = [one.name for one in watched if not is_ready(one)]
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return True, "", ""


def is_ready(container: ContainerView) -> bool:
    return isinstance(container.state, Running) and container.ready


def _ready(pod: Mapping[str, Any], containers_ready: tuple[bool, str, str]) -> tuple[bool, str, str]:
    if not containers_ready[0]:
        return containers_ready
    messages = [text for gate in pod["spec"].get("readinessGates") or () if (text := _gate(pod, gate["conditionType"]))]
    return (False, "ReadinessGatesNotReady", ", ".join(messages)) if messages else (True, "", "")


def _gate(pod: Mapping[str, Any], type_: str) -> str:
    found = condition(pod, type_)
    if found is None:
        return f'corresponding condition of pod readiness gate "{type_}" does not exist.'
    if found["status"] != "True":
        return f'the status of pod readiness gate "{type_}" is not "True", but {found["status"]}'
    return ""


def container_status(view: ContainerView) -> Obj:
    image = str(view.spec["image"])
    status: Obj = {
        "name": view.name,
        "state": _state(view.state),
        "lastState": _state(view.last) if view.last is not None else {},
        "ready": _succeeded(view) if view.is_init and not view.is_sidecar else is_ready(view),
        "restartCount": view.restarts,
        "image": image,
        "imageID": image_id(image) if view.seen_image else "",
        "started": isinstance(view.state, Running) and view.started,
    }
    if view.container_id:
        status |= {"containerID": view.container_id, **_resources(view.spec)}
    if mounts := view.spec.get("volumeMounts"):
        status["volumeMounts"] = [_mount(one) for one in mounts]
    return status


def _succeeded(view: ContainerView) -> bool:
    return isinstance(view.state, Terminated) and view.state.exit_code == 0


def _state(state: Waiting | Running | Terminated) -> Obj:
    match state:
        case Waiting(reason, message):
            return {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        case Running(started_at):
            return {"running": {"startedAt": stamp(started_at)}}
        case Terminated():
            return {"terminated": terminated(state)}


def terminated(state: Terminated) -> Obj:
    found: Obj = {"exitCode": state.exit_code, "reason": state.reason}
    if state.message:
        found["message"] = state.message
    found |= {"startedAt": stamp(state.started_at), "finishedAt": stamp(state.finished_at)}
    if state.container_id:
        found["containerID"] = state.container_id
    return found


def _resources(spec: Mapping[str, Any]) -> Obj:
    given = spec.get("resources") or {}
    if not container_requests(spec):
        return {"resources": {}}
    requested = {**(given.get("limits") or {}), **(given.get("requests") or {})}
    return {"allocatedResources": requested, "resources": {**given, "requests": requested}}


def _mount(mount: Mapping[str, Any]) -> Obj:
    shown: Obj = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        shown |= {"readOnly": True, "recursiveReadOnly": "Disabled"}
    return shown


def image_id(image: str) -> str:
    return f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"


def duration(seconds: int) -> str:
    """As Go prints whole seconds: ``10s``, ``1m20s``, ``5m0s``."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
