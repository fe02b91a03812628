"""Endpoint slices, leases and network policies. Pure."""

from __future__ import annotations

from devplane.errors import Cause
from devplane.kinds import rules
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
