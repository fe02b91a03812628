"""The names that Services and their pods have inside pods, as lines of a hosts file. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devplane.objects import Obj, name_of, namespace_of

DOMAIN = "cluster.local"
SERVICE_LABEL = "kubernetes.io/service-name"

Target = tuple[str, int]
"""(address, port) of a pod that is ready."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A ready pod of a Service; `hostname` where the pod has a name within the Service."""

    address: str
    hostname: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """`address` is empty for a headless Service; `ports` maps each TCP port to the targets behind it."""

    namespace: str
    name: str
    address: str
    endpoints: tuple[Endpoint, ...]
    ports: tuple[tuple[int, tuple[Target, ...]], ...]


def services(objects: Iterable[Obj], slices: Iterable[Obj]) -> tuple[Service, ...]:
    """What is there to resolve, from Services and EndpointSlices. An ExternalName has no address and is left out."""
    of_service: dict[tuple[str, str], list[Obj]] = {}
    for one in slices:
        name = (one["metadata"].get("labels") or {}).get(SERVICE_LABEL, "")
        of_service.setdefault((namespace_of(one), name), []).append(one)
    return tuple(
        _service(one, of_service.get((namespace_of(one), name_of(one)), ()))
        for one in objects
        if one["spec"].get("type") != "ExternalName"
    )


def _service(service: Mapping[str, Any], slices: Sequence[Obj]) -> Service:
    address = service["spec"].get("clusterIP") or ""
    ready = [endpoint for one in slices for endpoint in _ready(one)]
    endpoints = tuple(Endpoint(address, one.get("hostname", "")) for one in ready for address in one["addresses"])
    ports = tuple(
        (int(port["port"]), _targets(port, slices))
        for port in service["spec"].get("ports") or ()
        if port.get("protocol", "TCP") == "TCP"
    )
    return Service(namespace_of(service), name_of(service), "" if address == "None" else address, endpoints, ports)


def _ready(one: Mapping[str, Any]) -> Iterator[Obj]:
    yield from (found for found in one.get("endpoints") or () if (found.get("conditions") or {}).get("ready", True))


def _targets(port: Mapping[str, Any], slices: Sequence[Obj]) -> tuple[Target, ...]:
    name = port.get("name", "")
    return tuple(
        (address, int(offered["port"]))
        for one in slices
        for offered in one.get("ports") or ()
        if offered.get("name", "") == name
        for endpoint in _ready(one)
        for address in endpoint["addresses"]
    )


def own_line(pod: Mapping[str, Any], address: str) -> str:
    """A pod's own names, which it knows before it is ready."""
    short = hostname(pod)
    subdomain = pod["spec"].get("subdomain")
    if not subdomain:
        return f"{address}\t{short}"
    space = namespace_of(pod)
    return f"{_line(address, f'{short}.{subdomain}', space, space)} {short}"


def hostname(pod: Mapping[str, Any]) -> str:
    """At most 63 characters, as the kernel wants it; like a kubelet, without what a cut leaves at the end."""
    return str(pod["spec"].get("hostname") or name_of(pod))[:63].rstrip("-.")


def alias_lines(pod: Mapping[str, Any]) -> list[str]:
    aliases = pod["spec"].get("hostAliases") or ()
    return [f"{one['ip']}\t{' '.join(one.get('hostnames') or ())}" for one in aliases]


def lines(known: Iterable[Service], namespace: str) -> list[str]:
    """A line for each address; the first name is the full one, then the shorter ones that work in `namespace`."""
    found = []
    for service in known:
        if service.address:
            found.append(_line(service.address, service.name, service.namespace, namespace))
            continue
        for endpoint in service.endpoints:
            found.append(_line(endpoint.address, service.name, service.namespace, namespace))
            if endpoint.hostname:
                name = f"{endpoint.hostname}.{service.name}"
                found.append(_line(endpoint.address, name, service.namespace, namespace))
    return found


def _line(address: str, name: str, owner: str, namespace: str) -> str:
    names = [f"{name}.{owner}.svc.{DOMAIN}", f"{name}.{owner}.svc", f"{name}.{owner}"]
    return f"{address}\t{' '.join([*names, name] if owner == namespace else names)}"
