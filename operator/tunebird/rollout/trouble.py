"""Why a server's pod doesn't get ready, from what the kubelet and the scheduler say of it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tunebird.kube.meta import Manifest
from tunebird.kube.summary import scheduling
from tunebird.rollout.manifests import CONTAINER

LONGEST = 500
CRASHING = "CrashLoopBackOff"
REFUSED = "PodsNotCreated"
_STARTING = ("ContainerCreating", "PodInitializing")
_SAME = {"ErrImagePull": "ImagePullBackOff"}  # the kubelet says them in turns
_IMAGE = "check spec.server.image, that its registry can be reached, and the image pull secret"
REMEDIES: Mapping[str, str] = {
    "ImagePullBackOff": _IMAGE,
    "InvalidImageName": "correct spec.server.image",
    "CreateContainerConfigError": "create what it names, or correct spec.server.template",
    "Unschedulable": "ask for less in spec.server, or add nodes",
    CRASHING: "read its log: kubectl logs",
    REFUSED: "a ResourceQuota, Pod Security or an admission webhook refuses them: change that, or spec.server.template",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """A pod that can't start or doesn't stay up, or a Deployment that gets none. `reason` is stable over time,
    `message` what was said last."""

    about: str
    reason: str
    message: str

    @property
    def sentence(self) -> str:
        """For people, in one line."""
        remedy = REMEDIES.get(self.reason, "")
        said = f"{self.reason}: {self.message}" if self.message else self.reason
        return f"{said} ({self.about})" + (f"; {remedy}" if remedy else "")


def first_trouble(pods: Iterable[Manifest]) -> Trouble | None:
    """The first pod, by name, that has one."""
    ordered = sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))
    return next((found for pod in ordered if (found := trouble(pod))), None)


def trouble(pod: Manifest) -> Trouble | None:
    """What keeps this pod from being ready; None while it is well or just starting."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return None
    containers = status.get("containerStatuses") or ()
    own: Mapping[str, Any] = next((item for item in containers if item["name"] == CONTAINER), {})
    found = _crashing(own) or _waiting(own) or _unscheduled(status)
    return Trouble(f"pod {pod['metadata']['name']}", found[0], _line(found[1])) if found else None


def refused(deployment: Manifest) -> Trouble | None:
    """Why a Deployment's pods can't be created. The name of the one that was tried differs from try to try."""
    conditions = (deployment.get("status") or {}).get("conditions") or ()
    failure = next((item for item in conditions if item["type"] == "ReplicaFailure"), None)
    if failure is None or failure.get("status") != "True":
        return None
    said = str(failure.get("message", ""))
    _, found, why = said.partition(" is forbidden: ")
    return Trouble(f"Deployment {deployment['metadata']['name']}", REFUSED, _line(why if found else said))


def _crashing(container: Mapping[str, Any]) -> tuple[str, str] | None:
    """One reason for a server that ends again and again, whether it has ended, is waited with, or runs once more."""
    if container.get("ready"):
        return None
    state = container.get("state") or {}
    waiting = state.get("waiting")
    if waiting is not None and waiting.get("reason", "") not in ("", CRASHING, *_STARTING):
        return None
    ended = _ended(state) or _ended(container.get("lastState") or {})
    if ended is None:
        return (CRASHING, waiting.get("message", "")) if waiting and waiting.get("reason") == CRASHING else None
    return (CRASHING, ended)


def _waiting(container: Mapping[str, Any]) -> tuple[str, str] | None:
    waiting = (container.get("state") or {}).get("waiting")
    if waiting is None or waiting.get("reason", "") in ("", *_STARTING):
        return None
    return (_SAME.get(waiting["reason"], waiting["reason"]), waiting.get("message", ""))


def _ended(state: Mapping[str, Any]) -> str | None:
    """What a server that ended has said; the cause of an end by the kernel is in its reason."""
    ended = state.get("terminated")
    if ended is None:
        return None
    told = _told(ended.get("message", ""))
    reason = ended.get("reason", "")
    cause = f" ({reason})" if reason not in ("", "Error", "Completed") else ""
    code = f"the server ended with exit code {ended.get('exitCode')}{cause}"
    return f"{code}: {told}" if told else code


def _told(message: str) -> str:
    """The sentence in a termination message; of a log, its last line, which says why the program ended."""
    try:
        parsed = json.loads(message)
    except ValueError:
        return next((line.strip() for line in reversed(message.splitlines()) if line.strip()), "")
    return str(parsed.get("message", message)) if isinstance(parsed, dict) else message


def _unscheduled(status: Mapping[str, Any]) -> tuple[str, str] | None:
    conditions = status.get("conditions") or ()
    scheduled = next((item for item in conditions if item["type"] == "PodScheduled"), None)
    if scheduled is None or scheduled.get("status") != "False":
        return None
    return (scheduled.get("reason") or "Unschedulable", scheduling(str(scheduled.get("message", ""))))


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"…{line[-LONGEST:]}"
