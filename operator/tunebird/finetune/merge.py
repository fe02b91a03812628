"""The user's PodTemplateSpec merged strategically onto ours; protected fields are refused. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Body = dict[str, Any]

CONTAINER = "trainer"
PROTECTED_ENV = "TUNEBIRD_"
PROTECTED_POD = ("restartPolicy", "automountServiceAccountToken")
PROTECTED_CONTAINER = ("command", "args", "terminationMessagePath", "terminationMessagePolicy")
PROTECTED_LABELS = ("tunebird.dev/", "app.kubernetes.io/managed-by")

# Merge keys of Kubernetes' own lists; lists that are not named here are replaced as a whole.
_KEYS: Mapping[str, str] = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}


def merged(base: Body, patch: Mapping[str, Any]) -> Body:
    """`patch` on `base` by strategic merge: objects by field, lists by their merge key; null removes."""
    result = dict(base)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            result[key] = merged(result.get(key) or {}, value)
        elif isinstance(value, list) and key in _KEYS:
            result[key] = _by_key(result.get(key) or [], value, _KEYS[key])
        else:
            result[key] = value
    return result


def _by_key(base: list[Body], patch: list[Body], key: str) -> list[Body]:
    changes = {item.get(key): item for item in patch}
    kept = [merged(item, changes.pop(item.get(key), {})) for item in base]
    return [*kept, *changes.values()]


def template_problems(template: Mapping[str, Any]) -> tuple[str, ...]:
    """Sentences about what the template may not set, or what is no PodTemplateSpec."""
    return tuple(_template_problems(template))


def _template_problems(template: Mapping[str, Any]) -> Iterator[str]:
    path = "spec.compute.template"
    for key in sorted(set(template) - {"metadata", "spec"}):
        yield f"{path}.{key}: a PodTemplateSpec has metadata and spec only"
    labels = _part(template, "metadata", "labels")
    for name in sorted(labels):
        if name.startswith(PROTECTED_LABELS):
            yield f"{path}.metadata.labels.{name}: this label is the operator's; remove it"
    spec = _part(template, "spec")
    for key in PROTECTED_POD:
        if key in spec:
            yield f"{path}.spec.{key} ({spec[key]}): protected; remove it"
    yield from _containers_problems(spec, f"{path}.spec.containers")


def _containers_problems(spec: Mapping[str, Any], path: str) -> Iterator[str]:
    containers = spec.get("containers", [])
    if not isinstance(containers, list) or not all(
        isinstance(each, Mapping) and each.get("name") for each in containers
    ):
        yield f"{path}: a list of containers with names is needed"
        return
    for container in containers:
        if container["name"] == CONTAINER:
            yield from _trainer_problems(container, f"{path}[{CONTAINER}]")


def _trainer_problems(container: Mapping[str, Any], path: str) -> Iterator[str]:
    for key in PROTECTED_CONTAINER:
        if key in container:
            yield f"{path}.{key}: protected; remove it"
    for variable in container.get("env") or ():
        if str(variable.get("name", "")).startswith(PROTECTED_ENV):
            yield f"{path}.env.{variable['name']}: names that begin with {PROTECTED_ENV} are the operator's; remove it"
    for mount in container.get("volumeMounts") or ():
        if str(mount.get("mountPath", "")).startswith(("/tunebird", "/dev/shm")):  # noqa: S108  not a temporary file
            yield f"{path}.volumeMounts.{mount['mountPath']}: this path is the operator's; mount elsewhere"


def _part(template: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    part: Any = template
    for key in path:
        part = part.get(key) if isinstance(part, Mapping) else None
    return part if isinstance(part, Mapping) else {}
