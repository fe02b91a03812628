"""Random histories of a job in a world that lies, lags and interrupts: what must hold always does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tunebird.api.jobstatus import Artifact
from tunebird.finetune.decide import decide
from tunebird.finetune.reasons import REASONS, Exit, Why
from tunebird.finetune.state import Decision, Intent, JobSeen, Observed, PodSeen, Record, Start, Stop

START = datetime(2026, 1, 1, tzinfo=UTC)
ARTIFACT = Artifact(uri="pvc://m/a", digest=f"sha256:{'a' * 64}")
ENDS = st.sampled_from([0, 0, 2, 3, 5, 85, 85, 86, 137, 143, 200, 202, 203])


class Life(RuleBasedStateMachine):
    """The cluster, the clock and the user around `decide`; statuses that are lost, operators that die in between."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.record = Record()
        self.intent = Intent()
        self.jobs: dict[int, JobSeen] = {}
        self.pods: dict[int, PodSeen] = {}
        self.made: list[int] = []
        self.counted = 0
        self.budget = 3
        self.ended_as: object = None

    @initialize(restarts=st.integers(0, 3), pending=st.sampled_from([None, 50]), active=st.sampled_from([None, 400]))
    def begin(self, restarts: int, pending: int | None, active: int | None) -> None:
        self.budget = restarts
        self.intent = Intent(
            max_restarts=restarts, pending_deadline_seconds=pending, active_deadline_seconds=active, ttl_seconds=None
        )

    def seen(self) -> Observed:
        return Observed(
            now=self.now,
            name="bot",
            generation=1,
            intent=self.intent,
            record=self.record,
            jobs=tuple(self.jobs.values()),
            pods=tuple(self.pods.values()),
        )

    # --- the operator ---------------------------------------------------------------------------------------------

    @rule(lost=st.booleans())
    def reconciles(self, lost: bool) -> None:
        """One pass; where the status write is lost nothing may be acted on."""
        decision = decide(self.seen())
        assert decide(self.seen()) == decision, "the same observation must give the same decision"
        if decision.record != self.record:
            if not lost:
                self._save(decision)
            return
        for action in decision.actions:
            self._act(action)

    def _save(self, decision: Decision) -> None:
        before, after = self.record, decision.record
        if before.outcome is not None and after.outcome is None:
            assert any(verb.value == str(before.attempts[-1].number + 1) for verb in after.verbs), "only retry reopens"
            self.ended_as = None
        self.record = after

    def _act(self, action: Start | Stop) -> None:
        match action:
            case Start(attempt):
                if attempt in self.jobs:
                    return
                assert not self._running(), "two attempts at once"
                assert attempt == self.record.attempts[-1].number
                self.made.append(attempt)
                self.jobs[attempt] = JobSeen(f"bot-{attempt}", f"uid-{len(self.made)}", attempt, self.now)
            case Stop(name, uid):
                found = next((job for job in self.jobs.values() if (job.name, job.uid) == (name, uid)), None)
                if found is not None:
                    del self.jobs[found.attempt]
                    self._kill(found.attempt)

    def _running(self) -> bool:
        return any(not job.finished for job in self.jobs.values()) or any(
            not pod.terminal for pod in self.pods.values()
        )

    def _kill(self, attempt: int) -> None:
        pod = self.pods.get(attempt)
        if pod is not None and not pod.terminal:
            self.pods[attempt] = replace(pod, deleting=True)

    # --- the cluster ----------------------------------------------------------------------------------------------

    @precondition(lambda self: any(not job.finished and n not in self.pods for n, job in self.jobs.items()))
    @rule(waits=st.sampled_from([None, "InsufficientGPUs", "ImagePullBackOff", "InvalidImageName"]))
    def pod_appears(self, waits: str | None) -> None:
        number = next(n for n, job in self.jobs.items() if not job.finished and n not in self.pods)
        waiting = Why(waits, "as told") if waits is not None else None
        self.pods[number] = PodSeen(f"bot-{number}-x", number, "Pending", waiting=waiting)

    @precondition(lambda self: any(pod.phase == "Pending" and not pod.deleting for pod in self.pods.values()))
    @rule()
    def pod_runs(self) -> None:
        number, pod = next((n, p) for n, p in self.pods.items() if p.phase == "Pending" and not p.deleting)
        self.pods[number] = replace(pod, phase="Running", started=self.now, waiting=None)

    @precondition(lambda self: any(pod.phase == "Running" for pod in self.pods.values()))
    @rule(code=ENDS, disrupted=st.booleans(), artifact=st.booleans())
    def pod_exits(self, code: int, disrupted: bool, artifact: bool) -> None:
        number, pod = next((n, p) for n, p in self.pods.items() if p.phase == "Running")
        ended = replace(
            pod,
            phase="Failed" if code else "Succeeded",
            ended=self.now,
            exited=Exit(code, message="as told"),
            disrupted=Why("Preempted", "") if disrupted else None,
            artifact=ARTIFACT if artifact and code == 0 else None,
        )
        self.pods[number] = ended

    @rule()
    def job_controller_works(self) -> None:
        for number, job in list(self.jobs.items()):
            pod = self.pods.get(number)
            if not job.finished and pod is not None and pod.terminal:
                self.jobs[number] = replace(job, finished="Complete" if pod.phase == "Succeeded" else "Failed")
        for number, pod in list(self.pods.items()):
            if pod.deleting and (pod.terminal or pod.phase == "Pending"):
                del self.pods[number]

    @precondition(lambda self: bool(self.jobs))
    @rule()
    def somebody_deletes_a_job(self) -> None:
        number = max(self.jobs)
        del self.jobs[number]
        self._kill(number)

    @precondition(lambda self: bool(self.pods))
    @rule()
    def somebody_deletes_a_pod_by_force(self) -> None:
        number = max(self.pods)
        del self.pods[number]
        if number in self.jobs and not self.jobs[number].finished:
            self.jobs[number] = replace(self.jobs[number], finished="Failed", message="its pod is gone")

    @rule(seconds=st.integers(1, 400))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(seconds=st.integers(1, 30))
    def the_clock_jumps_back(self, seconds: int) -> None:
        self.now -= timedelta(seconds=seconds)

    # --- the user -------------------------------------------------------------------------------------------------

    @rule(suspend=st.booleans())
    def suspends_or_resumes(self, suspend: bool) -> None:
        self.intent = replace(self.intent, suspend=suspend)

    @rule(ahead=st.integers(-1, 2))
    def asks_to_retry(self, ahead: int) -> None:
        last = self.record.attempts[-1].number if self.record.attempts else 0
        self.intent = replace(self.intent, retry=str(last + ahead))

    # --- what always holds ----------------------------------------------------------------------------------------

    @invariant()
    def one_attempt_at_a_time(self) -> None:
        live_jobs = [number for number, job in self.jobs.items() if not job.finished]
        live_pods = [number for number, pod in self.pods.items() if not pod.terminal]
        assert len({*live_jobs, *live_pods}) <= 1

    @invariant()
    def the_budget_is_kept(self) -> None:
        assert self.record.restarts <= self.budget
        assert len(self.made) == len(set(self.made)) or self.record.attempts, "numbers are not used twice"

    @invariant()
    def an_end_stays_an_end(self) -> None:
        outcome = self.record.outcome
        if outcome is None:
            return
        assert self.ended_as in (None, outcome)
        self.ended_as = outcome
        assert outcome.succeeded or outcome.reason in REASONS
        assert outcome.succeeded == (
            self.record.artifact is not None and self.record.attempts[-1].reason == "Succeeded"
        )

    def teardown(self) -> None:
        """Calm: nobody interferes, pods run and succeed. The job ends, or waits for what it says it waits for."""
        self.intent = replace(self.intent, suspend=False, retry=None)
        for _ in range(60):
            self.reconciles(lost=False)
            self.job_controller_works()
            for number, job in list(self.jobs.items()):
                if not job.finished and number not in self.pods:
                    self.pod_appears(None)
            for pod in list(self.pods.values()):
                if pod.phase == "Pending" and not pod.deleting:
                    self.pod_runs()
                elif pod.phase == "Running":
                    self.pod_exits(0, disrupted=False, artifact=True)
            self.now += timedelta(seconds=100)
            if self.record.outcome is not None:
                return
        raise AssertionError(f"a calm world did not end: {self.record}")


Life.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLife = Life.TestCase
