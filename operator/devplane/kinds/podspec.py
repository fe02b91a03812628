"""What a PodSpec may say, in a pod or in a template, in the server's words. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devplane.errors import Cause
from devplane.kinds import metadata, rules, volumes
from devplane.schemas.quantities import amount
from devplane.schemas.types import Obj

RESTART = ("Always", "OnFailure", "Never")
DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
PULL = ("Always", "IfNotPresent", "Never")
HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
STANDARD = ("cpu", "memory", "ephemeral-storage")
SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def validate(spec: Obj, path: str) -> list[Cause]:
    """Causes in a defaulted PodSpec."""
    named = {one.get("name") for one in spec.get("volumes") or ()}
    found = [*volumes.validate(spec.get("volumes") or [], f"{path}.volumes")]
    found += _containers(spec, path, named)
    found += rules.one_of(spec.get("restartPolicy"), RESTART, f"{path}.restartPolicy")
    found += rules.one_of(spec.get("dnsPolicy"), DNS, f"{path}.dnsPolicy")
    found += metadata.labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    found += _names(spec, path)
    found += _tolerations(spec.get("tolerations") or (), f"{path}.tolerations")
    found += rules.not_negative(spec.get("terminationGracePeriodSeconds"), f"{path}.terminationGracePeriodSeconds")
    found += rules.within(spec.get("activeDeadlineSeconds"), 1, 2**31 - 1, f"{path}.activeDeadlineSeconds")
    return found


def template(owner: Obj, path: str) -> list[Cause]:
    """Causes in a pod template: its metadata's labels and annotations, and its spec."""
    meta = owner.get("metadata") or {}
    found = metadata.labels(meta.get("labels"), f"{path}.labels")
    found += metadata.annotated(meta.get("annotations"), f"{path}.annotations")
    return found + validate(owner.get("spec") or {}, f"{path}.spec")


def images(spec: Obj, path: str) -> list[Cause]:
    """Images are the part of a running pod that may change."""
    kinds = ("initContainers", "containers")
    pairs = [(f"{path}.{kind}[{at}]", one) for kind in kinds for at, one in enumerate(spec.get(kind) or ())]
    return [cause for where, one in pairs for cause in _image(one, where)]


def _containers(spec: Obj, path: str, named: set[Any]) -> Iterator[Cause]:
    if not spec.get("containers"):
        yield Cause.required(f"{path}.containers")
    seen: set[str] = set()
    for kind in ("containers", "initContainers"):
        for at, container in enumerate(spec.get(kind) or ()):
            where = f"{path}.{kind}[{at}]"
            yield from _container(container, where, named)
            if container.get("name") in seen:
                yield Cause.duplicate(f"{where}.name", container["name"])
            seen.add(container.get("name", ""))
            if kind == "initContainers":
                yield from _init(container, where)


def _init(container: Obj, path: str) -> Iterator[Cause]:
    """Only a sidecar (restartPolicy Always) has probes and hooks among the init containers."""
    yield from rules.one_of(container.get("restartPolicy"), ("Always",), f"{path}.restartPolicy")
    if container.get("restartPolicy") == "Always":
        return
    for field in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
        if field in container:
            yield Cause.forbidden(f"{path}.{field}", "may not be set for init containers without restartPolicy=Always")


def _container(container: Obj, path: str, named: set[Any]) -> Iterator[Cause]:
    name = container.get("name")
    if not name:
        yield Cause.required(f"{path}.name")
    else:
        yield from (Cause.invalid(f"{path}.name", name, problem) for problem in metadata.label(name))
    yield from _image(container, path)
    policy = container.get("terminationMessagePolicy")
    yield from rules.one_of(policy, ("FallbackToLogsOnError", "File"), f"{path}.terminationMessagePolicy")
    yield from _ports(container.get("ports") or (), f"{path}.ports")
    yield from _environment(container, path)
    yield from volumes.mounts(container.get("volumeMounts") or (), f"{path}.volumeMounts", named)
    yield from _probes(container, path)
    yield from rules.one_of(container.get("imagePullPolicy"), PULL, f"{path}.imagePullPolicy")
    yield from resources(container.get("resources") or {}, f"{path}.resources")


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
            yield from (Cause.invalid(f"{where}.name", name, problem) for problem in rules.port_name(name))
            if name in seen:
                yield Cause.duplicate(f"{where}.name", name)
            seen.add(name)
        if not number:
            yield Cause.required(f"{where}.containerPort")
        elif not 1 <= number <= 65535:
            yield Cause.invalid(f"{where}.containerPort", number, rules.PORT_WORDS)
        yield from rules.one_of(port.get("protocol"), ("SCTP", "TCP", "UDP"), f"{where}.protocol")


