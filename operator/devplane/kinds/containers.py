"""Containers of a PodSpec: names, images, ports, environment. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devplane.errors import Cause
from devplane.kinds import amounts, metadata, probes, references, rules, security, volumes
from devplane.schemas.types import Obj

PULL = ("Always", "IfNotPresent", "Never")
SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_ENV_WORDS = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_NOT_INIT = "may not be set for init containers without restartPolicy=Always"


def validate(spec: Obj, path: str, named: set[Any], grace: int) -> Iterator[Cause]:
    """`named` are the names of the pod's volumes, `grace` its seconds to end."""
    if not spec.get("containers"):
        yield Cause.required(f"{path}.containers")
    seen: set[str] = set()
    for kind in ("containers", "initContainers"):
        hosted: set[str] = set()
        for at, container in enumerate(spec.get(kind) or ()):
            where = f"{path}.{kind}[{at}]"
            yield from _container(container, where, named)
            if container.get("name") and container["name"] in seen:
                yield Cause.duplicate(f"{where}.name", container["name"])
            seen.add(container.get("name", ""))
            yield from _host_ports(container, where, hosted)
            if kind == "initContainers" and container.get("restartPolicy") != "Always":
                hosted.clear()
                yield from _init(container, where)
            else:
                yield from probes.validate(container, where, grace)


def images(spec: Obj, path: str) -> Iterator[Cause]:
    """Images are the part of a running pod that may change."""
    for kind in ("containers", "initContainers"):
        for at, one in enumerate(spec.get(kind) or ()):
            yield from _image(one, f"{path}.{kind}[{at}]")


def _init(container: Obj, path: str) -> Iterator[Cause]:
    """Only a sidecar (restartPolicy Always) has probes and hooks among the init containers."""
    yield from rules.one_of(container.get("restartPolicy"), ("Always",), f"{path}.restartPolicy")
    for field in ("lifecycle", *probes.PROBES):
        if field in container:
            yield Cause.forbidden(f"{path}.{field}", _NOT_INIT)


def _container(container: Obj, path: str, named: set[Any]) -> Iterator[Cause]:
    name = container.get("name")
    if not name:
        yield Cause.required(f"{path}.name")
    else:
        yield from rules.named(name, metadata.label, f"{path}.name")
    yield from _image(container, path)
    policy = container.get("terminationMessagePolicy")
    yield from rules.one_of(policy, ("File", "FallbackToLogsOnError"), f"{path}.terminationMessagePolicy")
    yield from _ports(container.get("ports") or (), f"{path}.ports")
    yield from _environment(container, path)
    yield from volumes.mounts(container, f"{path}.volumeMounts", named)
    for at, device in enumerate(container.get("volumeDevices") or ()):
        if device.get("name") not in named:
            yield rules.not_found(f"{path}.volumeDevices[{at}].name", device.get("name", ""))
    yield from rules.one_of(container.get("imagePullPolicy"), PULL, f"{path}.imagePullPolicy")
    yield from amounts.validate(container.get("resources") or {}, f"{path}.resources")
    yield from _resizing(container.get("resizePolicy") or (), f"{path}.resizePolicy")
    yield from security.of_container(container.get("securityContext") or {}, f"{path}.securityContext")


def _resizing(policies: Any, path: str) -> Iterator[Cause]:
    for one in policies:
        yield from rules.one_of(one.get("resourceName"), ("cpu", "memory"), path)
        yield from rules.one_of(one.get("restartPolicy"), ("NotRequired", "RestartContainer"), path)


def _image(container: Obj, path: str) -> Iterator[Cause]:
    image = container.get("image")
    if not image:
        yield Cause.required(f"{path}.image")
    elif image != image.strip():
        yield Cause.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")


def _ports(ports: Any, path: str) -> Iterator[Cause]:
    seen = set()
    for at, port in enumerate(ports):
        where, name, number = f"{path}[{at}]", port.get("name"), port.get("containerPort")
        if name:
            yield from rules.named(name, rules.port_name, f"{where}.name")
            if name in seen:
                yield Cause.duplicate(f"{where}.name", name)
            seen.add(name)
        if not number:
            yield Cause.required(f"{where}.containerPort")
        else:
            yield from rules.port(number, f"{where}.containerPort")
        yield from rules.port(port.get("hostPort") or None, f"{where}.hostPort")
        yield from rules.one_of(port.get("protocol"), ("SCTP", "TCP", "UDP"), f"{where}.protocol")


def _host_ports(container: Obj, path: str, seen: set[str]) -> Iterator[Cause]:
    for at, port in enumerate(container.get("ports") or ()):
        if not port.get("hostPort"):
            continue
        taken = f"{port.get('protocol')}/{port.get('hostIP', '')}/{port['hostPort']}"
        if taken in seen:
            yield Cause.duplicate(f"{path}.ports[{at}].hostPort", taken)
        seen.add(taken)


def _is_variable(name: str) -> bool:
    return name.isprintable() and name.isascii() and "=" not in name


def _environment(container: Obj, path: str) -> Iterator[Cause]:
    for at, variable in enumerate(container.get("env") or ()):
        where, name = f"{path}.env[{at}]", variable.get("name")
        if not name:
            yield Cause.required(f"{where}.name")
        elif not _is_variable(name):
            yield Cause.invalid(f"{where}.name", name, _ENV_WORDS)
        if "valueFrom" in variable:
            yield from _value_from(variable, f"{where}.valueFrom")
    for at, source in enumerate(container.get("envFrom") or ()):
        yield from _from(source, f"{path}.envFrom", at)


def _from(source: Obj, path: str, at: int) -> Iterator[Cause]:
    prefix = source.get("prefix") or ""
    if not _is_variable(prefix):
        yield Cause.invalid(f"{path}[{at}].prefix", prefix, _ENV_WORDS)
    kinds = [kind for kind in ("configMapRef", "secretRef") if kind in source]
    for kind in kinds:
        name, where = source[kind].get("name"), f"{path}[{at}].{kind}.name"
        if not name:
            yield Cause.required(where)
        else:
            yield from rules.named(name, metadata.subdomain, where)
    if not kinds:
        yield Cause.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
    elif len(kinds) > 1:
        yield Cause.invalid(path, "", "may not have more than one field specified at a time")


def _value_from(variable: Obj, path: str) -> Iterator[Cause]:
    source = variable["valueFrom"]
    given = [kind for kind in SOURCES if kind in source]
    if "fieldRef" in source:
        yield from references.field(source["fieldRef"], f"{path}.fieldRef", references.ENV_FIELDS)
    if "resourceFieldRef" in source:
        yield from references.resource(source["resourceFieldRef"], f"{path}.resourceFieldRef")
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if kind in source:
            yield from _key(source[kind], f"{path}.{kind}")
    if not given:
        words = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        yield Cause.invalid(path, "", words)
    elif variable.get("value"):
        yield Cause.invalid(path, "", "may not be specified when `value` is not empty")
    elif len(given) > 1:
        yield Cause.invalid(path, "", "may not have more than one field specified at a time")


def _key(reference: Obj, path: str) -> Iterator[Cause]:
    """An empty name is left alone: it means that nothing is there."""
    if reference.get("name"):
        yield from rules.named(reference["name"], metadata.subdomain, f"{path}.name")
    else:
        yield Cause.invalid(f"{path}.name", "", metadata.SUBDOMAIN_WORDS)
    if not reference.get("key"):
        yield Cause.required(f"{path}.key")
    else:
        yield from rules.named(reference["key"], metadata.config_key, f"{path}.key")
