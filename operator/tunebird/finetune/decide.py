"""What to do next for a FineTuneJob: a pure function of what is saved and what is seen.

Attempts follow each other, never side by side: the next one starts when nothing of the last one runs any more.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from tunebird.finetune.endings import EVALUATED, PASSED, UNGATED, Ending, conclusive, ending
from tunebird.finetune.progress import noted_progress
from tunebird.finetune.reasons import REASONS, Then, Why
from tunebird.finetune.state import (
    STOPPING,
    Attempt,
    Decision,
    Happening,
    Observed,
    Outcome,
    Record,
    Start,
    Stop,
    Verb,
)
from tunebird.finetune.verbs import answered, next_number, unanswered

BACKOFF_SECONDS = 5.0
BACKOFF_LIMIT_SECONDS = 300.0
STUCK_SECONDS = 60.0
SLOW_SECONDS = 10.0


def decide(seen: Observed) -> Decision:
    """The next record and what to do about an unchanged one."""
    return answered(seen, _decided(seen))


def _decided(seen: Observed) -> Decision:
    record = seen.record
    if record.outcome is not None:
        return _after_the_end(seen, record)
    if seen.refusals:
        return _refused(seen, record)
    live = record.live
    if live is None:
        return _between_attempts(seen, replace(record, refused=""))
    return _during(seen, replace(record, refused=""), live)


def _refused(seen: Observed, record: Record) -> Decision:
    message = "; ".join(seen.refusals)
    news = () if record.refused == message else (Happening("InvalidSpec", message, warning=True),)
    return Decision(replace(record, refused=message), (), news)


# --- while an attempt is live -----------------------------------------------------------------------------------------


def _during(seen: Observed, record: Record, live: Attempt) -> Decision:
    ended = ending(seen, live)
    overdue = _overdue(seen, record)
    if overdue is not None and not conclusive(ended):
        ended = Ending(overdue, seen.now)
    if ended is not None:
        return _ended(seen, record, live, ended)
    noted, news, wait = _noted(seen, record, live)
    if seen.intent.suspend:
        noted = noted.with_attempt(replace(noted.attempts[-1], reason=STOPPING))
    if noted != record:
        return Decision(noted, (), news)
    return Decision(
        record, _steps(seen, live), (), _soonest(wait, _deadline_wait(seen, record), _slow_wait(seen, live))
    )


def _ended(seen: Observed, record: Record, live: Attempt, ended: Ending) -> Decision:
    """The attempt is closed; whether another follows or the job fails is seen between attempts."""
    checkpoint = ended.checkpoint or live.checkpoint
    closed = replace(live, end=ended.end, exit_code=ended.exit_code, checkpoint=checkpoint)
    if ended.why is None:
        return _succeeded(seen, record, closed, ended)
    why, record = ended.why, _graded(record, ended, ended.why.reason)
    closed = replace(closed, reason=why.reason, message=why.sentence)
    told = f"Attempt {live.number}: {why.reason}: {why.sentence}"
    match why.then:
        case Then.FAIL | Then.WAIT:
            name = why.reason if why.reason in EVALUATED else "AttemptFailed"
            return Decision(record.with_attempt(closed), (), (Happening(name, told, warning=True),))
        case Then.RETRY_FREE:
            return Decision(record.with_attempt(closed), (), (Happening("AttemptStopped", told),))
        case Then.RETRY:
            after = _counted(seen, record, closed)
            return Decision(after, (), (Happening("AttemptFailed", told, warning=True),))
        case _ as unreachable:
            assert_never(unreachable)


def _counted(seen: Observed, record: Record, closed: Attempt) -> Record:
    """With the restart counted, or the attempt as the last one where none is left."""
    if record.restarts < seen.intent.max_restarts:
        return replace(record, restarts=record.restarts + 1).with_attempt(replace(closed, counted=True))
    times = f" (after {record.restarts} restarts)" if record.restarts else ""
    return record.with_attempt(replace(closed, message=f"{closed.message}{times}"))


def _graded(record: Record, ended: Ending, reason: str) -> Record:
    """With what the evaluation found, and the artifact that it was about, if the run came that far."""
    if ended.artifact is None:
        return replace(record, evaluation=ended.evaluation or record.evaluation)
    graded = ended.artifact.model_copy(update={"gates_passed": reason == PASSED, "gates_reason": reason})
    return replace(record, evaluation=ended.evaluation, artifact=graded)


def _succeeded(seen: Observed, record: Record, closed: Attempt, ended: Ending) -> Decision:
    assert ended.artifact is not None  # an exit without one is NoArtifact
    reason = PASSED if seen.gates else UNGATED
    passed = "its gate passed" if seen.gates == 1 else f"all {seen.gates} gates passed"
    said = passed if seen.gates else "no gates were asked for"
    outcome = Outcome(True, reason, f"Artifact {ended.artifact.digest[:19]} is at {ended.artifact.uri}; {said}")
    done = _graded(record, ended, reason).with_attempt(replace(closed, reason="Succeeded", message=""))
    after = replace(done, outcome=outcome, completion_time=seen.now)
    return Decision(after, (), (Happening("Succeeded", outcome.message),))


def _overdue(seen: Observed, record: Record) -> Why | None:
    active, pending = seen.intent.active_deadline_seconds, seen.intent.pending_deadline_seconds
    if active is not None and record.start_time is not None and _past(seen, record.start_time, active):
        return Why("DeadlineExceeded", f"not finished within {active} s (activeDeadlineSeconds)")
    live = record.live
    if pending is None or live is None or live.start is not None or not _past(seen, live.created, pending):
        return None
    waits = waiting_for(seen)
    if waits is None:
        return Why("DeadlineExceeded", f"no pod ran within {pending} s (pendingDeadlineSeconds)")
    return replace(waits, message=f"{waits.message} (no pod ran within {pending} s)")


def _past(seen: Observed, since: datetime, seconds: float) -> bool:
    return seen.now >= since + timedelta(seconds=seconds)


def _noted(seen: Observed, record: Record, live: Attempt) -> tuple[Record, tuple[Happening, ...], float | None]:
    """With the Job's uid, the start, the newest checkpoint and progress; seconds until more progress may be noted."""
    job, pods = seen.job(live), seen.pods_of(live)
    begun = [pod.started for pod in pods if pod.started is not None]
    started = live.start or (max(begun) if len(begun) >= seen.nodes else None)
    uid = job.uid if job is not None and job.ours else live.job_uid
    checkpoint = live.checkpoint
    if seen.report is not None and seen.report.attempt == live.number:
        checkpoint = seen.report.tunebird.checkpoint or checkpoint
    progress, wait = noted_progress(record.progress, seen.report, live.number, seen.now)
    attempt = replace(live, start=started, job_uid=uid, checkpoint=checkpoint)
    after = replace(record, progress=progress).with_attempt(attempt)
    news = (
        () if checkpoint == live.checkpoint else (Happening("CheckpointSaved", f"Attempt {live.number}: {checkpoint}"),)
    )
    return after, news, wait


