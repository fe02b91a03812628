"""A small world for FineTuneJobs: the API in memory, children straight from it, and what happens to pods on demand."""

from __future__ import annotations

import json
from typing import Any

from fakes.kube import FakeClock, FakeKube
from tunebird.api.reports import Report
from tunebird.finetune.manifests import config_name
from tunebird.finetune.reconcile import FineTuneJobs
from tunebird.finetune.settings import FineTuneJobSettings
from tunebird.kube.conditions import timestamp
from tunebird.kube.meta import CONFIG_MAP, FINE_TUNE_JOB, JOB, OWNER_UID, POD, Key, Kind, Manifest, Ref, owned_by
from tunebird.kube.requeue import Requeue

Body = dict[str, Any]

DIGEST = f"sha256:{'a' * 64}"
ARTIFACT = {
    "uri": "pvc://models/support-bot/run",
    "digest": DIGEST,
    "forms": {"adapter": {"path": "adapter", "digest": DIGEST}, "merged": {"path": "merged", "digest": DIGEST}},
    "dataDigest": DIGEST,
}


def manifest(**spec: Any) -> Body:
    """A FineTuneJob that this version can run; `spec` replaces fields of the spec."""
    return {
        "apiVersion": FINE_TUNE_JOB.api_version,
        "kind": FINE_TUNE_JOB.kind,
        "metadata": {"name": "bot", "namespace": "default"},
        "spec": {
            "model": {"source": {"uri": "hf://org/model"}},
            "datasets": [{"name": "data", "source": {"uri": "pvc://data/rows.jsonl"}}],
            "output": {"storage": {"uri": "pvc://models/bot"}},
            **spec,
        },
    }


class LiveChildren:
    """`Children` that never lags."""

    def __init__(self, kube: FakeKube) -> None:
        self._kube = kube

    def of(self, owner_uid: str, kind: Kind) -> tuple[Manifest, ...]:
        return tuple(
            body
            for body in self._kube.all(kind)
            if owned_by(body, owner_uid) or (body["metadata"].get("labels") or {}).get(OWNER_UID) == owner_uid
        )

    def last_words(self, owner_uid: str) -> tuple[Manifest, ...]:
        return tuple(pod for pod in self._kube.gone if pod["metadata"]["labels"].get(OWNER_UID) == owner_uid)


class HeldReports:
    """`Reports` as a test sets them."""

    def __init__(self) -> None:
        self.newest: Report | None = None

    def latest(self, job_uid: str, attempt: int) -> Report | None:
        del job_uid
        return self.newest if self.newest is not None and self.newest.attempt == attempt else None