def _environment(container: Obj, path: str) -> Iterator[Cause]:
    for at, variable in enumerate(container.get("env") or ()):
        where, name = f"{path}.env[{at}]", variable.get("name")
        if not name:
            yield Cause.required(f"{where}.name")
        elif not name.isprintable() or not name.isascii() or "=" in name:
            words = "a valid environment variable name must consist only of printable ASCII characters other than '='"
            yield Cause.invalid(f"{where}.name", name, words)
        if "valueFrom" in variable:
            yield from _value_from(variable, f"{where}.valueFrom")
    for at, source in enumerate(container.get("envFrom") or ()):
        if len([kind for kind in ("configMapRef", "secretRef") if kind in source]) != 1:
            yield Cause.invalid(f"{path}.envFrom[{at}]", "", "must specify one of: `configMapRef` or `secretRef`")


def _value_from(variable: Obj, path: str) -> Iterator[Cause]:
    source = variable["valueFrom"]
    given = [kind for kind in SOURCES if kind in source]
    if not given:
        words = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        yield Cause.invalid(path, "", words)
    elif variable.get("value"):
        yield Cause.invalid(path, "", "may not be specified when `value` is not empty")
    elif len(given) > 1:
        yield Cause.invalid(path, "", "may not have more than one field specified at a time")
    if "fieldRef" in source and not source["fieldRef"].get("fieldPath"):
        yield Cause.required(f"{path}.fieldRef.fieldPath")
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if kind in source and not source[kind].get("key"):
            yield Cause.required(f"{path}.{kind}.key")


def _probes(container: Obj, path: str) -> Iterator[Cause]:
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name in container:
            yield from _probe(container[name], f"{path}.{name}", is_readiness=name == "readinessProbe")


def _probe(probe: Obj, path: str, *, is_readiness: bool) -> Iterator[Cause]:
    handlers = [name for name in HANDLERS if name in probe]
    if not handlers:
        yield Cause.required(path, "must specify a handler type")
    for extra in handlers[1:]:
        yield Cause.forbidden(f"{path}.{extra}", "may not specify more than 1 handler type")
    if "exec" in probe and not probe["exec"].get("command"):
        yield Cause.required(f"{path}.exec.command")
    for name in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        yield from rules.not_negative(probe.get(name), f"{path}.{name}")
    if not is_readiness and probe.get("successThreshold", 1) != 1:
        yield Cause.invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def resources(asked: Obj, path: str) -> Iterator[Cause]:
    """Requests and limits: known names, no negative amounts, no request above its limit, whole devices."""
    limits, requests = asked.get("limits") or {}, asked.get("requests") or {}
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name, value in amounts.items():
            yield from _amount(name, value, f"{path}.{kind}", limits)
    for name, value in requests.items():
        if name in limits and amount(value) > amount(limits[name]):
            detail = f"must be less than or equal to {name} limit of {limits[name]}"
            yield Cause.invalid(f"{path}.requests", str(value), detail)


def _amount(name: str, value: Any, path: str, limits: Obj) -> Iterator[Cause]:
    if not _is_known(name):
        yield Cause.invalid(f"{path}[{name}]", name, "must be a standard resource type or fully qualified")
        yield Cause.invalid(f"{path}[{name}]", name, "must be a standard resource for containers")
    if amount(value) < 0:
        yield Cause.invalid(f"{path}[{name}]", str(value), rules.NOT_NEGATIVE)
    if "/" not in name:
        return
    if amount(value) % 1:
        yield Cause.invalid(f"{path}[{name}]", str(value), "must be an integer")
    if name not in limits:
        yield Cause.required(f"{path.rpartition('.')[0]}.limits", "Limit must be set for non overcommitable resources")


def _is_known(name: str) -> bool:
    return name in STANDARD or name.startswith("hugepages-") or "/" in name


def _names(spec: Obj, path: str) -> Iterator[Cause]:
    rules_of = {
        "serviceAccountName": metadata.subdomain, "nodeName": metadata.subdomain,
        "hostname": metadata.label, "subdomain": metadata.label,
    }  # fmt: skip
    for field, rule in rules_of.items():
        if value := spec.get(field):
            yield from (Cause.invalid(f"{path}.{field}", value, problem) for problem in rule(value))


def _tolerations(tolerations: Any, path: str) -> Iterator[Cause]:
    for at, one in enumerate(tolerations):
        where, operator = f"{path}[{at}]", one.get("operator") or "Equal"
        if not one.get("key") and operator != "Exists":
            words = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            yield Cause.invalid(f"{where}.operator", operator, words)
        if operator == "Exists" and one.get("value"):
            yield Cause.invalid(f"{where}.operator", one["value"], "value must be empty when `operator` is 'Exists'")
        elif operator not in ("Equal", "Exists"):
            yield Cause.unsupported(f"{where}.operator", operator, ("Equal", "Exists"))
        effects = ("NoSchedule", "PreferNoSchedule", "NoExecute")
        yield from rules.one_of(one.get("effect") or None, effects, f"{where}.effect")
