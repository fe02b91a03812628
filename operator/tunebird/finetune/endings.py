"""How an attempt ended, from what its pods and its Job left behind. Pure.

Of several pods the first that failed by itself names the reason; those that were only taken down with it don't.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tunebird.api.jobstatus import Artifact, GateResult
from tunebird.finetune.reasons import SIGNALS, Exit, Then, Why, why_exited
from tunebird.finetune.state import STOPPING, Attempt, JobSeen, Observed, PodSeen

COLLATERAL = frozenset({"Killed", "Preempted", "RendezvousTimeout", "Suspended", "PodDeleted"})
TAKEN_DOWN = frozenset({"RendezvousTimeout", "PodDeleted"})
COLLATERAL_SECONDS = 180.0  # longer than the grace period: whoever failed first has ended by then
UNGATED, PASSED = "Ungated", "GatesPassed"
EVALUATED = frozenset({"GateFailed", "EvaluationInconclusive", "EvaluationFailed"})


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended; `why` is None for success. `collateral`: something else may have ended it."""

    why: Why | None
    end: datetime
    exit_code: int | None = None
    artifact: Artifact | None = None
    checkpoint: str = ""
    evaluation: tuple[GateResult, ...] = ()
    collateral: bool = False


def conclusive(ending: Ending | None) -> bool:
    """Whether the trainer came to an end of its own, which a deadline doesn't change any more."""
    return ending is not None and (ending.why is None or ending.why.then is Then.FAIL)


def ending(seen: Observed, live: Attempt) -> Ending | None:
    """How the attempt ended, if it has."""
    if seen.rejected is not None:
        return Ending(seen.rejected, seen.now)
    pods = seen.pods_of(live)
    ended = tuple(found for pod in pods if (found := _pod_ending(seen, live, pod)) is not None)
    failed = tuple(each for each in ended if each.why is not None)
    published = next((each for each in ended if each.why is None and each.artifact is not None), None)
    if published is not None:
        return _judged(seen, published)
    if failed:
        culprit = _culprit(seen, failed, waiting=len(ended) < len(pods))
        return None if culprit is None else _or_deleted(seen, live, culprit)
    if len(ended) >= seen.nodes:
        return replace(ended[0], why=Why("NoArtifact", ""))
    return None if any(not pod.terminal for pod in pods) else _lost(seen, live)


def _culprit(seen: Observed, failed: tuple[Ending, ...], *, waiting: bool) -> Ending | None:
    """The first that failed by itself; while pods still end, one of them may turn out to be it."""
    first = min(failed, key=lambda each: (each.collateral, each.end, _lost_others(each)))
    late = seen.now >= first.end + timedelta(seconds=COLLATERAL_SECONDS)
    return None if first.collateral and waiting and not late else first


def _lost_others(found: Ending) -> bool:
    """Ends are told in whole seconds: of two in one, who lost the others came after whom it lost."""
    return found.why is not None and found.why.reason == "RendezvousTimeout"


def _or_deleted(seen: Observed, live: Attempt, found: Ending) -> Ending:
    """A pod that had started and was deleted by force says nothing. Those that the Job's end then took down with it
    (their own deletion tells so: a Job deletes no pod that has ended) don't stand for it."""
    pods = seen.pods_of(live)
    taken_down = found.why is not None and found.why.reason in TAKEN_DOWN and all(pod.deleting for pod in pods)
    if not taken_down or live.start is None or live.reason == STOPPING or len(pods) >= seen.nodes:
        return found
    absent = ", ".join(str(node) for node in range(seen.nodes) if node not in {pod.node for pod in pods})
    why = Why("PodDeleted", f"the pod of node {absent} of Job {seen.name}-{live.number} was deleted")
    return replace(found, why=why, exit_code=None)


def _judged(seen: Observed, published: Ending) -> Ending:
    """An artifact whose gates were not shown to hold is no success, whatever the exit code says."""
    if not seen.gates:
        return published
    results = tuple(result for result in published.evaluation if result.passed is not None)
    if results and all(result.passed for result in results):
        return published
    if not results:
        return replace(published, why=Why("EvaluationInconclusive", "the trainer said nothing about the gates"))
    return replace(published, why=Why("GateFailed", gates_sentence(results)))


def gates_sentence(results: tuple[GateResult, ...]) -> str:
    """The gates that were missed: value, interval and limit of each."""
    return "; ".join(gate_sentence(result) for result in results if result.passed is False)


def gate_sentence(result: GateResult) -> str:
    """``core.accuracy is 0.81 (0.72 to 0.88), minimum 0.95``."""
    found = f"is {result.value} ({result.low} to {result.high})" if result.value else "was not measured"
    return f"{result.metric} {found}, {result.bound or 'limit'} {result.limit}"


def _pod_ending(seen: Observed, live: Attempt, pod: PodSeen) -> Ending | None:
    found = _own_ending(seen, live, pod)
    if found is None or found.why is None:
        return found
    named = f"pod {pod.name}: {found.why.message}" if seen.nodes > 1 else found.why.message
    collateral = found.why.reason in COLLATERAL and pod.disrupted is None
    return replace(found, why=replace(found.why, message=named), collateral=collateral)


def _own_ending(seen: Observed, live: Attempt, pod: PodSeen) -> Ending | None:
    end = pod.ended or seen.now
    if pod.exited is not None:
        why = _why_exited(live, pod, pod.exited)
        return Ending(why, end, pod.exited.code, pod.artifact, pod.checkpoint, pod.evaluation)
    if pod.phase == "Failed":
        return Ending(pod.disrupted or pod.failed or Why("PodDeleted", f"pod {pod.name} failed"), end)
    if pod.waiting is not None and pod.waiting.then is Then.FAIL:
        return Ending(pod.waiting, seen.now)
    return None


def _why_exited(live: Attempt, pod: PodSeen, exited: Exit) -> Why | None:
    if exited.code == 0:
        return None
    stopped = exited.code == 85 or exited.code in SIGNALS
    if stopped and pod.disrupted is not None:
        return pod.disrupted
    if stopped and live.reason == STOPPING:
        return Why("Suspended", exited.message)
    if exited.code in SIGNALS and pod.deleting and exited.reason != "OOMKilled":
        return Why("PodDeleted", f"pod {pod.name} was deleted")
    return why_exited(exited)


def _lost(seen: Observed, live: Attempt) -> Ending | None:
    """An attempt none of whose pods is there: by their last sight where they ended before that, else by its Job."""
    job = seen.job(live)
    if job is not None:
        return _of_job(seen, live, job) if job.ours and job.finished else None
    if live.reason == STOPPING:
        return _last_words(seen, live) or Ending(Why("Suspended", ""), seen.now)
    if live.job_uid:
        return Ending(Why("JobDeleted", f"Job {seen.name}-{live.number} was deleted"), seen.now)
    return None


def _last_words(seen: Observed, live: Attempt) -> Ending | None:
    return ending(replace(seen, pods=seen.gone, gone=()), live) if seen.gone else None


def _of_job(seen: Observed, live: Attempt, job: JobSeen) -> Ending:
    found = _last_words(seen, live)
    if found is not None:
        return found
    message = job.message if job.finished == "Failed" else ""
    gone = f"pods of Job {job.name} are" if seen.nodes > 1 else f"pod of Job {job.name} is"
    return Ending(Why("PodDeleted", f"the {gone} gone: {message or 'no result was left'}"), seen.now)
