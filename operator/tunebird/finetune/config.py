"""The trainer's configuration of one attempt: the plan's values with the job's places and names. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tunebird.api import trainer as config
from tunebird.api.base import duration_seconds
from tunebird.api.finetunejob import FineTuneJob, FineTuneJobSpec
from tunebird.api.jobstatus import ReferenceStatus
from tunebird.finetune.evaluation import JOB
from tunebird.finetune.places import run_uri
from tunebird.finetune.plan import Plan
from tunebird.finetune.rows import MIXING_STOPS

REPORT_SECONDS = 2.0


def trainer_config(
    job: FineTuneJob, plan: Plan, attempt: int, references: Iterable[ReferenceStatus] = ()
) -> config.TrainerConfig:
    """The configuration of one attempt, every field of it; `references` are the results of the jobs that it names."""
    spec, uid = job.spec, job.metadata.uid
    results = {reference.job: reference for reference in references}
    return config.TrainerConfig.model_validate(
        {
            "version": 1,
            "job": {
                "namespace": job.metadata.namespace,
                "name": job.metadata.name,
                "uid": uid,
                "attempt": attempt,
            },
            "model": _model(spec, results),
            "datasets": plan.data.datasets,
            "mixing": spec.mixing.value,
            "mixing_stop": MIXING_STOPS[spec.mixing_stop],
            "validation": plan.data.validation,
            "preparation": plan.data.preparation,
            "method": plan.method,
            "training": plan.training,
            "distributed": plan.distributed,
            "checkpoint": _checkpoint(spec, plan, uid),
            "output": _output(spec, plan, f"{uid[:8]}-{attempt}"),
            "report": {"every_seconds": REPORT_SECONDS},
            "evaluation": _evaluation(plan, results),
        }
    )


def _model(spec: FineTuneJobSpec, results: dict[str, ReferenceStatus]) -> config.ModelConfig:
    source, reference = spec.model.source, spec.model.job_ref
    if source is not None:
        uri, revision, digest = source.uri, source.revision or "", source.digest or ""
    else:
        assert reference is not None  # one of the two is there, by the API's rule
        result = results[reference.name]
        uri, revision, digest = result.uri, "", result.digest
    return config.ModelConfig(
        uri=uri, revision=revision, digest=digest, chat_template=spec.model.chat_template, attention="auto"
    )


def _evaluation(plan: Plan, results: dict[str, ReferenceStatus]) -> config.EvaluationConfig:
    """With artifacts in the place of the jobs that gates compare with."""
    gates = tuple(
        gate.model_copy(update={"compare_to": results[gate.compare_to.removeprefix(JOB)].uri})
        if gate.compare_to.startswith(JOB)
        else gate
        for gate in plan.evaluation.gates
    )
    return plan.evaluation.model_copy(update={"gates": gates})


def _checkpoint(spec: FineTuneJobSpec, plan: Plan, uid: str) -> config.CheckpointConfig:
    asked = spec.checkpoint
    every = duration_seconds(asked.every if asked is not None else "10m")
    return config.CheckpointConfig(
        uri=f"{plan.checkpoint_root}/{uid}",
        every_seconds=max(1, round(every)),
        every_steps=asked.every_steps if asked is not None else None,
        keep=asked.keep if asked is not None else 2,
    )


def _output(spec: FineTuneJobSpec, plan: Plan, run: str) -> config.OutputConfig:
    card = spec.output.card
    return config.OutputConfig.model_validate(
        {
            "uri": run_uri(spec.output.storage.uri, run),
            "forms": plan.forms,
            "card": {
                "intended_use": card.intended_use,
                "limitations": card.limitations,
                "license": card.license,
                "contact": card.contact,
            },
        }
    )
