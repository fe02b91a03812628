"""The Job controller: carries out what `job_plan` says, in its order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from devplane.controllers.jobs.indexes import ANNOTATION
from devplane.controllers.jobs.plan import Plan, plan, short_of
from devplane.controllers.jobs.pods import NewPod
from devplane.controllers.jobs.seen import FINALIZER, INDEX_FAILURES
from devplane.controllers.loop import Controller, Key, controller_key, own_key
from devplane.errors import AdmissionPendingError, ApiError
from devplane.objects import (
    Obj,
    controller_reference,
    finalizers,
    is_controlled_by,
    is_deleting,
    name_of,
    namespace_of,
    now,
    pod_from_template,
    uid_of,
)

if TYPE_CHECKING:
    from devplane.machinery.client import Client

COMPONENT = "job-controller"
JOBS = "jobs.batch"
MANAGER = "kubernetes.io/job-controller"
FIRST_RETRY = 1.0


class JobController:
    def __init__(self, client: Client) -> None:
        self._client = client

    def controller(self) -> Controller:
        return Controller(COMPONENT, self._client, (JOBS, "pods"), self._concerned, self.sync, FIRST_RETRY)

    def _concerned(self, resource: str, type_: str, obj: Obj) -> Iterable[Key]:
        if resource == JOBS:
            return [own_key(obj)]
        return controller_key(obj, "Job")

    def sync(self, key: Key) -> float | None:
        job = self._client.get(JOBS, *key)
        own = self._own(key, job)
        if job is None:
            return None
        if job["spec"].get("managedBy", MANAGER) != MANAGER:
            return None
        decided = plan(job, own, now())
        self._carry_out(job, decided)
        return decided.again

    def _own(self, key: Key, job: Obj | None) -> list[Obj]:
        """The Job's pods. Those of a Job of that name that is gone don't wait for it."""
        own: list[Obj] = []
        for pod in self._client.controlled("pods", key[0], "Job", key[1]):
            if job is not None and is_controlled_by(pod, uid_of(job)):
                own.append(pod)
            else:
                self._release(pod)
        return own

    def _carry_out(self, job: Obj, decided: Plan) -> None:
        for pod in decided.removed:
            self._release(pod)
            self._delete(job, pod)
        for pod in decided.ended:
            self._delete(job, pod)
        failure, made = self._make(job, decided.created)
        decided = short_of(decided, len(decided.created) - made)
        self._write(job, decided.interim)
        for pod in decided.released:
            self._release(pod)
        self._write(job, decided.final)
        for event in decided.events:
            self._client.event(job, event.type, event.reason, event.message, COMPONENT)
        if decided.expired:
            self._client.delete(JOBS, namespace_of(job), name_of(job), uid=uid_of(job), propagation="Foreground")
        if failure is not None:
            raise failure

    def _make(self, job: Obj, wanted: tuple[NewPod, ...]) -> tuple[ApiError | None, int]:
        """What went wrong, if anything, and how many pods there are of those that are wanted."""
        for made, new in enumerate(wanted):
            try:
                self._create(job, new)
            except AdmissionPendingError:
                raise
            except ApiError as error:
                return error, made
        return None, len(wanted)

    def _write(self, job: Obj, status: Obj) -> None:
        if status != (job.get("status") or {}):
            job["status"] = status
            current = {**job, "metadata": {k: v for k, v in job["metadata"].items() if k != "resourceVersion"}}
            self._client.update_status(JOBS, namespace_of(job), current)

    def _release(self, pod: Obj) -> None:
        current = self._client.get("pods", namespace_of(pod), name_of(pod))
        if current is None or uid_of(current) != uid_of(pod) or FINALIZER not in finalizers(current):
            return
        rest = [one for one in finalizers(current) if one != FINALIZER]
        change = {"metadata": {"finalizers": rest or None}}
        self._client.patch("pods", namespace_of(pod), name_of(pod), change)

    def _delete(self, job: Obj, pod: Obj) -> None:
        current = self._client.get("pods", namespace_of(pod), name_of(pod))
        if current is None or is_deleting(current):
            return
        self._client.delete("pods", namespace_of(pod), name_of(pod), uid=uid_of(pod))
        self._client.event(job, "Normal", "SuccessfulDelete", f"Deleted pod: {name_of(pod)}", COMPONENT)

    def _create(self, job: Obj, new: NewPod) -> None:
        try:
            made = self._client.create("pods", namespace_of(job), new_pod(job, new))
        except AdmissionPendingError:
            raise
        except ApiError as error:
            self._client.event(job, "Warning", "FailedCreate", f"Error creating: {error}", COMPONENT)
            raise
        self._client.event(job, "Normal", "SuccessfulCreate", f"Created pod: {name_of(made)}", COMPONENT)


def new_pod(job: Obj, new: NewPod) -> Obj:
    """A pod of a Job; of an Indexed one with its index as annotation, label, host name and variable."""
    owner = controller_reference(job, "batch/v1", "Job")
    name = name_of(job)
    if new.index is None:
        return pod_from_template(job["spec"]["template"], owner, f"{name}-", [FINALIZER])
    pod = pod_from_template(job["spec"]["template"], owner, f"{name}-{new.index}-", [FINALIZER])
    annotations = pod["metadata"].setdefault("annotations", {})
    annotations[ANNOTATION] = str(new.index)
    if "backoffLimitPerIndex" in job["spec"]:
        annotations[INDEX_FAILURES] = str(new.failures)
    pod["metadata"].setdefault("labels", {})[ANNOTATION] = str(new.index)
    spec = pod["spec"]
    spec.setdefault("hostname", f"{name}-{new.index}")
    for group in ("initContainers", "containers"):
        if group in spec:
            spec[group] = [_with_index(one) for one in spec[group]]
    return pod


def _with_index(container: Obj) -> Obj:
    env = container.get("env") or []
    if any(one["name"] == "JOB_COMPLETION_INDEX" for one in env):
        return container
    reference = {"fieldPath": f"metadata.labels['{ANNOTATION}']"}
    variable = {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": reference}}
    return {**container, "env": [*env, variable]}
