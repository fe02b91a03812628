"""Ingresses and NetworkPolicies, which nothing here enforces, and addresses of endpoints. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from devplane.errors import Cause
from devplane.kinds import metadata, rules
from devplane.schemas.types import Obj

_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_CLASS = "kubernetes.io/ingress.class"
IP_WORDS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_LOOPBACK = "may not be in the loopback range (127.0.0.0/8, ::1/128)"


def address(text: str, path: str) -> Iterator[Cause]:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        yield Cause.invalid(path, text, IP_WORDS)


def reachable(text: str, path: str) -> Iterator[Cause]:
    """An address that others reach: none of this machine's own."""
    wrong = list(address(text, path))
    yield from wrong
    if not wrong and ipaddress.ip_address(text).is_loopback:
        yield Cause.invalid(path, text, _LOOPBACK)


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None


def validate_ingress(new: Obj, _: Obj | None) -> list[Cause]:
    spec = new.get("spec") or {}
    found = [cause for at, one in enumerate(spec.get("rules") or ()) for cause in _rule(one, f"spec.rules[{at}]")]
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        shown, detail = "networking.IngressSpec{}", "either `defaultBackend` or `rules` must be specified"
        found.append(rules.invalid_go("spec", shown, detail))
    if "defaultBackend" in spec:
        found += _backend(spec["defaultBackend"], "spec.defaultBackend")
    for at, one in enumerate(spec.get("tls") or ()):
        for number, host in enumerate(one.get("hosts") or ()):
            found += _host(host, f"spec.tls[{at}].hosts[{number}]")
    name, annotated = spec.get("ingressClassName"), (new["metadata"].get("annotations") or {}).get(_CLASS)
    if name is not None:
        found += rules.named(name, metadata.subdomain, "spec.ingressClassName")
    if annotated is not None and name is not None and name != annotated:
        detail = "must match `ingressClassName` when both are specified"
        found.append(Cause.invalid(f"annotations.{_CLASS}", annotated, detail))
    return found


def _host(host: str, path: str) -> Iterator[Cause]:
    return rules.named(host.removeprefix("*."), metadata.subdomain, path)


def _rule(rule: Obj, path: str) -> Iterator[Cause]:
    host = rule.get("host") or ""
    if host and not list(address(host, path)):
        yield Cause.invalid(f"{path}.host", host, "must be a DNS name, not an IP address")
    elif host:
        yield from _host(host, f"{path}.host")
    if "http" not in rule:
        return
    if not rule["http"].get("paths"):
        yield Cause.required(f"{path}.http.paths")
    for at, one in enumerate(rule["http"].get("paths") or ()):
        yield from _path(one, f"{path}.http.paths[{at}]")


def _path(one: Obj, path: str) -> Iterator[Cause]:
    place, kind = one.get("path") or "", one.get("pathType")
    if kind is None:
        yield Cause.required(f"{path}.pathType", "pathType must be specified")
    elif kind in ("Exact", "Prefix") or place:
        if kind in _TYPES and not place.startswith("/"):
            yield Cause.invalid(f"{path}.path", place, "must be an absolute path")
        elif kind in ("Exact", "Prefix"):
            for stray in ("//", "/./", "/../", "%2f", "%2F"):
                if stray in place:
                    yield Cause.invalid(f"{path}.path", place, f"must not contain '{stray}'")
    yield from rules.one_of(kind, _TYPES, f"{path}.pathType")
    yield from _backend(one.get("backend") or {}, f"{path}.backend")


def _backend(backend: Obj, path: str) -> Iterator[Cause]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        yield Cause.invalid(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        for field in ("kind", "name"):
            if not resource.get(field):
                yield Cause.required(f"{path}.resource.{field}")
    elif service is None:
        yield Cause.invalid(path, "", "resource or service backend is required")
    else:
        yield from _service(service, path)


def _service(service: Obj, path: str) -> Iterator[Cause]:
    name, port = service.get("name"), service.get("port") or {}
    if not name:
        yield Cause.required(f"{path}.service.name")
    else:
        yield from rules.named(name, metadata.label_1035, f"{path}.service.name")
    if port.get("name") and port.get("number"):
        yield Cause.invalid(path, "", "cannot set both port name & port number")
    elif port.get("name"):
        yield from rules.named(port["name"], rules.port_name, f"{path}.service.port.name")
    elif port.get("number"):
        yield from rules.port(port["number"], f"{path}.service.port.number")
    else:
        yield Cause.required(path, "port name or number is required")


def validate_policy(new: Obj, _: Obj | None) -> list[Cause]:
    spec = new["spec"]
    found = [*rules.selector(spec.get("podSelector"), "spec.podSelector")]
    for kind, side in (("ingress", "from"), ("egress", "to")):
        for at, rule in enumerate(spec.get(kind) or ()):
            path = f"spec.{kind}[{at}]"
            for number, port in enumerate(rule.get("ports") or ()):
                found += _port(port, f"{path}.ports[{number}]")
            for number, peer in enumerate(rule.get(side) or ()):
                found += _peer(peer, f"{path}.{side}[{number}]")
    types = spec.get("policyTypes") or []
    if len(types) > 2:
        shown, detail = rules.go_list(types), "may not specify more than two policyTypes"
        return [*found, rules.invalid_go("spec.policyTypes", shown, detail)]
    for at, one in enumerate(types):
        found += rules.one_of(one, ("Ingress", "Egress"), f"spec.policyTypes[{at}]")
    return found


def _port(found: Obj, path: str) -> Iterator[Cause]:
    yield from rules.one_of(found.get("protocol"), ("TCP", "UDP", "SCTP"), f"{path}.protocol")
    port, end = found.get("port"), found.get("endPort")
    if isinstance(port, int):
        yield from rules.port(port, f"{path}.port")
        if end is not None and end < port:
            yield Cause.invalid(f"{path}.endPort", port, "must be greater than or equal to `port`")
    elif isinstance(port, str):
        if end is not None:
            yield Cause.invalid(f"{path}.endPort", end, "may not be specified when `port` is non-numeric")
        yield from rules.named(port, rules.port_name, f"{path}.port")
    elif end is not None:
        yield Cause.invalid(f"{path}.endPort", end, "may not be specified when `port` is not specified")


def _peer(peer: Obj, path: str) -> Iterator[Cause]:
    if not peer:
        yield Cause.required(path, "must specify a peer")
    for field in ("podSelector", "namespaceSelector"):
        yield from rules.selector(peer.get(field), f"{path}.{field}")
    if "ipBlock" not in peer:
        return
    if len(peer) > 1:
        yield Cause.forbidden(path, "may not specify both ipBlock and another peer")
    yield from _block(peer["ipBlock"], f"{path}.ipBlock")


def _block(block: Obj, path: str) -> Iterator[Cause]:
    text = block.get("cidr", "")
    if not text:
        yield Cause.required(f"{path}.cidr")
        return
    whole: Any = network(text)
    if whole is None:
        yield Cause.invalid(f"{path}.cidr", text, _CIDR)
    for at, one in enumerate(block.get("except") or ()):
        part: Any = network(one)
        if part is None:
            yield Cause.invalid(f"{path}.except[{at}]", one, _CIDR)
        elif whole is not None and (part.version != whole.version or not part.subnet_of(whole) or part == whole):
            yield Cause.invalid(f"{path}.except[{at}]", one, "must be a strict subset of `cidr`")


def cidr(text: str, path: str) -> Iterator[Cause]:
    if network(text) is None:
        yield Cause.invalid(path, text, _CIDR)
