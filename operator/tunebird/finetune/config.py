"""The trainer's configuration of one attempt: the plan's values with the job's places and names. Pure."""

from __future__ import annotations

from tunebird.api import trainer as config
from tunebird.api.base import duration_seconds
from tunebird.api.finetunejob import FineTuneJob, FineTuneJobSpec
from tunebird.finetune.plan import Plan


def trainer_config(job: FineTuneJob, plan: Plan, attempt: int) -> config.TrainerConfig:
    """The configuration of one attempt of a job that this version can run."""
    spec, uid = job.spec, job.metadata.uid
    source = spec.model.source
    if source is None:
        raise ValueError("spec.model.source is needed; refusals() says so")
    return config.TrainerConfig(
        version=1,
        job=config.JobIdentity(namespace=job.metadata.namespace, name=job.metadata.name, uid=uid, attempt=attempt),
        model=config.ModelConfig(
            uri=source.uri,
            revision=source.revision or "",
            digest=source.digest or "",
            chat_template=spec.model.chat_template,
        ),
        datasets=_datasets(spec),
        mixing=spec.mixing.value,
        validation=config.ValidationConfig(percent=spec.validation.percent),
        preparation=config.PreparationConfig(
            on_invalid=spec.preparation.on_invalid.value, on_too_long=spec.preparation.on_too_long.value
        ),
        method=plan.method,
        training=plan.training,
        distributed=config.DistributedConfig(num_nodes=1, processes_per_node=1),
        checkpoint=_checkpoint(spec, plan, uid),
        output=_output(spec, plan, f"{uid[:8]}-{attempt}"),
        report=config.ReportConfig(every_seconds=2.0),
    )


def _datasets(spec: FineTuneJobSpec) -> tuple[config.DatasetConfig, ...]:
    return tuple(
        config.DatasetConfig.model_validate(
            {
                "name": dataset.name,
                "uri": dataset.source.uri,
                "format": dataset.format.value,
                "weight": dataset.weight,
                "limit": dataset.limit,
                "license": dataset.license or "",
            }
        )
        for dataset in spec.datasets
    )


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
            "uri": f"{spec.output.storage.uri.rstrip('/')}/{run}",
            "forms": plan.forms,
            "card": {
                "intended_use": card.intended_use,
                "limitations": card.limitations,
                "license": card.license,
                "contact": card.contact,
            },
        }
    )
