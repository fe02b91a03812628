"""The objects of a rollout: a Deployment and a Service per revision, the stable Service, the route's target. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tunebird.api.base import duration_seconds
from tunebird.kube import security
from tunebird.kube.meta import (
    DEPLOYMENT,
    MANAGED_BY,
    MODELROLLOUT,
    OWNER_UID,
    REVISION,
    SERVICE,
    Manifest,
    content_hash,
    owner_reference,
)
from tunebird.rollout.plan import Plan, Runtime, Server
from tunebird.rollout.podtemplate import merged
from tunebird.rollout.progress import Revision
from tunebird.traffic.router import Target

RECORD = "tunebird.dev/revision-record"
ROLLOUT_NUMBER = "tunebird.dev/rollout"
CONTAINER = "server"
VOLUMES = "/tunebird/volumes"

PRE_STOP_SECONDS = 5
LEAST_GRACE_SECONDS = 30
MOST_GRACE_SECONDS = 900
DEFAULT_REQUEST_SECONDS = 120.0

Json = Mapping[str, Any]


def revision_name(digest: str, server: Server) -> str:
    """The hash that names a revision: the model and the user's servers, without their number."""
    return content_hash({"digest": digest, "server": server.identity})


def child_name(plan: Plan, revision: str) -> str:
    """Of a revision's Deployment and Service."""
    return f"{plan.name}-{revision}"


def deployment(owner: Manifest, plan: Plan, revision: Revision, replicas: int, number: int) -> Manifest:
    """The servers of one revision. It is made once; only `replicas` changes after that."""
    record = {RECORD: json.dumps(asdict(revision), sort_keys=True), ROLLOUT_NUMBER: str(number)}
    labels = _labels(owner, revision.name)
    return {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.kind,
        "metadata": {**_metadata(owner, child_name(plan, revision.name), labels), "annotations": record},
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": max(60, int(plan.progress_deadline)),
            "selector": {"matchLabels": _selector(owner, revision.name)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": _template(plan, revision, labels),
        },
    }


def revision_service(owner: Manifest, plan: Plan, revision: str) -> Manifest:
    """The address of one revision; the route's backendRefs name it."""
    return _service(owner, child_name(plan, revision), revision, plan.service_port)


def stable_service(owner: Manifest, plan: Plan, stable: str) -> Manifest:
    """The address for clients inside the cluster: always the stable revision."""
    return _service(owner, plan.service_name, stable, plan.service_port)


def target(owner: Manifest, plan: Plan) -> Target:
    """What the router routes."""
    name = owner["metadata"]["name"]
    labels = {MANAGED_BY: "tunebird", MODELROLLOUT: name, OWNER_UID: owner["metadata"]["uid"]}
    gateway = plan.gateway
    return Target(
        namespace=plan.namespace,
        name=name,
        port=plan.service_port,
        metadata=_metadata(owner, name, labels),
        parent_refs=gateway.parent_refs,
        hostnames=gateway.hostnames,
        matches=gateway.matches,
        timeouts=gateway.timeouts or None,
    )


def server_of(record: Json) -> Server:
    """A server specification from a revision's record."""
    return Server(
        runtime=Runtime(record["runtime"]),
        image=record["image"],
        replicas=0,
        port=record["port"],
        args=tuple(record["args"]),
        gpus=record["gpus"],
        gpu_resource=record["gpuResource"],
        template=record["template"],
    )


def unservable(uri: str, runtime: str) -> str:
    """Why a runtime can't load a model from there, with the remedy; empty if it can."""
    scheme, _, rest = uri.partition("://")
    if runtime == Runtime.CUSTOM or scheme in ("pvc", "hf") or (scheme == "file" and rest):
        return ""
    return f"{uri}: the {runtime} runtime loads pvc:// and hf:// only; publish or copy it to pvc://, or use custom"


def model_of(artifact: Json, form: Json) -> tuple[str, str]:
    """Digest and uri of a form of an artifact. On a volume and in a bucket a form is a folder; a registry knows the
    artifact alone, whose layers hold the forms."""
    uri: str = artifact["uri"].rstrip("/")
    return (artifact["digest"], uri) if uri.startswith("oci://") else (form["digest"], f"{uri}/{form['path']}")


def differs(live: Any, wanted: Any) -> bool:
    """Whether `live` lacks anything of `wanted`; what the server or others added does not count."""
    if isinstance(wanted, Mapping):
        return not isinstance(live, Mapping) or any(differs(live.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list | tuple):
        same_length = isinstance(live, list | tuple) and len(live) == len(wanted)
        return not same_length or any(differs(one, other) for one, other in zip(live, wanted, strict=True))
    return bool(live != wanted)


def _metadata(owner: Manifest, name: str, labels: Json) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": owner["metadata"]["namespace"],
        "labels": dict(labels),
        "ownerReferences": [owner_reference(owner)],
    }


def _labels(owner: Manifest, revision: str) -> dict[str, str]:
    return {MANAGED_BY: "tunebird", **_selector(owner, revision)}


