"""Other jobs whose results a job needs: as its base (SFT, then DPO), or to compare with. Pure.

An artifact is resolved once, before the first attempt, and kept in the status: what a job trains from never changes,
even if the other job is deleted or made again.
"""

from __future__ import annotations

from dataclasses import dataclass

from tunebird.api.finetunejob import FineTuneJob, FineTuneJobSpec
from tunebird.api.jobstatus import ReferenceStatus
from tunebird.finetune.evaluation import compared_jobs
from tunebird.finetune.reasons import Why
from tunebird.kube.conditions import conditions_of, find
from tunebird.kube.meta import Manifest

MERGED = "merged"


@dataclass(frozen=True, slots=True)
class Referred:
    """A job that the spec names: its result, or why there is none (yet)."""

    name: str
    result: ReferenceStatus | None = None
    why: Why | None = None


def referenced(spec: FineTuneJobSpec) -> tuple[str, ...]:
    """Names of the jobs whose results are needed."""
    base = () if spec.model.job_ref is None else (spec.model.job_ref.name,)
    return tuple(sorted({*base, *compared_jobs(spec)}))


def referred(name: str, manifest: Manifest | None, own_uid: str) -> Referred:
    """What the named job has come to."""
    if manifest is None:
        return Referred(name, why=Why("JobNotFound", f"there is no FineTuneJob {name} in this namespace (yet)"))
    if manifest["metadata"]["uid"] == own_uid:
        return Referred(
            name, why=Why("ReferenceFailed", f"the job names itself ({name}) as its own base or comparison")
        )
    failed = find(conditions_of(manifest.get("status") or {}), "Failed")
    if failed is not None and failed.status == "True":
        return Referred(
            name, why=Why("ReferenceFailed", f"FineTuneJob {name} failed: {failed.reason}: {failed.message}")
        )
    return _result(name, manifest)


def _result(name: str, manifest: Manifest) -> Referred:
    try:
        job = FineTuneJob.model_validate(manifest)
    except ValueError as error:
        return Referred(name, why=Why("WaitingForJob", f"FineTuneJob {name} can't be read: {error}"))
    succeeded = find(conditions_of(manifest.get("status") or {}), "Succeeded")
    artifact = job.status.artifact
    if succeeded is None or succeeded.status != "True" or artifact is None:
        phase = job.status.phase or "Pending"
        return Referred(name, why=Why("WaitingForJob", f"FineTuneJob {name} has not finished ({phase})"))
    form = artifact.forms.get(MERGED)
    if form is None:
        return Referred(name, why=Why("ReferenceFailed", f"FineTuneJob {name} published no merged form"))
    secret = job.spec.output.storage.secret_ref
    return Referred(
        name,
        ReferenceStatus(
            job=name,
            uri=artifact.uri,
            digest=form.digest,
            secret=secret.name if secret is not None else "",
        ),
    )
