"""The cells of Services, of what they lead to, and of what leads to them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from devplane.printing.parts import NONE, UNKNOWN, UNSET, Cells, Obj, first_of, labels, name, selector, spec, status
from devplane.printing.times import age


def _service(obj: Obj, now: datetime) -> list[Any]:
    wanted = spec(obj)
    return [name(obj), wanted.get("type", ""), wanted.get("clusterIP") or NONE, _external(obj), _ports(wanted),
            age(obj, now), labels(wanted.get("selector"))]  # fmt: skip


def _external(service: Obj) -> str:
    wanted = spec(service)
    given = list(wanted.get("externalIPs") or ())
    match wanted.get("type"):
        case "ExternalName":
            return str(wanted.get("externalName", ""))
        case "LoadBalancer":
            return ",".join([*_balanced(service), *given]) or "<pending>"
        case "ClusterIP" | "NodePort":
            return ",".join(given) or NONE
        case _:
            return UNKNOWN


def _balanced(obj: Obj) -> list[str]:
    """The addresses that a load balancer gave, each once."""
    given: Iterable[Obj] = (status(obj).get("loadBalancer") or {}).get("ingress") or ()
    return sorted({one.get("ip") or one.get("hostname", "") for one in given} - {""})


def _ports(wanted: Obj) -> str:
    def shown(port: Obj) -> str:
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        return f"{port['port']}{node}/{port.get('protocol', 'TCP')}"

    return ",".join(shown(port) for port in wanted.get("ports") or ()) or NONE


def _slice(obj: Obj, now: datetime) -> list[Any]:
    ports = [str(port.get("port") or port.get("name", "*")) for port in obj.get("ports") or ()]
    addresses = [one for endpoint in obj.get("endpoints") or () for one in endpoint.get("addresses") or ()]
    return [name(obj), obj.get("addressType", ""), first_of(ports, UNSET), first_of(addresses, UNSET), age(obj, now)]


def _endpoints(obj: Obj, now: datetime) -> list[Any]:
    """Ready addresses only, each with each of its ports."""
    shown = []
    for subset in obj.get("subsets") or ():
        ends = [f":{port['port']}" for port in subset.get("ports") or ()] or [""]
        shown += [f"{_host(one['ip'], end)}{end}" for end in ends for one in subset.get("addresses") or ()]
    return [name(obj), first_of(shown, "" if obj.get("subsets") else NONE), age(obj, now)]


def _host(address: str, end: str) -> str:
    return f"[{address}]" if end and ":" in address else address


def _ingress(obj: Obj, now: datetime) -> list[Any]:
    wanted = spec(obj)
    ports = "80, 443" if wanted.get("tls") else "80"
    return [name(obj), wanted.get("ingressClassName", NONE), _hosts(wanted.get("rules") or []),
            ",".join(_balanced(obj)), ports, age(obj, now)]  # fmt: skip


def _hosts(rules: list[Obj]) -> str:
    """The first three hosts; rules without one count among those left out, as Kubernetes has it."""
    hosts: list[str] = []
    is_cut = False
    for rule in rules:
        is_cut = is_cut or len(hosts) == 3
        if not is_cut and rule.get("host"):
            hosts.append(rule["host"])
    return (",".join(hosts) or "*") + (f" + {len(rules) - 3} more..." if is_cut else "")


def _ingress_class(obj: Obj, now: datetime) -> list[Any]:
    annotations = obj["metadata"].get("annotations") or {}
    is_default = annotations.get("ingressclass.kubernetes.io/is-default-class") == "true"
    return [name(obj) + (" (default)" if is_default else ""), spec(obj).get("controller", ""),
            _parameters(spec(obj).get("parameters")), age(obj, now)]  # fmt: skip


def _parameters(given: Obj | None) -> str:
    if not given:
        return NONE
    kind = f"{given['kind']}.{given['apiGroup']}" if given.get("apiGroup") is not None else given["kind"]
    return f"{kind}/{given['name']}"


def _network_policy(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), selector(spec(obj).get("podSelector")), age(obj, now)]


def _api_service(obj: Obj, now: datetime) -> list[Any]:
    service = spec(obj).get("service")
    held = next((one for one in status(obj).get("conditions") or () if one["type"] == "Available"), None)
    return [name(obj), f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local",
            _available(held), age(obj, now)]  # fmt: skip


def _available(condition: Obj | None) -> str:
    if condition is None:
        return "Unknown"
    why = condition.get("reason")
    return f"{condition['status']} ({why})" if why and condition["status"] != "True" else str(condition["status"])


NETWORKS: Mapping[str, Cells] = {
    "services": _service,
    "endpoints": _endpoints,
    "endpointslices.discovery.k8s.io": _slice,
    "ingresses.networking.k8s.io": _ingress,
    "ingressclasses.networking.k8s.io": _ingress_class,
    "networkpolicies.networking.k8s.io": _network_policy,
    "apiservices.apiregistration.k8s.io": _api_service,
}
