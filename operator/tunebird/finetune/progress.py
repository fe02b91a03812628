"""How far the training is, from the newest report; noted seldom enough that the API server doesn't mind. Pure."""

from __future__ import annotations

from datetime import datetime

from tunebird.api.jobstatus import JobProgress
from tunebird.api.reports import Progress, Report
from tunebird.kube.conditions import instant, timestamp

SOON_SECONDS = 2.0
LATE_SECONDS = 10.0


def noted_progress(
    before: JobProgress | None, report: Report | None, attempt: int, now: datetime
) -> tuple[JobProgress | None, float | None]:
    """Progress to save, and the seconds until a newer one that is held back may be.

    A new attempt, phase or checkpoint, and the end, are noted at once; a step of 1 % after 2 s, anything after 10 s,
    what is done within a phase too.
    """
    if report is None or report.attempt != attempt:
        return before, None
    after = _progress(report.tunebird, now)
    if before is None or before.updated is None or _turned(before, after):
        return after, None
    if _same(before, after):
        return before, None
    far = after.of > 0 and abs(after.step - before.step) * 100 >= after.of
    wait = (SOON_SECONDS if far else LATE_SECONDS) - (now - instant(before.updated)).total_seconds()
    return (before, wait) if wait > 0 else (after, None)


def _turned(before: JobProgress, after: JobProgress) -> bool:
    finished = after.of > 0 and after.step == after.of and before.step != after.step
    key = (before.attempt, before.phase, before.checkpoint)
    return finished or key != (after.attempt, after.phase, after.checkpoint)


def _same(before: JobProgress, after: JobProgress) -> bool:
    return before.model_copy(update={"updated": after.updated}) == after


def _progress(told: Progress, now: datetime) -> JobProgress:
    return JobProgress(
        attempt=told.attempt,
        phase=told.phase,
        activity=told.activity,
        step=told.step,
        of=told.of,
        summary=f"{told.step}/{told.of}" if told.of else "",
        epoch=_figure(told.epoch) or "",
        loss=_figure(told.loss) or "",
        eval_loss=_figure(told.eval_loss),
        tokens_per_second=_figure(told.tokens_per_second),
        eta_seconds=told.eta_seconds,
        eta=for_people(told.eta_seconds),
        checkpoint=told.checkpoint or "",
        updated=timestamp(now),
    )


def _figure(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"


def for_people(seconds: int | None) -> str:
    """``1h05m``, ``3m20s`` or ``45s``."""
    if seconds is None:
        return ""
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{left:02d}s" if minutes else f"{left}s"