class World:
    """One FineTuneJob with everything around it."""

    def __init__(self, job: Body | None = None) -> None:
        self.kube = FakeKube()
        self.clock = FakeClock()
        self.reports = HeldReports()
        self.reconciler = FineTuneJobs(
            api=self.kube,
            children=LiveChildren(self.kube),
            reports=self.reports,
            settings=FineTuneJobSettings(trainer_image="tunebird/trainer:1", report_url="http://operator:8082"),
            clock=self.clock,
        )
        created = self.kube.put(job or manifest())
        self.key = Key("default", created["metadata"]["name"], created["metadata"]["uid"])

    @property
    def job(self) -> Body:
        return self.kube.objects[Ref(FINE_TUNE_JOB, self.key.namespace, self.key.name)]

    @property
    def status(self) -> Body:
        found: Body = self.job.get("status") or {}
        return found

    @property
    def reasons(self) -> list[str]:
        """Reasons of the events so far."""
        return [event.reason for event in self.kube.events]

    def condition(self, kind: str) -> Body:
        return next((item for item in self.status["conditions"] if item["type"] == kind), {})

    async def step(self) -> Requeue:
        return await self.reconciler.reconcile(self.key)

    async def settle(self) -> Requeue:
        """Passes until one writes nothing."""
        for _ in range(20):
            writes = len(self.kube.writes)
            requeue = await self.step()
            if len(self.kube.writes) == writes and requeue != Requeue.now():
                return requeue
        raise AssertionError("still writing after 20 passes")

    def change(self, **spec: Any) -> None:
        """Edit the spec as a user would."""
        self.kube.patch(Ref(FINE_TUNE_JOB, "default", self.key.name), {"spec": spec})

    def annotate(self, **annotations: str) -> None:
        named = {f"tunebird.dev/{name}": value for name, value in annotations.items()}
        self.kube.patch(Ref(FINE_TUNE_JOB, "default", self.key.name), {"metadata": {"annotations": named}})

    # --- what the cluster does ------------------------------------------------------------------------------------

    def jobs(self) -> list[Body]:
        return self.kube.all(JOB)

    def config(self, attempt: int = 1) -> Body | None:
        """The ConfigMap that the pods of an attempt mount."""
        return self.kube.find(CONFIG_MAP, config_name(f"{self.key.name}-{attempt}", self.key.uid))

    def pod(self, attempt: int = 1, rank: str = "x", **status: Any) -> Body:
        """A pod of an attempt, made from the Job's own template, in a state."""
        existing = self.kube.find(POD, f"{self.key.name}-{attempt}-{rank}")
        if existing is not None:
            return self.kube.put({**existing, "status": status or {"phase": "Pending"}})
        job = self.kube.objects[Ref(JOB, "default", f"{self.key.name}-{attempt}")]
        template = job["spec"]["template"]
        index = {"batch.kubernetes.io/job-completion-index": rank} if rank.isdecimal() else {}
        return self.kube.put(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"{self.key.name}-{attempt}-{rank}",
                    "namespace": "default",
                    "labels": {**template["metadata"]["labels"], **index},
                    "ownerReferences": [
                        {"uid": job["metadata"]["uid"], "kind": "Job", "name": job["metadata"]["name"]}
                    ],
                },
                "status": status or {"phase": "Pending"},
            }
        )

    def runs(self, attempt: int = 1, rank: str = "x") -> None:
        state = {"running": {"startedAt": timestamp(self.clock())}}
        self.pod(attempt, rank, phase="Running", containerStatuses=[{"name": "trainer", "state": state}])

    def exits(self, code: int, attempt: int = 1, *, deleting: bool = False, **told: Any) -> None:
        """The trainer ends: with its termination message, and its Job as Kubernetes has it afterwards."""
        pod = self.rank_exits("x", code, attempt, **told)
        if deleting:
            self.deleting(pod)
        self.ends(attempt, "Failed" if code else "Complete")

    def rank_exits(self, rank: str, code: int, attempt: int = 1, **told: Any) -> Body:
        """One pod of an attempt ends."""
        now = timestamp(self.clock())
        message = json.dumps({"v": 1, "attempt": attempt, "exitCode": code, **told}) if told else ""
        ended = {"exitCode": code, "reason": "Error" if code else "Completed", "message": message}
        state = {"terminated": {**ended, "startedAt": now, "finishedAt": now}}
        phase = "Failed" if code else "Succeeded"
        return self.pod(attempt, rank, phase=phase, containerStatuses=[{"name": "trainer", "state": state}])

    def deleting(self, pod: Body) -> None:
        """Somebody has deleted the pod; its Job has not yet noted how it ended."""
        held = {"deletionTimestamp": timestamp(self.clock()), "finalizers": ["batch.kubernetes.io/job-tracking"]}
        self.kube.patch(Ref(POD, "default", pod["metadata"]["name"]), {"metadata": held})

    def disrupted(self, reason: str, message: str, attempt: int = 1, rank: str = "x") -> None:
        """The pod's place was needed, or its node goes."""
        name = f"{self.key.name}-{attempt}-{rank}"
        told = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
        self.kube.patch(Ref(POD, "default", name), {"status": {"conditions": [told]}})

    def ends(self, attempt: int, condition: str) -> None:
        """The Job controller's verdict, if the Job is still there."""
        ref = Ref(JOB, "default", f"{self.key.name}-{attempt}")
        if ref in self.kube.objects:
            self.kube.patch(ref, {"status": {"conditions": [{"type": condition, "status": "True"}]}})

    def succeeds(self, attempt: int = 1) -> None:
        self.exits(0, attempt, phase="done", reason="Completed", artifact=ARTIFACT)

    def gone(self, attempt: int = 1, rank: str = "x") -> None:
        """The pod is gone from the API."""
        self.kube.remove(Ref(POD, "default", f"{self.key.name}-{attempt}-{rank}"))

    def report(self, attempt: int = 1, **told: Any) -> None:
        self.reports.newest = Report.model_validate({"tunebird": {"attempt": attempt, **told}})
