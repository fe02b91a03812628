"""The children of one attempt: a ConfigMap with the trainer's configuration and a Job. Names are deterministic. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tunebird.api.base import quantity
from tunebird.api.finetunejob import FineTuneJob
from tunebird.finetune.config import trainer_config
from tunebird.finetune.limits import storages
from tunebird.finetune.merge import CONTAINER, merged
from tunebird.finetune.plan import Plan
from tunebird.finetune.settings import FineTuneJobSettings
from tunebird.kube.meta import (
    ATTEMPT,
    CONFIG_MAP,
    FINE_TUNE_JOB,
    FINETUNEJOB,
    JOB,
    MANAGED_BY,
    OWNER_UID,
    owner_reference,
)

Body = dict[str, Any]

AUDIENCE = "tunebird.dev/report"
CONFIG_DIR = "/tunebird/config"
TOKEN_DIR = "/tunebird/token"  # noqa: S105  a path
SCRATCH_DIR = "/tunebird/scratch"
VOLUMES_DIR = "/tunebird/volumes"
CACHE_DIR = "/tunebird/cache"
SHARED_MEMORY_DIR = "/dev/shm"  # noqa: S108  where POSIX shared memory is
TERMINATION_LOG = "/dev/termination-log"
TOKEN_SECONDS = 3600
GRACE_SECONDS = 120


def child_name(job: FineTuneJob, attempt: int) -> str:
    """Name of the ConfigMap and of the Job of an attempt."""
    return f"{job.metadata.name}-{attempt}"


def labels(job: FineTuneJob, attempt: int) -> dict[str, str]:
    """Labels of every child, and of pods. Nothing of the resource's own labels is inherited."""
    return {
        MANAGED_BY: "tunebird",
        FINETUNEJOB: job.metadata.name,
        OWNER_UID: job.metadata.uid,
        ATTEMPT: str(attempt),
    }


def config_map(job: FineTuneJob, plan: Plan, attempt: int) -> Body:
    """The trainer's configuration, unchangeable once the attempt has begun."""
    content = trainer_config(job, plan, attempt).model_dump_json(by_alias=True, indent=1)
    return {
        **_head(job, attempt, CONFIG_MAP.api_version, CONFIG_MAP.kind),
        "immutable": True,
        "data": {"config.json": content},
    }


def batch_job(job: FineTuneJob, plan: Plan, attempt: int, settings: FineTuneJobSettings) -> Body:
    """The Job: one pod, never restarted in place; the next attempt is another Job."""
    return {
        **_head(job, attempt, JOB.api_version, JOB.kind),
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "podReplacementPolicy": "Failed",
            "template": pod_template(job, plan, attempt, settings),
        },
    }


def _head(job: FineTuneJob, attempt: int, api_version: str, kind: str) -> Body:
    owner = {
        "apiVersion": FINE_TUNE_JOB.api_version,
        "kind": FINE_TUNE_JOB.kind,
        "metadata": {"name": job.metadata.name, "uid": job.metadata.uid},
    }
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": child_name(job, attempt),
            "namespace": job.metadata.namespace,
            "labels": labels(job, attempt),
            "ownerReferences": [owner_reference(owner)],
        },
    }


def pod_template(job: FineTuneJob, plan: Plan, attempt: int, settings: FineTuneJobSettings) -> Body:
    """The pod with the user's template merged onto it; what is protected was refused before."""
    volumes = _volumes(job, plan, attempt, settings)
    spec: Body = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "containers": [_container(job, plan, attempt, settings)],
        "volumes": [{"name": name, **source} for name, (_, source) in volumes.items()],
    }
    if job.spec.service_account_name is not None:
        spec["serviceAccountName"] = job.spec.service_account_name
    base = {"metadata": {"labels": labels(job, attempt)}, "spec": spec}
    return merged(base, job.spec.compute.template or {})