def _steps(seen: Observed, live: Attempt) -> tuple[Start | Stop, ...]:
    job = seen.job(live)
    if job is None:
        return () if seen.busy or live.job_uid else (Start(live.number),)
    if live.reason == STOPPING and job.ours and not job.finished and not job.deleting:
        return (Stop(job.name, job.uid),)
    return ()


# --- between attempts and after the end -------------------------------------------------------------------------------


def _between_attempts(seen: Observed, record: Record) -> Decision:
    last = record.last
    final = _final(seen, record)
    if final is not None:
        return _failed(seen, record, final)
    if seen.intent.suspend:
        news = (Happening("Suspended", "The job holds until spec.suspend is false"),) if record.start_time else ()
        return Decision(replace(record, start_time=None), (), news)
    if seen.referred:
        return _referring(seen, record)
    if seen.busy:
        return Decision(record, _stops(seen) if _stuck(seen, last) else (), (), STUCK_SECONDS)
    wait = _backoff(seen, record)
    if wait > 0:
        return Decision(record, (), (), wait)
    number = next_number(record)
    started = replace(
        record, start_time=record.start_time or seen.now, plan_hash=record.plan_hash or seen.plan_hash, progress=None
    )
    return Decision(started.with_attempt(Attempt(number, seen.now)), (), _start_news(last, number))


def _referring(seen: Observed, record: Record) -> Decision:
    """The results of other jobs are noted once all are there; until then the job waits, or fails with one of them."""
    troubles = [other.why for other in seen.referred if other.why is not None]
    broken = next((why for why in troubles if why.then is Then.FAIL), None)
    if broken is not None:
        return _failed(seen, record, Outcome(False, broken.reason, broken.sentence))
    if troubles:
        said = troubles[0].sentence
        news = () if record.awaiting == said else (Happening(troubles[0].reason, said),)
        return Decision(replace(record, awaiting=said), (), news, SLOW_SECONDS)
    results = tuple(other.result for other in seen.referred if other.result is not None)
    told = tuple(Happening("ReferenceResolved", f"{each.job} is {each.digest[:19]} at {each.uri}") for each in results)
    return Decision(replace(record, awaiting="", references=(*record.references, *results)), (), told)


def _final(seen: Observed, record: Record) -> Outcome | None:
    """The failure after which there is no further attempt, unless `retry` asked for one."""
    last = record.last
    if last is not None and not last.counted and not _retried(record, last):
        then = REASONS[last.reason].then if last.reason in REASONS else Then.RETRY_FREE
        if then is not Then.RETRY_FREE:
            return Outcome(False, last.reason, last.message)
    overdue = _overdue(seen, record)
    return Outcome(False, overdue.reason, overdue.sentence) if overdue is not None else None


def _retried(record: Record, last: Attempt) -> bool:
    wanted = ("retry", str(last.number + 1), "")
    return any((verb.name, verb.value, verb.refusal) == wanted for verb in record.verbs)


def _failed(seen: Observed, record: Record, outcome: Outcome) -> Decision:
    """Failed, once no Job is left that could go on by itself: a failed job needs no loop any more."""
    stops = _stops(seen)
    if stops:
        return Decision(record, stops, (), SLOW_SECONDS)
    news = Happening("Failed", f"{outcome.reason}: {outcome.message}", warning=True)
    return Decision(replace(record, outcome=outcome, completion_time=seen.now), (), (news,))


