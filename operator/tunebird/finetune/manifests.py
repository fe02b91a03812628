"""The children of one attempt: a ConfigMap with the trainer's configuration, and a Job. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunebird.api.base import quantity
from tunebird.api.finetunejob import FineTuneJob
from tunebird.api.jobstatus import ReferenceStatus
from tunebird.finetune.config import trainer_config
from tunebird.finetune.credentials import JUDGE_KEY, JUDGE_VARIABLE, credential_env, secret_variable
from tunebird.finetune.merge import CONTAINER, merged
from tunebird.finetune.places import claims, credentials, judge_secrets
from tunebird.finetune.plan import Plan
from tunebird.finetune.settings import FineTuneJobSettings
from tunebird.kube import security
from tunebird.kube.meta import (
    ATTEMPT,
    CONFIG_MAP,
    FINE_TUNE_JOB,
    FINETUNEJOB,
    JOB,
    MANAGED_BY,
    OWNER_UID,
    SERVICE,
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
RENDEZVOUS_PORTS = range(20000, 30000)  # below those that Linux gives to outgoing connections


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt of a job, with all that its manifests follow from."""

    job: FineTuneJob
    plan: Plan
    attempt: int
    settings: FineTuneJobSettings
    references: tuple[ReferenceStatus, ...] = ()

    @property
    def several(self) -> bool:
        """Whether several pods train together."""
        return self.job.spec.compute.num_nodes > 1

    @property
    def name(self) -> str:
        """Of the Job and the Service."""
        return child_name(self.job.metadata.name, self.attempt)

    @property
    def config_name(self) -> str:
        """Of the ConfigMap."""
        return config_name(self.name, self.job.metadata.uid)

    @property
    def rendezvous_port(self) -> int:
        """Where the first pod listens: another one for each attempt, for pods with hostNetwork share their node's."""
        digest = hashlib.sha256(f"{self.job.metadata.uid}/{self.attempt}".encode()).digest()
        return RENDEZVOUS_PORTS[int.from_bytes(digest[:8]) % len(RENDEZVOUS_PORTS)]

    @property
    def labels(self) -> dict[str, str]:
        """Of every child, and of pods. Nothing of the resource's own labels is inherited."""
        return {
            MANAGED_BY: "tunebird",
            FINETUNEJOB: self.job.metadata.name,
            OWNER_UID: self.job.metadata.uid,
            ATTEMPT: str(self.attempt),
        }

    @property
    def claims(self) -> tuple[str, ...]:
        """Every PersistentVolumeClaim that the attempt reads or writes, sorted."""
        return claims(self.job.spec, self.plan.checkpoint_root, *(reference.uri for reference in self.references))


def child_name(job: str, attempt: int) -> str:
    """Name of the children of an attempt of `job`."""
    return f"{job}-{attempt}"


def config_name(child: str, uid: str) -> str:
    """Name of an attempt's ConfigMap, another one for each job that bore the same name: as long as a pod of the node
    refers to an immutable ConfigMap, the kubelet reads it once, and gives what it read to a later one of that name."""
    return f"{child}-{uid[:8]}"


def config_map(run: Run) -> Body:
    """The trainer's configuration, unchangeable once the attempt has begun."""
    content = trainer_config(run.job, run.plan, run.attempt, run.references).model_dump_json(by_alias=True, indent=1)
    return {
        **_head(run, CONFIG_MAP.api_version, CONFIG_MAP.kind, run.config_name),
        "immutable": True,
        "data": {"config.json": content},
    }


def batch_job(run: Run) -> Body:
    """The Job: one pod for each node, never restarted in place; the next attempt is another Job."""
    nodes = run.job.spec.compute.num_nodes
    return {
        **_head(run, JOB.api_version, JOB.kind),
        "spec": {
            "backoffLimit": 0,
            "completions": nodes,
            "parallelism": nodes,
            **({"completionMode": "Indexed"} if run.several else {}),
            "podReplacementPolicy": "Failed",
            "template": pod_template(run),
        },
    }


def rendezvous_service(run: Run) -> Body:
    """Gives the pods of an attempt names, before they are ready: they meet at the first one's."""
    return {
        **_head(run, SERVICE.api_version, SERVICE.kind),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": run.labels,
            "ports": [{"name": "rendezvous", "port": run.rendezvous_port}],
        },
    }


def _head(run: Run, api_version: str, kind: str, name: str = "") -> Body:
    owner = {
        "apiVersion": FINE_TUNE_JOB.api_version,
        "kind": FINE_TUNE_JOB.kind,
        "metadata": {"name": run.job.metadata.name, "uid": run.job.metadata.uid},
    }
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name or run.name,
            "namespace": run.job.metadata.namespace,
            "labels": run.labels,
            "ownerReferences": [owner_reference(owner)],
        },
    }


def pod_template(run: Run) -> Body:
    """The pod with the user's template merged onto it; what is protected was refused before."""
    volumes = _volumes(run)
    spec: Body = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": security.of_pod(),
        "containers": [_container(run)],
        "volumes": [{"name": name, **source} for name, (_, source) in volumes.items()],
    }
    if run.job.spec.service_account_name is not None:
        spec["serviceAccountName"] = run.job.spec.service_account_name
    if run.several:
        spec["subdomain"] = run.name
    base = {"metadata": {"labels": run.labels}, "spec": spec}
    return merged(base, run.job.spec.compute.template or {})