def _container(job: FineTuneJob, plan: Plan, attempt: int, settings: FineTuneJobSettings) -> Body:
    volumes = _volumes(job, plan, attempt, settings)
    return {
        "name": CONTAINER,
        "image": settings.trainer_image,
        "command": ["tunebird-trainer"],
        "env": _env(job, attempt, settings),
        "resources": _resources(job),
        "volumeMounts": [
            {"name": name, "mountPath": path, **({"readOnly": True} if name in ("config", "token") else {})}
            for name, (path, _) in volumes.items()
        ],
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def claims(job: FineTuneJob, plan: Plan) -> tuple[str, ...]:
    """Every PersistentVolumeClaim that the attempt reads or writes, sorted."""
    uris = [ref.uri for _, ref in storages(job.spec)] + [plan.checkpoint_root]
    return tuple(sorted({uri.removeprefix("pvc://").partition("/")[0] for uri in uris if uri.startswith("pvc://")}))


def _volumes(job: FineTuneJob, plan: Plan, attempt: int, settings: FineTuneJobSettings) -> dict[str, tuple[str, Body]]:
    """Mount path and source of each volume, by name."""
    volumes: dict[str, tuple[str, Body]] = {
        "config": (CONFIG_DIR, {"configMap": {"name": child_name(job, attempt)}}),
        "scratch": (SCRATCH_DIR, {"emptyDir": {}}),
        "shm": (SHARED_MEMORY_DIR, {"emptyDir": {"medium": "Memory", "sizeLimit": str(plan.shared_memory)}}),
    }
    if settings.report_url:
        projected = {"path": "token", "audience": AUDIENCE, "expirationSeconds": TOKEN_SECONDS}
        volumes["token"] = (TOKEN_DIR, {"projected": {"sources": [{"serviceAccountToken": projected}]}})
    if job.spec.cache is not None:
        volumes["cache"] = (CACHE_DIR, {"persistentVolumeClaim": {"claimName": job.spec.cache.claim_name}})
    for index, claim in enumerate(claims(job, plan)):
        volumes[f"claim-{index}"] = (f"{VOLUMES_DIR}/{claim}", {"persistentVolumeClaim": {"claimName": claim}})
    return volumes


def _env(job: FineTuneJob, attempt: int, settings: FineTuneJobSettings) -> list[Body]:
    """The user's variables first, ours last: ours can't be shadowed."""
    users = [variable.manifest() for variable in job.spec.training.env]
    ours = {variable["name"]: variable for variable in _our_env(job, attempt, settings)}
    return [*(variable for variable in users if variable["name"] not in ours), *ours.values()]


def _our_env(job: FineTuneJob, attempt: int, settings: FineTuneJobSettings) -> list[Body]:
    plain = {
        "TUNEBIRD_CONFIG": f"{CONFIG_DIR}/config.json",
        "TUNEBIRD_VOLUMES": _mounted(job),
        "TUNEBIRD_SCRATCH": SCRATCH_DIR,
        "TUNEBIRD_TERMINATION_LOG": TERMINATION_LOG,
        "TUNEBIRD_ATTEMPT": str(attempt),
        "TUNEBIRD_JOB_UID": job.metadata.uid,
        "DISABLE_KUBEFLOW_INTEGRATION": "TRUE",
        "HF_HOME": f"{CACHE_DIR if job.spec.cache is not None else SCRATCH_DIR}/huggingface",
        **_report_env(job, settings),
        **_thread_env(job),
    }
    pod_ip = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    return [*({"name": name, "value": value} for name, value in plain.items()), pod_ip, *_token_env(job)]


def _mounted(job: FineTuneJob) -> str:
    uris = [ref.uri for _, ref in storages(job.spec)]
    names = sorted({uri.removeprefix("pvc://").partition("/")[0] for uri in uris if uri.startswith("pvc://")})
    return json.dumps({name: f"{VOLUMES_DIR}/{name}" for name in names})


def _report_env(job: FineTuneJob, settings: FineTuneJobSettings) -> Mapping[str, str]:
    if not settings.report_url:
        return {}
    where = f"namespaces/{job.metadata.namespace}/finetunejobs/{job.metadata.name}/status"
    return {
        "TUNEBIRD_REPORT_URL": f"{settings.report_url.rstrip('/')}/v1alpha1/{where}",
        "TUNEBIRD_REPORT_TOKEN_FILE": f"{TOKEN_DIR}/token",
    }


def _thread_env(job: FineTuneJob) -> Mapping[str, str]:
    limit = job.spec.compute.resources.limits.get("cpu")
    return {} if limit is None else {"OMP_NUM_THREADS": str(max(1, int(quantity(str(limit)))))}


def _token_env(job: FineTuneJob) -> list[Body]:
    """The Hugging Face token, by reference: the operator never reads a Secret."""
    names = {ref.secret_ref.name for _, ref in storages(job.spec) if ref.secret_ref is not None}
    return [
        {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": name, "key": "HF_TOKEN"}}} for name in sorted(names)
    ]


def _resources(job: FineTuneJob) -> Body:
    compute = job.spec.compute
    requests, limits = dict(compute.resources.requests), dict(compute.resources.limits)
    if compute.gpus_per_node:
        limits[compute.gpu_resource_name] = str(compute.gpus_per_node)
    return {name: values for name, values in (("requests", requests), ("limits", limits)) if values}
