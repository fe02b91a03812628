"""What a PodSpec may say, in a pod or in a template, in the server's words. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from devplane.errors import Cause
from devplane.kinds import containers, metadata, placement, rules, security, volumes
from devplane.schemas.types import Obj

RESTART = ("Always", "OnFailure", "Never")
DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_NAMES = {
    "serviceAccountName": metadata.subdomain, "nodeName": metadata.subdomain, "hostname": metadata.label,
    "subdomain": metadata.label, "priorityClassName": metadata.subdomain, "runtimeClassName": metadata.subdomain,
}  # fmt: skip


def validate(spec: Obj, path: str) -> list[Cause]:
    """Causes in a defaulted PodSpec."""
    named = {one.get("name") for one in spec.get("volumes") or ()}
    found = [*volumes.validate(spec.get("volumes") or [], f"{path}.volumes")]
    grace = spec.get("terminationGracePeriodSeconds")
    found += containers.validate(spec, path, named, 30 if grace is None else grace)
    found += _host(spec, path)
    found += rules.one_of(spec.get("restartPolicy"), RESTART, f"{path}.restartPolicy")
    found += rules.one_of(spec.get("dnsPolicy"), DNS, f"{path}.dnsPolicy")
    found += metadata.labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    found += security.of_pod(spec.get("securityContext") or {}, spec, f"{path}.securityContext")
    found += _dns(spec.get("dnsConfig"), spec.get("dnsPolicy"), f"{path}.dnsConfig")
    found += placement.validate(spec, path)
    for field, rule in _NAMES.items():
        if spec.get(field):
            found += rules.named(spec[field], rule, f"{path}.{field}")
    found += rules.within(spec.get("activeDeadlineSeconds"), 1, 2**31 - 1, f"{path}.activeDeadlineSeconds")
    found += _aliases(spec.get("hostAliases") or (), f"{path}.hostAliases")
    policies = ("Never", "PreemptLowerPriority")
    found += rules.one_of(spec.get("preemptionPolicy"), policies, f"{path}.preemptionPolicy")
    return [*found, *_system(spec.get("os"), f"{path}.os")]


def template(owner: Obj, path: str) -> list[Cause]:
    """Causes in a pod template: its metadata's labels and annotations, and its spec."""
    meta = owner.get("metadata") or {}
    found = metadata.labels(meta.get("labels"), f"{path}.labels")
    found += metadata.annotated(meta.get("annotations"), f"{path}.annotations")
    spec = owner.get("spec") or {}
    found += validate(spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        detail = "ephemeral containers not allowed in pod template"
        found.append(Cause.forbidden(f"{path}.spec.ephemeralContainers", detail))
    return found


def _host(spec: Obj, path: str) -> Iterator[Cause]:
    """A pod in the host's network has the ports that its containers say."""
    if not spec.get("hostNetwork"):
        return
    for kind in ("containers", "initContainers"):
        for at, one in enumerate(spec.get(kind) or ()):
            for number, port in enumerate(one.get("ports") or ()):
                if port.get("hostPort") != port.get("containerPort"):
                    where = f"{path}.{kind}[{at}].ports[{number}].hostPort"
                    detail = "must match `containerPort` when `hostNetwork` is true"
                    yield Cause.invalid(where, port.get("hostPort", 0), detail)


def _dns(found: Obj | None, policy: Any, path: str) -> Iterator[Cause]:
    servers = (found or {}).get("nameservers") or []
    if policy == "None" and found is None:
        yield Cause.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
    elif policy == "None" and not servers:
        yield Cause.required(f"{path}.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")
    if len(servers) > 3:
        shown = rules.go_list(servers)
        yield rules.invalid_go(f"{path}.nameservers", shown, "must not have more than 3 nameservers")
    for at, one in enumerate(servers):
        yield from ip_address(one, f"{path}.nameservers[{at}]")
    for at, one in enumerate((found or {}).get("searches") or ()):
        if one not in ("", "."):
            yield from rules.named(one.removesuffix("."), metadata.search_domain, f"{path}.searches[{at}]")
    for at, one in enumerate((found or {}).get("options") or ()):
        if not one.get("name"):
            yield Cause.required(f"{path}.options[{at}]", "must not be empty")


def ip_address(text: str, path: str) -> Iterator[Cause]:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        yield Cause.invalid(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")


def _aliases(found: Any, path: str) -> Iterator[Cause]:
    for at, one in enumerate(found):
        yield from ip_address(one.get("ip", ""), f"{path}[{at}].ip")
        for number, name in enumerate(one.get("hostnames") or ()):
            yield from rules.named(name, metadata.subdomain, f"{path}[{at}].hostnames[{number}]")


def _system(found: Obj | None, path: str) -> Iterator[Cause]:
    if found is None:
        return
    if not found.get("name"):
        yield Cause.required(f"{path}.name")
    else:
        yield from rules.one_of(found["name"], ("linux", "windows"), path)
