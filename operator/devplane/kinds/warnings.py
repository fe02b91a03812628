"""What the server takes and yet warns of, in pods and in the templates of pods. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from devplane.errors import go_quote
from devplane.kinds import metadata
from devplane.schemas.quantities import amount
from devplane.schemas.types import Obj

_BYTES = ("memory", "ephemeral-storage")


def of_pod(pod: Obj) -> list[str]:
    return [*_spec(pod["spec"], "spec")]


def of_template(owner: Obj) -> list[str]:
    return [*_spec(owner["spec"]["template"]["spec"], "spec.template.spec")]


def of_job(job: Obj) -> list[str]:
    """The pods of a job are named after it."""
    problems = metadata.label(job["metadata"].get("name") or "a")
    why = "this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended"
    named = [f"metadata.name: {why}: [{' '.join(problems)}]"] if problems else []
    return [*named, *of_template(job)]


def of_stateful_set(stateful_set: Obj) -> list[str]:
    limit = stateful_set["spec"].get("revisionHistoryLimit", 0)
    why = "a negative value retains all historical revisions; a value >= 0 is recommended"
    return [*([f"spec.revisionHistoryLimit: {why}"] if limit < 0 else []), *of_template(stateful_set)]


def of_cron_job(cron: Obj) -> list[str]:
    return [*_spec(cron["spec"]["jobTemplate"]["spec"]["template"]["spec"], "spec.jobTemplate.spec.template.spec")]


def _spec(spec: Obj, path: str) -> Iterator[str]:
    yield from _secrets(spec.get("imagePullSecrets") or (), f"{path}.imagePullSecrets")
    for volume in spec.get("volumes") or ():
        sources = (volume.get("projected") or {}).get("sources")
        if "projected" in volume and not any(sources or [{"": ""}]):
            yield f'volume "{volume.get("name", "")}" (Projected) has no sources provided'
    for kind in ("initContainers", "containers"):
        for at, container in enumerate(spec.get(kind) or ()):
            yield from _container(container, f"{path}.{kind}[{at}]")


def _secrets(secrets: Any, path: str) -> Iterator[str]:
    seen: set[str] = set()
    for at, one in enumerate(secrets):
        name = one.get("name") or ""
        if not name:
            yield f"{path}[{at}].name: invalid empty name {go_quote(name)}"
        elif name in seen:
            yield f"{path}[{at}].name: duplicate name {go_quote(name)}"
        seen.add(name)


def _container(container: Obj, path: str) -> Iterator[str]:
    resources = container.get("resources") or {}
    for kind in ("limits", "requests"):
        for name in _BYTES:
            text = (resources.get(kind) or {}).get(name)
            if text is not None and amount(text) % 1:
                yield f'{path}.resources.{kind}[{name}]: fractional byte value "{text}" is invalid, must be an integer'
    seen: set[str] = set()
    for at, variable in enumerate(container.get("env") or ()):
        name = variable.get("name", "")
        if name in seen:
            why = "which may be dropped when using apply"
            yield f"{path}.env[{at}]: hides previous definition of {go_quote(name)}, {why}"
        seen.add(name)
    yield from _ports(container.get("ports") or (), f"{path}.ports")


def _ports(ports: Any, path: str) -> Iterator[str]:
    seen: dict[tuple[Any, ...], int] = {}
    for at, port in enumerate(ports):
        if port.get("hostIP") and not port.get("hostPort"):
            fields = (("Name", "name", ""), ("HostPort", "hostPort", 0), ("ContainerPort", "containerPort", 0),
                      ("Protocol", "protocol", ""), ("HostIP", "hostIP", ""))  # fmt: skip
            shown = " ".join(f"{go}:{port.get(key, zero)}" for go, key, zero in fields)
            yield f"{path}[{at}]: hostIP set without hostPort: {{{shown}}}"
        same = (port.get("protocol"), port.get("hostIP"), port.get("hostPort"), port.get("containerPort"))
        if same in seen:
            yield f"{path}[{at}]: duplicate port definition with {path}[{seen[same]}]"
        seen.setdefault(same, at)


WARNINGS: dict[tuple[str, str], Callable[[Obj], list[str]]] = {
    ("v1", "Pod"): of_pod,
    ("apps/v1", "Deployment"): of_template,
    ("apps/v1", "ReplicaSet"): of_template,
    ("apps/v1", "StatefulSet"): of_stateful_set,
    ("apps/v1", "DaemonSet"): of_template,
    ("batch/v1", "Job"): of_job,
    ("batch/v1", "CronJob"): of_cron_job,
}

# What a cluster's controllers would do and devplane's don't, of the kinds that need no further program there.
_IDLE = {
    ("v1", "ReplicationController"): "gets no pods",
    ("apps/v1", "StatefulSet"): "gets no pods",
    ("apps/v1", "DaemonSet"): "gets no pods",
    ("batch/v1", "CronJob"): "starts no Jobs",
    ("autoscaling/v2", "HorizontalPodAutoscaler"): "scales nothing",
}


def idle(api_version: str, kind: str) -> list[str]:
    """That nothing will come of an object, which is told when it is made."""
    lacks = _IDLE.get((api_version, kind))
    return [f"devplane runs no controller for {kind}s: it is stored, and {lacks}"] if lacks else []
