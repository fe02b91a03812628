"""Endpoint slices, leases and network policies. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from devplane.errors import Cause
from devplane.kinds import metadata, networking, rules
from devplane.schemas.types import Obj

ADDRESSES = ("FQDN", "IPv4", "IPv6")


def default_slice(endpoint_slice: Obj) -> None:
    for port in endpoint_slice.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def default_endpoints(endpoints: Obj) -> None:
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            port.setdefault("protocol", "TCP")


def default_network_policy(policy: Obj) -> None:
    spec = policy["spec"]
    for rule in [*(spec.get("ingress") or ()), *(spec.get("egress") or ())]:
        for port in rule.get("ports") or ():
            port.setdefault("protocol", "TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def validate_slice(new: Obj, old: Obj | None) -> list[Cause]:
    kind = new.get("addressType")
    found = [] if kind else [Cause.required("addressType")]
    found += rules.one_of(kind or None, ADDRESSES, "addressType")
    if old is not None and kind != old.get("addressType"):
        found.append(Cause.invalid("addressType", kind, rules.IMMUTABLE))
    for at, endpoint in enumerate(new.get("endpoints") or ()):
        if not endpoint.get("addresses"):
            detail = "must contain at least 1 address"
            found.append(Cause.required(f"endpoints[{at}].addresses", detail))
        found += _endpoint(endpoint, kind, f"endpoints[{at}]")
    return [*found, *_ports(new.get("ports") or ())]


def _endpoint(endpoint: Obj, kind: str | None, path: str) -> Iterator[Cause]:
    for at, address in enumerate(endpoint.get("addresses") or ()):
        if kind in ("IPv4", "IPv6"):
            yield from networking.address(address, f"{path}.addresses[{at}]")
    if endpoint.get("hostname"):
        yield from rules.named(endpoint["hostname"], metadata.label, f"{path}.hostname")
    if endpoint.get("nodeName"):
        yield from rules.named(endpoint["nodeName"], metadata.subdomain, f"{path}.nodeName")


def _ports(ports: Sequence[Obj]) -> Iterator[Cause]:
    seen: set[str] = set()
    for at, port in enumerate(ports):
        name = port.get("name") or ""
        if name:
            yield from rules.named(name, metadata.label, f"ports[{at}].name")
        if name in seen:
            yield Cause.duplicate(f"ports[{at}].name", name)
        seen.add(name)
        yield from rules.one_of(port.get("protocol"), ("SCTP", "TCP", "UDP"), f"ports[{at}].protocol")


def validate_endpoints(new: Obj, _: Obj | None) -> list[Cause]:
    found: list[Cause] = []
    for at, subset in enumerate(new.get("subsets") or ()):
        path = f"subsets[{at}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            found.append(Cause.required(path, "must specify `addresses` or `notReadyAddresses`"))
        for kind in ("addresses", "notReadyAddresses"):
            for number, one in enumerate(subset.get(kind) or ()):
                found += networking.address(one.get("ip", ""), f"{path}.{kind}[{number}].ip")
        ports = subset.get("ports") or ()
        for number, port in enumerate(ports):
            where = f"{path}.ports[{number}]"
            if len(ports) > 1 and not port.get("name"):
                found.append(Cause.required(f"{where}.name"))
            found += rules.port(port.get("port", 0), f"{where}.port")
            found += rules.one_of(port.get("protocol"), ("SCTP", "TCP", "UDP"), f"{where}.protocol")
    return found


def validate_lease(new: Obj, _: Obj | None) -> list[Cause]:
    spec = new.get("spec") or {}
    found = []
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        found.append(Cause.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
    transitions = spec.get("leaseTransitions")
    if transitions is not None and transitions < 0:
        detail = "must be greater than or equal to 0"
        found.append(Cause.invalid("spec.leaseTransitions", transitions, detail))
    return found