def _start_news(last: Attempt | None, number: int) -> tuple[Happening, ...]:
    if last is None:
        return (Happening("Planned", "The plan is in status.plan"), Happening("AttemptStarted", f"Attempt {number}"))
    come = f" from {last.checkpoint}" if last.checkpoint else ""
    if last.reason == "Suspended":
        return (Happening("Resumed", f"Attempt {number} goes on{come}"),)
    return (Happening("Retrying", f"Attempt {number} follows {last.reason}{come}"),)


def _stuck(seen: Observed, last: Attempt | None) -> bool:
    """Whether a Job of the past should have ended by itself long ago."""
    return last is None or last.end is None or _past(seen, last.end, STUCK_SECONDS)


def _stops(seen: Observed) -> tuple[Stop, ...]:
    return tuple(Stop(job.name, job.uid) for job in seen.jobs if job.ours and not job.finished and not job.deleting)


def _backoff(seen: Observed, record: Record) -> float:
    """Seconds until the next attempt may start: longer after each failure in a row that counted."""
    last = record.last
    if last is None or last.end is None or not last.counted or record.restarts == 0:
        return 0.0
    pause = min(BACKOFF_LIMIT_SECONDS, BACKOFF_SECONDS * 2.0 ** (record.restarts - 1))
    return (last.end + timedelta(seconds=pause) - seen.now).total_seconds()


def _after_the_end(seen: Observed, record: Record) -> Decision:
    if unanswered(record, seen.intent.retry):
        return _retry(seen, record, seen.intent.retry or "")
    return _expired(seen, record)


def _retry(seen: Observed, record: Record, value: str) -> Decision:
    number = next_number(record)
    succeeded = record.outcome is not None and record.outcome.succeeded
    wrong = f"the next attempt is {number}" if value != str(number) else ""
    refusal = "the job has succeeded" if succeeded else wrong
    noted = record.with_verb(Verb("retry", value, seen.now, refusal))
    if refusal:
        return Decision(noted, (), (Happening("VerbIgnored", f"retry {value}: {refusal}", warning=True),))
    afresh = replace(noted, outcome=None, artifact=None, evaluation=(), restarts=0)
    again = replace(afresh, completion_time=None, cleanup_time=None, start_time=None)
    return Decision(again, (), (Happening("RetryAccepted", f"Attempt {number} was asked for"),))


def _expired(seen: Observed, record: Record) -> Decision:
    ttl, completed = seen.intent.ttl_seconds, record.completion_time
    if ttl is None or completed is None or record.cleanup_time is not None:
        return Decision(record)
    if not _past(seen, completed, ttl):
        return Decision(record, (), (), (completed + timedelta(seconds=ttl) - seen.now).total_seconds())
    left = tuple(Stop(job.name, job.uid) for job in seen.jobs if job.ours and not job.deleting)
    if left or seen.jobs or seen.pods:
        return Decision(record, left, (), SLOW_SECONDS)
    return Decision(replace(record, cleanup_time=seen.now))


# --- why nothing runs yet, and when to look again ---------------------------------------------------------------------


def waiting_for(seen: Observed) -> Why | None:
    """What the live attempt waits for before its container runs; None: it runs, or nothing is known to be wrong."""
    live = seen.record.live
    if live is None and seen.record.outcome is None and not seen.intent.suspend:
        return next((other.why for other in seen.referred if other.why is not None), None)
    if live is None or live.start is not None:
        return None
    job, pods = seen.job(live), seen.pods_of(live)
    if job is not None and not job.ours:
        return Why("NameTaken", f"Job {job.name} belongs to somebody else")
    if job is None:
        old = next((pod.name for pod in seen.pods if not pod.terminal), None)
        return None if old is None else Why("PodTerminating", f"pod {old} of an earlier attempt has not ended")
    if pods:
        return next((pod.waiting for pod in pods if pod.waiting is not None), None)
    slow = _past(seen, job.created, SLOW_SECONDS)
    return Why("PodsNotCreated", f"Job {job.name} has no pod yet") if slow else None


def _slow_wait(seen: Observed, live: Attempt) -> float | None:
    job = seen.job(live)
    if job is None or seen.pods_of(live):
        return SLOW_SECONDS if job is None else None
    return max(0.5, (job.created + timedelta(seconds=SLOW_SECONDS) - seen.now).total_seconds())


def _deadline_wait(seen: Observed, record: Record) -> float | None:
    limits: list[tuple[datetime | None, int | None]] = [(record.start_time, seen.intent.active_deadline_seconds)]
    live = record.live
    if live is not None and live.start is None:
        limits.append((live.created, seen.intent.pending_deadline_seconds))
    waits = [
        (since + timedelta(seconds=limit) - seen.now).total_seconds()
        for since, limit in limits
        if since is not None and limit is not None
    ]
    return min(waits, default=None)


def _soonest(*waits: float | None) -> float | None:
    return min((wait for wait in waits if wait is not None), default=None)
