"""Jobs and pods as a decision sees them: by labels, conditions and the state of the trainer's container."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from tunebird.api.jobstatus import Artifact, ArtifactForm, GateResult, Servable
from tunebird.api.reports import ArtifactResult, GateTold, Termination
from tunebird.finetune.merge import CONTAINER
from tunebird.finetune.reasons import Exit, Why, why_disrupted, why_pod_failed, why_unschedulable, why_waiting
from tunebird.finetune.state import JobSeen, PodSeen
from tunebird.kube.conditions import instant
from tunebird.kube.meta import ATTEMPT, Manifest, owned_by

NODE = "batch.kubernetes.io/job-completion-index"


def job_seen(job: Manifest, owner_uid: str, attempt: int | None = None) -> JobSeen:
    """A Job as the decision sees it."""
    metadata, status = job["metadata"], job.get("status") or {}
    ended = next((c for c in status.get("conditions") or () if _holds(c) and c["type"] in ("Complete", "Failed")), None)
    return JobSeen(
        name=metadata["name"],
        uid=metadata["uid"],
        attempt=_attempt(job) if attempt is None else attempt,
        created=instant(metadata["creationTimestamp"]),
        ours=owned_by(job, owner_uid),
        deleting=bool(metadata.get("deletionTimestamp")),
        finished=ended["type"] if ended is not None else "",
        message=_why_ended(ended) if ended is not None else "",
    )


def _why_ended(condition: Mapping[str, Any]) -> str:
    """That our Jobs' limit of no retry is reached says only that a pod failed."""
    return "" if condition.get("reason") == "BackoffLimitExceeded" else str(condition.get("message", ""))


def _moment(text: str | None) -> datetime | None:
    return instant(text) if text else None


def _attempt(child: Manifest) -> int:
    return _number(child, ATTEMPT) or 0


def _number(child: Manifest, label: str) -> int | None:
    told = str((child["metadata"].get("labels") or {}).get(label, ""))
    return int(told) if told.isdecimal() else None


def _holds(condition: Mapping[str, Any]) -> bool:
    return condition.get("status") == "True"


def pod_seen(pod: Manifest) -> PodSeen:
    """A pod as the decision sees it: by the state of its trainer container."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    state = _trainer_state(status)
    terminated, running = state.get("terminated"), state.get("running") or {}
    ended = terminated or {}
    told = termination(ended.get("message", "")) if terminated is not None else None
    begun = running.get("startedAt") or (ended.get("startedAt") if ended.get("reason") != "StartError" else None)
    return PodSeen(
        name=metadata["name"],
        attempt=_attempt(pod),
        phase=status.get("phase", "Pending"),
        deleting=bool(metadata.get("deletionTimestamp")),
        started=_moment(begun),
        ended=_moment(ended.get("finishedAt")),
        waiting=_waiting(status, state),
        exited=_exit(terminated, told) if terminated is not None else None,
        disrupted=_disrupted(status),
        failed=why_pod_failed(status.get("reason", ""), status.get("message", "")) if not state else None,
        artifact=_artifact(told.artifact) if told is not None and told.artifact is not None else None,
        checkpoint=(told.checkpoint or "") if told is not None else "",
        evaluation=tuple(_result(entry) for entry in told.evaluation) if told is not None else (),
        node=_number(pod, NODE),
    )


def _trainer_state(status: Mapping[str, Any]) -> Mapping[str, Any]:
    containers = status.get("containerStatuses") or ()
    own = next((container for container in containers if container["name"] == CONTAINER), None)
    state: Mapping[str, Any] = own.get("state") or {} if own is not None else {}
    return state


def termination(message: str) -> Termination | None:
    """What the trainer said at its end; None where the message is something else (the log's tail, the runtime's)."""
    try:
        return Termination.model_validate_json(message)
    except ValidationError:
        return None


def _exit(terminated: Mapping[str, Any], told: Termination | None) -> Exit:
    return Exit(
        code=terminated["exitCode"],
        reason=terminated.get("reason", ""),
        message=_shortened(told.message) if told is not None else _last_line(str(terminated.get("message", ""))),
        told=told.reason if told is not None else "",
    )


def _last_line(log: str) -> str:
    """Of a trainer that ended without a word of its own the kubelet gives the end of its log: what it did last."""
    return _shortened(next((line for line in reversed(log.splitlines()) if line.strip()), ""))


def _shortened(text: str, limit: int = 1000) -> str:
    """The end of a long text in one line."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"…{line[-limit:]}"


def _waiting(status: Mapping[str, Any], state: Mapping[str, Any]) -> Why | None:
    if status.get("phase") != "Pending":
        return None
    if "waiting" in state:
        return why_waiting(state["waiting"].get("reason", ""), state["waiting"].get("message", ""))
    scheduled = _condition(status, "PodScheduled")
    if scheduled is None or scheduled.get("status") == "True":
        return Why("PodStarting", "") if scheduled is not None else Why("Scheduling", "")
    if scheduled.get("reason") == "SchedulingGated":
        return Why("SchedulingGated", scheduled.get("message", ""))
    return why_unschedulable(scheduled.get("message", ""))


def _disrupted(status: Mapping[str, Any]) -> Why | None:
    condition = _condition(status, "DisruptionTarget")
    if condition is None or not _holds(condition):
        return None
    return why_disrupted(condition.get("reason", "Disrupted"), condition.get("message", ""))


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    conditions = status.get("conditions") or ()
    return next((condition for condition in conditions if condition["type"] == kind), None)


def _artifact(result: ArtifactResult) -> Artifact:
    """The artifact of a job without gates: never chosen by a selector."""
    return Artifact(
        uri=result.uri,
        digest=result.digest,
        base_digest=result.base_digest,
        data_digest=result.data_digest,
        config_digest=result.config_digest,
        code_digest=result.code_digest,
        forms={name: ArtifactForm(path=form.path, digest=form.digest) for name, form in result.forms.items()},
        gates_passed=False,
        gates_reason="Ungated",
        card=f"{result.uri}/README.md",
        provenance=f"{result.uri}/tunebird.json",
        servable=_servable(result),
    )


def _result(told: GateTold) -> GateResult:
    return GateResult(
        metric=told.metric,
        value=_figure(told.value),
        low=_figure(told.low),
        high=_figure(told.high),
        limit=_figure(told.limit),
        bound=told.bound,
        compare_to=told.compare_to,
        passed=told.passed,
    )


def _figure(number: float | None) -> str:
    return "" if number is None else f"{number:.4g}"


def _servable(result: ArtifactResult) -> tuple[Servable, ...]:
    merged = "merged" in result.forms
    reason = "" if merged else "output.forms has no merged form"
    return tuple(Servable(runtime=name, form="merged", loads=merged, reason=reason) for name in ("vllm", "tunebird"))
