"""The values that a pass works on: what was saved, what is seen, what is decided. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from tunebird.api.jobstatus import Artifact, GateResult, JobProgress, ReferenceStatus
from tunebird.api.reports import Report
from tunebird.finetune.reasons import Exit, Why
from tunebird.finetune.references import Referred

ATTEMPTS_KEPT = 10
VERBS_KEPT = 10
STOPPING = "Suspended"  # the reason of a live attempt that is being stopped, saved before its Job is deleted


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of the trainer. Live until `end`; `job_uid` is empty until its Job was seen."""

    number: int
    created: datetime
    job_uid: str = ""
    start: datetime | None = None
    end: datetime | None = None
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    checkpoint: str = ""
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the job ended."""

    succeeded: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Verb:
    """An annotation that was acted on, or refused."""

    name: str
    value: str
    time: datetime
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """The job's own memory, in its status: nothing here is read back from a child that may be deleted."""

    attempts: tuple[Attempt, ...] = ()
    restarts: int = 0
    start_time: datetime | None = None
    completion_time: datetime | None = None
    cleanup_time: datetime | None = None
    outcome: Outcome | None = None
    artifact: Artifact | None = None
    progress: JobProgress | None = None
    verbs: tuple[Verb, ...] = ()
    plan_hash: str = ""
    refused: str = ""
    awaiting: str = ""
    references: tuple[ReferenceStatus, ...] = ()
    evaluation: tuple[GateResult, ...] = ()

    @property
    def last(self) -> Attempt | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None

    @property
    def live(self) -> Attempt | None:
        """The attempt that has not ended."""
        last = self.last
        return last if last is not None and last.end is None else None

    def with_attempt(self, attempt: Attempt) -> Record:
        """With the attempt of this number in its place, or appended; the oldest go."""
        others = tuple(other for other in self.attempts if other.number != attempt.number)
        return replace(self, attempts=(*others, attempt)[-ATTEMPTS_KEPT:])

    def with_verb(self, verb: Verb) -> Record:
        """With the verb consumed."""
        return replace(self, verbs=(*self.verbs, verb)[-VERBS_KEPT:])


@dataclass(frozen=True, slots=True)
class Intent:
    """The part of the spec that may change while a job runs, the verb `retry`, and verbs that nobody knows."""

    suspend: bool = False
    max_restarts: int = 3
    active_deadline_seconds: int | None = None
    pending_deadline_seconds: int | None = None
    ttl_seconds: int | None = None
    retry: str | None = None
    unknown: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class JobSeen:
    """A child Job. `finished` is "Complete", "Failed" or empty; `ours` is whether we are its controller."""

    name: str
    uid: str
    attempt: int
    created: datetime
    ours: bool = True
    deleting: bool = False
    finished: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class PodSeen:
    """A pod of an attempt. `exited` is set when the trainer's container ended, `waiting` while it can't start."""

    name: str
    attempt: int
    phase: str
    deleting: bool = False
    started: datetime | None = None
    ended: datetime | None = None
    waiting: Why | None = None
    exited: Exit | None = None
    disrupted: Why | None = None
    failed: Why | None = None
    artifact: Artifact | None = None
    checkpoint: str = ""
    evaluation: tuple[GateResult, ...] = ()
    node: int | None = None  # of several: its index in the Job

    @property
    def terminal(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Observed:
    """The world at `now`. `refusals`: what is wrong with the spec; `rejected`: the API server's answer to a Job;
    `referred`: the jobs it needs whose results are not in the record yet; `gone`: the last sight of the live
    attempt's pods that ended, where none of its pods is there; `suites`, `gates`: how many it asks for."""

    now: datetime
    name: str
    generation: int
    intent: Intent
    record: Record
    plan_hash: str = ""
    refusals: tuple[str, ...] = ()
    jobs: tuple[JobSeen, ...] = ()
    pods: tuple[PodSeen, ...] = ()
    report: Report | None = None
    rejected: Why | None = None
    referred: tuple[Referred, ...] = ()
    gone: tuple[PodSeen, ...] = ()
    nodes: int = 1
    suites: int = 0
    gates: int = 0

    def job(self, attempt: Attempt) -> JobSeen | None:
        """The Job of an attempt."""
        return next((job for job in self.jobs if job.attempt == attempt.number), None)

    def pods_of(self, attempt: Attempt) -> tuple[PodSeen, ...]:
        """The pods of an attempt."""
        return tuple(pod for pod in self.pods if pod.attempt == attempt.number)

    @property
    def busy(self) -> bool:
        """Whether a Job or pod of any attempt may still run or write."""
        return any(job.ours and not job.finished for job in self.jobs) or any(not pod.terminal for pod in self.pods)


@dataclass(frozen=True, slots=True)
class Start:
    """Create the children of an attempt."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Delete a Job with its pods; they get the time to save a checkpoint."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Happening:
    """An event to post once the record is saved."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """`record` is saved first if it changed; `actions` are for an unchanged one. `recheck`: seconds, None is never."""

    record: Record
    actions: tuple[Start | Stop, ...] = ()
    events: tuple[Happening, ...] = ()
    recheck: float | None = None
