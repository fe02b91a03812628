"""Services: defaults, ports, addresses that may not change. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devplane.errors import Cause, go_quote
from devplane.kinds import metadata, networking, rules
from devplane.schemas.types import Obj

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")


def default(service: Obj) -> None:
    spec = service["spec"]
    spec.setdefault("sessionAffinity", "None")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        timeout = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        timeout.setdefault("timeoutSeconds", 10800)
    kind = spec.setdefault("type", "ClusterIP")
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port["targetPort"] = port.get("targetPort") or port.get("port")
    if kind in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if kind != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def prepare(new: Obj, old: Obj | None) -> None:
    """`clusterIP` and the first of `clusterIPs` are one thing: whichever the client changed wins."""
    spec, before = new["spec"], (old or {}).get("spec") or {}
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    elif spec.get("clusterIPs") == before.get("clusterIPs") and spec.get("clusterIP") != before.get("clusterIP"):
        _follow(spec, "clusterIPs", [spec["clusterIP"]] if spec.get("clusterIP") else None)
    elif spec.get("clusterIPs") and spec.get("clusterIP") == before.get("clusterIP"):
        spec["clusterIP"] = spec["clusterIPs"][0]


def _follow(spec: Obj, field: str, value: Any) -> None:
    spec.pop(field, None)
    if value is not None:
        spec[field] = value


def validate(new: Obj, old: Obj | None) -> list[Cause]:
    spec = new["spec"]
    kind = spec.get("type")
    found = [*_ports(spec)]
    found += metadata.labels(spec.get("selector"), "spec.selector")
    found += rules.one_of(spec.get("sessionAffinity"), ("ClientIP", "None"), "spec.sessionAffinity")
    found += rules.one_of(kind, TYPES, "spec.type")
    if kind == "ExternalName":
        found += _external(spec)
    if kind in ("LoadBalancer", "NodePort") and spec.get("clusterIP") == "None":
        detail = f"may not be set to 'None' for {kind} services"
        found.append(Cause.invalid("spec.clusterIPs[0]", "None", detail))
    found += [*_families(spec), *_affinity(spec), *_outside(spec), *_own_addresses(spec)]
    return found if old is None else [*found, *_addresses(spec, old["spec"])]


def _families(spec: Obj) -> Iterator[Cause]:
    """There is one network of one family."""
    for at, one in enumerate(spec.get("ipFamilies") or ()):
        yield from rules.one_of(one, ("IPv4", "IPv6"), f"spec.ipFamilies[{at}]")
        if one == "IPv6" and spec.get("clusterIP") != "None":
            yield Cause.invalid(f"spec.ipFamilies[{at}]", one, "not configured on this cluster")
    policy = spec.get("ipFamilyPolicy")
    yield from rules.one_of(policy, ("PreferDualStack", "RequireDualStack", "SingleStack"), "spec.ipFamilyPolicy")
    if policy == "RequireDualStack" and spec.get("clusterIP") != "None":
        detail = "this cluster is not configured for dual-stack services"
        yield Cause.invalid("spec.ipFamilyPolicy", policy, detail)


def _affinity(spec: Obj) -> Iterator[Cause]:
    seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
    if spec.get("sessionAffinity") == "ClientIP" and seconds is not None and not 0 < seconds <= 86400:
        path, detail = (
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
            "must be greater than 0 and less than 86400",
        )
        yield Cause.invalid(path, seconds, detail)


def _outside(spec: Obj) -> Iterator[Cause]:
    """What only services have that are reached from outside."""
    kind, policies = spec.get("type"), ("Cluster", "Local")
    for at, one in enumerate(spec.get("externalIPs") or ()):
        yield from networking.reachable(one, f"spec.externalIPs[{at}]")
    ranges = spec.get("loadBalancerSourceRanges") or ()
    if kind != "LoadBalancer":
        words = "may only be used when `type` is 'LoadBalancer'"
        if ranges:
            yield Cause.forbidden("spec.LoadBalancerSourceRanges", words)
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if field in spec:
                yield Cause.forbidden(f"spec.{field}", words)
    for at, one in enumerate(ranges):
        yield from networking.cidr(one, f"spec.LoadBalancerSourceRanges[{at}]")
    external = spec.get("externalTrafficPolicy")
    if external is not None and kind not in ("LoadBalancer", "NodePort") and not spec.get("externalIPs"):
        detail = "may only be set for externally-accessible services"
        yield Cause.invalid("spec.externalTrafficPolicy", external, detail)
    else:
        yield from rules.one_of(external, policies, "spec.externalTrafficPolicy")
    yield from rules.one_of(spec.get("internalTrafficPolicy"), policies, "spec.internalTrafficPolicy")
    yield from rules.one_of(spec.get("trafficDistribution"), ("PreferClose",), "spec.trafficDistribution")
    if spec.get("healthCheckNodePort") and (kind != "LoadBalancer" or external != "Local"):
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield Cause.invalid("spec.healthCheckNodePort", spec["healthCheckNodePort"], detail)


def _own_addresses(spec: Obj) -> Iterator[Cause]:
    first, every = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    if spec.get("type") == "ExternalName":
        if every:
            yield Cause.forbidden("spec.clusterIPs", "may not be set for ExternalName services")
        return
    if every and first != every[0]:
        detail = "first value must match `clusterIP`" if first else "must be empty when `clusterIP` is not specified"
        yield rules.invalid_go("spec.clusterIPs", rules.go_list(every), detail)
    for at, one in enumerate(every):
        if one != "None":
            yield from networking.address(one, f"spec.clusterIPs[{at}]")


def _external(spec: Obj) -> Iterator[Cause]:
    name = (spec.get("externalName") or "").rstrip(".")
    if not name:
        yield Cause.required("spec.externalName")
        return
    yield from (Cause.invalid("spec.externalName", name, problem) for problem in metadata.subdomain(name))


def _addresses(spec: Obj, old: Obj) -> Iterator[Cause]:
    """The first cluster IP is for ever, unless the service is or becomes an ExternalName."""
    if "ExternalName" in (spec.get("type"), old.get("type")) or not old.get("clusterIPs"):
        return
    addresses = spec.get("clusterIPs") or []
    if not addresses:
        yield Cause.invalid("spec.clusterIPs[0]", "", "primary clusterIP can not be unset")
    elif addresses[0] != old["clusterIPs"][0]:
        shown = f"[]string{{{', '.join(go_quote(one) for one in addresses)}}}"
        yield rules.invalid_go("spec.clusterIPs[0]", shown, "may not change once set")


def _ports(spec: Obj) -> Iterator[Cause]:
    ports = spec.get("ports") or []
    if not ports and spec.get("clusterIP") != "None" and spec.get("type") != "ExternalName":
        yield Cause.required("spec.ports")
    names: set[str] = set()
    for at, port in enumerate(ports):
        where = f"spec.ports[{at}]"
        yield from _name(port, where, names, is_only=len(ports) == 1)
        number = port.get("port")
        if number is None or not 1 <= number <= 65535:
            yield Cause.invalid(f"{where}.port", number or 0, rules.PORT_WORDS)
        yield from rules.one_of(port.get("protocol"), ("SCTP", "TCP", "UDP"), f"{where}.protocol")
        if port.get("nodePort") and spec.get("type") not in ("LoadBalancer", "NodePort"):
            detail = f"may not be used when `type` is '{spec.get('type')}'"
            yield Cause.forbidden(f"{where}.nodePort", detail)
        if port.get("appProtocol"):
            yield from metadata.label_key(port["appProtocol"], f"{where}.appProtocol")
        yield from _target(port.get("targetPort"), f"{where}.targetPort")
        same = [one for one in ports[:at] if _listens(one) == _listens(port)]
        if same:
            yield Cause("FieldValueDuplicate", f"Duplicate value: {_go_port(port)}", where)


def _name(port: Obj, where: str, names: set[str], *, is_only: bool) -> Iterator[Cause]:
    name = port.get("name")
    if not name:
        if not is_only:
            yield Cause.required(f"{where}.name")
        return
    yield from (Cause.invalid(f"{where}.name", name, problem) for problem in metadata.label(name))
    if name in names:
        yield Cause.duplicate(f"{where}.name", name)
    names.add(name)


def _target(target: Any, where: str) -> Iterator[Cause]:
    if isinstance(target, int) and not 1 <= target <= 65535:
        yield Cause.invalid(where, target, rules.PORT_WORDS)
    elif isinstance(target, str):
        yield from (Cause.invalid(where, target, problem) for problem in rules.port_name(target))


def _listens(port: Obj) -> tuple[Any, Any]:
    return port.get("protocol"), port.get("port")


def _go_port(port: Obj) -> str:
    target = rules.go_int_or_string(port.get("targetPort"))
    return (
        f'core.ServicePort{{Name:"", Protocol:{go_quote(port.get("protocol", ""))}, AppProtocol:(*string)(nil), '
        f"Port:{port.get('port', 0)}, TargetPort:{target}, NodePort:{port.get('nodePort', 0)}}}"
    )
