"""A container's environment, command and arguments from its spec. Pure but for the objects that `Sources` looks up."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from devplane.objects import Obj, container_requests, name_of, namespace_of, quantity, uid_of, whole

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")
_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class ConfigError(Exception):
    """A container refers to something that is not there: CreateContainerConfigError, tried again later."""


class Sources(Protocol):
    """The objects that an environment or a volume may name, in the pod's namespace."""

    def config_map(self, name: str) -> Obj | None: ...

    def secret(self, name: str) -> Obj | None: ...


@dataclass(frozen=True, slots=True)
class PodFacts:
    """A pod and what the kubelet knows of it beyond the object."""

    pod: Obj
    pod_ip: str
    host_ip: str
    node_name: str
    allocatable: Mapping[str, str]


def configured(pod: Obj, seen: datetime) -> Obj:
    """The pod with the annotations that its kubelet adds for the downward API alone."""
    source = {"kubernetes.io/config.seen": f"{seen:%Y-%m-%dT%H:%M:%S.%f}000Z", "kubernetes.io/config.source": "api"}
    metadata = pod["metadata"]
    return {**pod, "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), **source}}}


def expanded(text: str, known: Mapping[str, str]) -> str:
    """``$(NAME)`` replaced where the name is known; ``$$`` is a dollar sign."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return "$"
        return known.get(name, match.group())

    return _REFERENCE.sub(value, text)


def fully_expanded(text: str, known: Mapping[str, str]) -> str:
    """The same where every name has to be known."""
    absent = [name for name in _REFERENCE.findall(text) if name and name not in known]
    if absent:
        raise ConfigError(f"missing value for {absent[0]}")
    return expanded(text, known)


def environment(
    container: Mapping[str, Any], facts: PodFacts, sources: Sources, services: Mapping[str, str] | None = None
) -> dict[str, str]:
    """``envFrom``, then ``env`` in order, each able to use what is above it, and `services`."""
    result: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        result.update(_all_of(source, facts, sources))
    for variable in container.get("env") or ():
        value = _value_of(variable, container, facts, sources, {**(services or {}), **result})
        if value is not None:
            result[variable["name"]] = value
    return result


def words(given: Sequence[str] | None, known: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(expanded(word, known) for word in given or ())


def _all_of(source: Mapping[str, Any], facts: PodFacts, sources: Sources) -> Iterator[tuple[str, str]]:
    prefix = source.get("prefix") or ""
    for key, value in _referenced(source, facts, sources):
        if _NAME.fullmatch(prefix + key):
            yield prefix + key, value


def _referenced(source: Mapping[str, Any], facts: PodFacts, sources: Sources) -> list[tuple[str, str]]:
    if reference := source.get("configMapRef"):
        found = sources.config_map(reference["name"])
        if found is None and not reference.get("optional"):
            raise ConfigError(f'configmap "{reference["name"]}" not found')
        return sorted(((found or {}).get("data") or {}).items())
    reference = source.get("secretRef") or {}
    found = sources.secret(reference["name"])
    if found is None and not reference.get("optional"):
        raise ConfigError(f'secret "{reference["name"]}" not found')
    return sorted((key, decoded(value).decode()) for key, value in ((found or {}).get("data") or {}).items())


def decoded(value: str) -> bytes:
    return base64.b64decode(value)


def _value_of(
    variable: Mapping[str, Any],
    container: Mapping[str, Any],
    facts: PodFacts,
    sources: Sources,
    known: Mapping[str, str],
) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return expanded(variable.get("value") or "", known)
    if reference := source.get("fieldRef"):
        return field(reference["fieldPath"], facts)
    if reference := source.get("resourceFieldRef"):
        return resource_field(reference, container, facts)
    if reference := source.get("configMapKeyRef"):
        return _config_key(reference, facts, sources)
    return _secret_key(source["secretKeyRef"], facts, sources)


def _config_key(reference: Mapping[str, Any], facts: PodFacts, sources: Sources) -> str | None:
    name, key = reference["name"], reference["key"]
    found = sources.config_map(name)
    value = None if found is None else (found.get("data") or {}).get(key)
    if value is not None or reference.get("optional"):
        return value
    if found is None:
        raise ConfigError(f'configmap "{name}" not found')
    raise ConfigError(f"couldn't find key {key} in ConfigMap {namespace_of(facts.pod)}/{name}")


def _secret_key(reference: Mapping[str, Any], facts: PodFacts, sources: Sources) -> str | None:
    name, key = reference["name"], reference["key"]
    found = sources.secret(name)
    value = None if found is None else (found.get("data") or {}).get(key)
    if value is not None:
        return decoded(value).decode()
    if reference.get("optional"):
        return None
    if found is None:
        raise ConfigError(f'secret "{name}" not found')
    raise ConfigError(f"couldn't find key {key} in Secret {namespace_of(facts.pod)}/{name}")


def field(path: str, facts: PodFacts) -> str:
    """The downward API's fields of a pod."""
    metadata = facts.pod["metadata"]
    if match := _SUBSCRIPT.fullmatch(path):
        return str((metadata.get(match.group(1)) or {}).get(match.group(2), ""))
    match path:
        case "metadata.name":
            return name_of(facts.pod)
        case "metadata.namespace":
            return namespace_of(facts.pod)
        case "metadata.uid":
            return uid_of(facts.pod)
        case "metadata.labels" | "metadata.annotations":
            pairs = metadata.get(path.removeprefix("metadata.")) or {}
            return "\n".join(f'{key}="{_escaped(value)}"' for key, value in sorted(pairs.items()))
        case "spec.nodeName":
            return facts.node_name
        case "spec.serviceAccountName":
            return str(facts.pod["spec"].get("serviceAccountName") or "default")
        case "status.hostIP" | "status.hostIPs":
            return facts.host_ip
        case "status.podIP" | "status.podIPs":
            return facts.pod_ip
        case _:
            raise ConfigError(f"unsupported fieldPath: {path}")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def resource_field(reference: Mapping[str, Any], container: Mapping[str, Any], facts: PodFacts) -> str:
    """``limits.cpu`` and the like, rounded up to the divisor; without a limit, what the node has."""
    kind, _, resource = reference["resource"].partition(".")
    resources = container.get("resources") or {}
    if kind == "limits":
        amount = (resources.get("limits") or {}).get(resource) or facts.allocatable.get(resource, "0")
        value = quantity(amount)
    else:
        value = container_requests(container).get(resource, Decimal(0))
    divisor = quantity(reference.get("divisor") or "1") or Decimal(1)
    return str(whole(value / divisor))