def _selector(owner: Manifest, revision: str) -> dict[str, str]:
    metadata = owner["metadata"]
    return {MODELROLLOUT: metadata["name"], OWNER_UID: metadata["uid"], REVISION: revision}


def _service(owner: Manifest, name: str, revision: str, port: int) -> Manifest:
    return {
        "apiVersion": SERVICE.api_version,
        "kind": SERVICE.kind,
        "metadata": _metadata(owner, name, _labels(owner, revision)),
        "spec": {
            "selector": _selector(owner, revision),
            "ports": [{"name": "http", "protocol": "TCP", "port": port, "targetPort": "http"}],
        },
    }


def _template(plan: Plan, revision: Revision, labels: Json) -> Json:
    server = server_of(json.loads(revision.server))
    claim = claim_of(revision.uri)
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": _grace_seconds(plan),
        "containers": [_container(plan, revision, server)],
    }
    if server.runtime is Runtime.TUNEBIRD:
        spec["securityContext"] = security.of_pod()  # images of others may need root
    if claim:
        spec["volumes"] = [{"name": "model", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}]
    template = merged({"metadata": {}, "spec": spec}, server.template)
    # Labels are how children are found and selected: they are not the template's to change.
    own = template.get("metadata", {})
    return {**template, "metadata": {**own, "labels": {**own.get("labels", {}), **labels}}}


def _container(plan: Plan, revision: Revision, server: Server) -> Json:
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": revision.image,
        "args": [*_arguments(plan, revision, server), *server.args],
        "env": _environment(plan, revision),
        "ports": [{"name": "http", "containerPort": server.port, "protocol": "TCP"}],
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **_probes(server),
    }
    if server.runtime is Runtime.TUNEBIRD:
        container["command"] = ["tunebird-server"]
        container["securityContext"] = security.of_container()
    if claim := claim_of(revision.uri):
        container["volumeMounts"] = [{"name": "model", "mountPath": f"{VOLUMES}/{claim}", "readOnly": True}]
    if server.gpus:
        container["resources"] = {"limits": {server.gpu_resource: str(server.gpus)}}
    return container


def _arguments(plan: Plan, revision: Revision, server: Server) -> list[str]:
    names = ["--served-model-name", plan.name]
    match server.runtime:
        case Runtime.TUNEBIRD:
            where = ["--host", "$(POD_IP)", "--port", str(server.port)]
            model = ["--model-uri", revision.uri, "--model-digest", revision.digest]
            return [*where, *model, *names, "--model-version", revision.name]
        case Runtime.VLLM:
            version = ["--revision", plan.model.revision] if plan.model.revision and not claim_of(revision.uri) else []
            return ["--model", _model_path(revision.uri), *version, "--port", str(server.port), *names]
        case Runtime.CUSTOM:
            return []


def _environment(plan: Plan, revision: Revision) -> list[Json]:
    claim = claim_of(revision.uri)
    volumes = {claim: f"{VOLUMES}/{claim}"} if claim else {}
    environment: list[Json] = [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "TUNEBIRD_VOLUMES", "value": json.dumps(volumes)},
        {"name": "TUNEBIRD_MODEL_URI", "value": revision.uri},
        {"name": "TUNEBIRD_MODEL_DIGEST", "value": revision.digest},
        {"name": "TUNEBIRD_REVISION", "value": revision.name},
    ]
    if plan.model.secret:
        token = {"secretKeyRef": {"name": plan.model.secret, "key": "HF_TOKEN", "optional": True}}
        environment.append({"name": "HF_TOKEN", "valueFrom": token})
    return environment


def _probes(server: Server) -> Json:
    """Loading a model takes minutes: until the first readiness nothing is killed for an hour."""
    if server.runtime is Runtime.CUSTOM:
        return {"readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 2}}
    ready = "/ready" if server.runtime is Runtime.TUNEBIRD else "/health"
    return {
        "startupProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 2, "failureThreshold": 1800},
        "readinessProbe": {"httpGet": {"path": ready, "port": "http"}, "periodSeconds": 2, "failureThreshold": 2},
        "livenessProbe": {
            "httpGet": {"path": "/health", "port": "http"},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
    }


def _grace_seconds(plan: Plan) -> int:
    """Time for the longest request to end, after the endpoints have left the proxies."""
    request = plan.gateway.timeouts.get("request")
    seconds = duration_seconds(request) if request else DEFAULT_REQUEST_SECONDS
    return int(min(MOST_GRACE_SECONDS, max(LEAST_GRACE_SECONDS, seconds + PRE_STOP_SECONDS)))


def claim_of(uri: str) -> str:
    """The PersistentVolumeClaim of a pvc:// uri, else nothing."""
    return uri.removeprefix("pvc://").partition("/")[0] if uri.startswith("pvc://") else ""


def _model_path(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    return f"{VOLUMES}/{rest}" if scheme == "pvc" else rest
