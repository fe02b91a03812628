"""The cells of what runs pods, and of what scales and guards them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from devplane.printing.parts import NONE, UNKNOWN, UNSET, Cells, Obj, containers, first_of, labels, name, selector
from devplane.printing.parts import spec as spec_of
from devplane.printing.parts import status as status_of
from devplane.printing.pods import pod_cells
from devplane.printing.times import age, human, since


def _template(obj: Obj) -> tuple[str, str]:
    return containers(spec_of(obj).get("template"))


def _job(job: Obj, now: datetime) -> list[Any]:
    spec, status = spec_of(job), status_of(job)
    return [name(job), _job_status(job), _completions(spec, status), _job_duration(status, now), age(job, now),
            *_template(job), selector(spec.get("selector"))]  # fmt: skip


def _completions(spec: Obj, status: Obj) -> str:
    succeeded = status.get("succeeded", 0)
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallelism = spec.get("parallelism", 0)
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _job_status(job: Obj) -> str:
    held = {one["type"] for one in status_of(job).get("conditions") or () if one["status"] == "True"}
    if job["metadata"].get("deletionTimestamp"):
        held.add("Terminating")
    order = ("Complete", "Failed", "Terminating", "Suspended", "FailureTarget", "SuccessCriteriaMet")
    return next((one for one in order if one in held), "Running")


def _job_duration(status: Obj, now: datetime) -> str:
    """Only a job that completed has an end; the clock of one that failed runs on."""
    if not status.get("startTime"):
        return ""
    end = datetime.fromisoformat(status["completionTime"]) if status.get("completionTime") else now
    return human(end - datetime.fromisoformat(status["startTime"]))


def _cron_job(obj: Obj, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    job = spec_of(spec.get("jobTemplate") or {})
    last = status.get("lastScheduleTime")
    suspended = str(spec["suspend"]) if spec.get("suspend") is not None else UNSET
    return [name(obj), spec.get("schedule", ""), spec.get("timeZone", NONE), suspended, len(status.get("active") or ()),
            since(last, now) if last else NONE, age(obj, now), *containers(job.get("template")),
            selector(job.get("selector"))]  # fmt: skip


def _deployment(obj: Obj, now: datetime) -> list[Any]:
    status, spec = status_of(obj), spec_of(obj)
    return [name(obj), f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}", status.get("updatedReplicas", 0),
            status.get("availableReplicas", 0), age(obj, now), *_template(obj),
            selector(spec.get("selector"))]  # fmt: skip


def _counts(obj: Obj) -> list[int]:
    status = status_of(obj)
    return [spec_of(obj).get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0)]


def _replica_set(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), *_counts(obj), age(obj, now), *_template(obj), selector(spec_of(obj).get("selector"))]


def _replication_controller(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), *_counts(obj), age(obj, now), *_template(obj), labels(spec_of(obj).get("selector"))]


def _stateful_set(obj: Obj, now: datetime) -> list[Any]:
    ready = status_of(obj).get("readyReplicas", 0)
    return [name(obj), f"{ready}/{spec_of(obj).get('replicas', 0)}", age(obj, now), *_template(obj)]


_DAEMONS = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled",
            "numberAvailable")  # fmt: skip


def _daemon_set(obj: Obj, now: datetime) -> list[Any]:
    status, spec = status_of(obj), spec_of(obj)
    nodes = ((spec.get("template") or {}).get("spec") or {}).get("nodeSelector")
    return [name(obj), *(status.get(field, 0) for field in _DAEMONS), labels(nodes), age(obj, now), *_template(obj),
            selector(spec.get("selector"))]  # fmt: skip


def _pod_template(obj: Obj, _: datetime) -> list[Any]:
    template = obj.get("template") or {}
    return [name(obj), *containers(template), labels((template.get("metadata") or {}).get("labels"))]


def _revision(obj: Obj, now: datetime) -> list[Any]:
    owner = next((one for one in obj["metadata"].get("ownerReferences") or () if one.get("controller")), None)
    return [name(obj), _owner(owner) if owner else NONE, obj.get("revision", 0), age(obj, now)]


def _owner(owner: Obj) -> str:
    group = owner["apiVersion"].rpartition("/")[0]
    kind = f"{owner['kind']}.{group}" if group else owner["kind"]
    return f"{kind.lower()}/{owner['name']}"


def _budget(obj: Obj, now: datetime) -> list[Any]:
    least, most = (spec_of(obj).get(key, "N/A") for key in ("minAvailable", "maxUnavailable"))
    return [name(obj), str(least), str(most), status_of(obj).get("disruptionsAllowed", 0), age(obj, now)]


def _autoscaler(obj: Obj, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    target = spec.get("scaleTargetRef") or {}
    least = str(spec["minReplicas"]) if spec.get("minReplicas") is not None else UNSET
    return [name(obj), f"{target.get('kind', '')}/{target.get('name', '')}", _targets(spec, status), least,
            spec.get("maxReplicas", 0), status.get("currentReplicas", 0), age(obj, now)]  # fmt: skip


def _targets(spec: Obj, status: Obj) -> str:
    metrics, current = spec.get("metrics") or [], status.get("currentMetrics") or []
    shown = [_target(one, current[at] if at < len(current) else {}) for at, one in enumerate(metrics)]
    return first_of(shown, NONE, most=2, between=", ")


def _target(metric: Obj, current: Obj) -> str:
    """A metric of an autoscaler: what it is now, and what it shall be."""
    field = metric["type"][0].lower() + metric["type"][1:]
    wanted, now = metric[field].get("target") or {}, (current.get(field) or {}).get("current") or {}
    if field in ("resource", "containerResource"):
        return f"{metric[field].get('name', '')}: {_of_resource(wanted, now)}"
    if "averageValue" in wanted:
        average = "" if field == "pods" else " (avg)"
        return f"{now.get('averageValue', UNKNOWN)}/{wanted['averageValue']}{average}"
    return f"{now.get('value', UNKNOWN)}/{wanted.get('value', UNKNOWN)}"


def _of_resource(wanted: Obj, now: Obj) -> str:
    if "averageValue" in wanted:
        return f"{now.get('averageValue', UNKNOWN)}/{wanted['averageValue']}"
    used, most = now.get("averageUtilization"), wanted.get("averageUtilization")
    return f"{UNKNOWN if used is None else f'{used}%'}/{'<auto>' if most is None else f'{most}%'}"


WORKLOADS: Mapping[str, Cells] = {
    "pods": pod_cells,
    "podtemplates": _pod_template,
    "jobs.batch": _job,
    "cronjobs.batch": _cron_job,
    "deployments.apps": _deployment,
    "replicasets.apps": _replica_set,
    "replicationcontrollers": _replication_controller,
    "statefulsets.apps": _stateful_set,
    "daemonsets.apps": _daemon_set,
    "controllerrevisions.apps": _revision,
    "poddisruptionbudgets.policy": _budget,
    "horizontalpodautoscalers.autoscaling": _autoscaler,
}
