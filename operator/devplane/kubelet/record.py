"""A pod's object, as its kubelet writes it: status, events, the end of its deletion. What is gone is not written to."""

from __future__ import annotations

import contextlib

from devplane.errors import ApiError
from devplane.kubelet.entry import Refusal
from devplane.kubelet.status import PodView, pod_status
from devplane.machinery.client import Client
from devplane.objects import Obj, is_deleting, is_terminal, name_of, namespace_of, now, stamp, uid_of

SHUTDOWN = ("Terminated", "Pod was terminated in response to imminent node shutdown.")
DISRUPTED = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": SHUTDOWN[1]}


class Record:
    """The object of this name and uid: another one of the same name is none of ours."""

    def __init__(self, client: Client, pod: Obj) -> None:
        self._client = client
        self._namespace, self._name, self._uid = namespace_of(pod), name_of(pod), uid_of(pod)
        self._node_name: str = pod["spec"].get("nodeName", "")

    def write(self, view: PodView) -> Obj | None:
        """The object with the status of `view`; None where there is none any more, or it has ended already."""
        current = self._current()
        if current is None or is_terminal(current):
            return None
        written = {**current, "status": pod_status(current, view, now())}
        self._save(written)
        return written

    def refuse(self, pod: Obj, why: Refusal) -> None:
        """It has failed before it began, and that is all that there is to say of it."""
        current = self._current()
        if current is None or is_terminal(current):
            return
        kept = {key: current["status"][key] for key in ("qosClass",) if key in current["status"]}
        self._save({**current, "status": {**kept, "startTime": stamp(now()), **why.status}})
        self.post(pod, "Warning", why.reason, why.message)

    def mark_disrupted(self) -> None:
        """As kubelets do, so that a Job's podFailurePolicy may ignore this end."""
        current = self._current()
        if current is not None:
            conditions = current["status"].setdefault("conditions", [])
            conditions.append({**DISRUPTED, "lastProbeTime": None, "lastTransitionTime": stamp(now())})
            self._save(current)

    def confirm(self) -> None:
        """All of it has ended: a deletion that waits for this is done."""
        current = self._current()
        if current is not None and is_deleting(current):
            with contextlib.suppress(ApiError):
                self._client.delete("pods", self._namespace, self._name, uid=self._uid, grace_seconds=0)

    def post(self, pod: Obj, type_: str, reason: str, message: str, field_path: str = "") -> None:
        """An Event about the pod, or the part of it at `field_path`."""
        about = {**pod, "fieldPath": field_path, "host": self._node_name}
        with contextlib.suppress(ApiError):
            self._client.event(about, type_, reason, message, "kubelet")

    def _current(self) -> Obj | None:
        found = self._client.get("pods", self._namespace, self._name)
        return found if found is not None and uid_of(found) == self._uid else None

    def _save(self, pod: Obj) -> None:
        with contextlib.suppress(ApiError):
            self._client.update_status("pods", self._namespace, pod)