def _container(run: Run) -> Body:
    volumes = _volumes(run)
    return {
        "name": CONTAINER,
        "image": run.settings.trainer_image,
        "command": ["tunebird-trainer"],
        "env": _env(run),
        "resources": _resources(run),
        "securityContext": security.of_container(),
        "volumeMounts": [
            {"name": name, "mountPath": path, **({"readOnly": True} if name in ("config", "token") else {})}
            for name, (path, _) in volumes.items()
        ],
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _volumes(run: Run) -> dict[str, tuple[str, Body]]:
    """Mount path and source of each volume, by name."""
    volumes: dict[str, tuple[str, Body]] = {
        "config": (CONFIG_DIR, {"configMap": {"name": run.config_name}}),
        "scratch": (SCRATCH_DIR, {"emptyDir": {}}),
        "shm": (SHARED_MEMORY_DIR, {"emptyDir": {"medium": "Memory", "sizeLimit": str(run.plan.shared_memory)}}),
    }
    if run.settings.report_url:
        projected = {"path": "token", "audience": AUDIENCE, "expirationSeconds": TOKEN_SECONDS}
        volumes["token"] = (TOKEN_DIR, {"projected": {"sources": [{"serviceAccountToken": projected}]}})
    if run.job.spec.cache is not None:
        volumes["cache"] = (CACHE_DIR, {"persistentVolumeClaim": {"claimName": run.job.spec.cache.claim_name}})
    for index, claim in enumerate(run.claims):
        volumes[f"claim-{index}"] = (f"{VOLUMES_DIR}/{claim}", {"persistentVolumeClaim": {"claimName": claim}})
    return volumes


def _env(run: Run) -> list[Body]:
    """The user's variables stand in for ours of the same name; the protected ones were refused before."""
    users = [variable.manifest() for variable in run.job.spec.training.env]
    names = {variable["name"] for variable in users}
    return [*users, *(variable for variable in _our_env(run) if variable["name"] not in names)]


def _our_env(run: Run) -> list[Body]:
    plain = {
        "TUNEBIRD_CONFIG": f"{CONFIG_DIR}/config.json",
        "TUNEBIRD_VOLUMES": json.dumps({claim: f"{VOLUMES_DIR}/{claim}" for claim in run.claims}),
        "TUNEBIRD_SCRATCH": SCRATCH_DIR,
        "TUNEBIRD_TERMINATION_LOG": TERMINATION_LOG,
        "TUNEBIRD_ATTEMPT": str(run.attempt),
        "TUNEBIRD_JOB_UID": run.job.metadata.uid,
        "HOME": SCRATCH_DIR,
        "DISABLE_KUBEFLOW_INTEGRATION": "TRUE",
        "HF_HOME": f"{CACHE_DIR if run.job.spec.cache is not None else SCRATCH_DIR}/huggingface",
        **({"TUNEBIRD_CACHE": CACHE_DIR} if run.job.spec.cache is not None else {}),
        **_group_env(run),
        **_report_env(run),
        **_thread_env(run),
    }
    pod_ip = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    return [*({"name": name, "value": value} for name, value in plain.items()), pod_ip, *_secret_env(run)]


def _group_env(run: Run) -> Mapping[str, str]:
    """Where several pods meet; which one a pod is tells JOB_COMPLETION_INDEX, which the Job controller sets."""
    if not run.several:
        return {}
    first = f"{run.name}-0.{run.name}.{run.job.metadata.namespace}.svc"
    return {"TUNEBIRD_MASTER_ADDR": first, "TUNEBIRD_MASTER_PORT": str(run.rendezvous_port)}


def _report_env(run: Run) -> Mapping[str, str]:
    if not run.settings.report_url:
        return {}
    where = f"namespaces/{run.job.metadata.namespace}/finetunejobs/{run.job.metadata.name}/status"
    return {
        "TUNEBIRD_REPORT_URL": f"{run.settings.report_url.rstrip('/')}/v1alpha1/{where}",
        "TUNEBIRD_REPORT_TOKEN_FILE": f"{TOKEN_DIR}/token",
    }


def _thread_env(run: Run) -> Mapping[str, str]:
    """Of the pod's cores each process gets its share: more threads than cores make a step many times slower."""
    limit = run.job.spec.compute.resources.limits.get("cpu")
    if limit is None:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, int(quantity(str(limit))) // run.plan.distributed.processes_per_node))}


def _secret_env(run: Run) -> list[Body]:
    judges = (secret_variable(JUDGE_VARIABLE, name, JUDGE_KEY) for name in judge_secrets(run.job.spec))
    return [*credential_env(credentials(run.job.spec, run.references)), *judges]


def _resources(run: Run) -> Body:
    compute = run.job.spec.compute
    requests, limits = dict(compute.resources.requests), dict(compute.resources.limits)
    if compute.gpus_per_node:
        limits[compute.gpu_resource_name] = str(compute.gpus_per_node)
    return {name: values for name, values in (("requests", requests), ("limits", limits)) if values}
