"""The names that Services and their pods have inside pods, as lines of a hosts file. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from devplane.objects import Obj, name_of, namespace_of

DOMAIN = "cluster.local"
SERVICE_LABEL = "kubernetes.io/service-name"

Target = tuple[str, int]
"""(address, port) of a pod that is ready."""
Outside = Mapping[str, tuple[str, ...]]
"""Addresses of names that are not the cluster's, as this machine resolves them."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A ready pod of a Service; `hostname` where the pod has a name within the Service."""

    address: str
    hostname: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """`address` is empty for a headless Service; `ports` maps each TCP port to the targets behind it.

    An ExternalName has neither, but another name: `alias`, which is meant in full.
    """

    namespace: str
    name: str
    address: str
    endpoints: tuple[Endpoint, ...]
    ports: tuple[tuple[int, tuple[Target, ...]], ...]
    alias: str = ""


def services(objects: Iterable[Obj], slices: Iterable[Obj]) -> tuple[Service, ...]:
    """What is there to resolve, from Services and EndpointSlices."""
    of_service: dict[tuple[str, str], list[Obj]] = {}
    for one in slices:
        name = (one["metadata"].get("labels") or {}).get(SERVICE_LABEL, "")
        of_service.setdefault((namespace_of(one), name), []).append(one)
    return tuple(_service(one, of_service.get((namespace_of(one), name_of(one)), ())) for one in objects)


def _service(service: Mapping[str, Any], slices: Sequence[Obj]) -> Service:
    if service["spec"].get("type") == "ExternalName":
        alias = (service["spec"].get("externalName") or "").rstrip(".").lower()
        return Service(namespace_of(service), name_of(service), "", (), (), alias)
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


def lines(known: Iterable[Service], namespace: str, outside: Outside = MappingProxyType({})) -> list[str]:
    """A line for each address; the first name is the full one, then the shorter ones that work in `namespace`.

    An ExternalName has the addresses of what it stands for: of another Service, or as `outside` has them.
    """
    services = tuple(known)
    inside, ends = _addresses(services), _ends(services)
    found = []
    for service in services:
        end = ends.get(_full(service.name, service.namespace), "")
        aliased = [(address, service.name) for address in inside.get(end) or outside.get(end, ())]
        named = [*aliased, *_named(service)]
        found += [_line(address, name, service.namespace, namespace) for address, name in named]
    return found


def outer_names(known: Iterable[Service]) -> frozenset[str]:
    """What ExternalNames stand for beyond the cluster's own domain."""
    return frozenset(end for end in _ends(known).values() if end and not end.endswith(f".{DOMAIN}"))


def _named(service: Service) -> Iterator[tuple[str, str]]:
    """Each address with a name, below the Service's namespace; the first is what the address is called."""
    if service.address:
        yield service.address, service.name
        return
    for endpoint in service.endpoints:
        if endpoint.hostname:
            yield endpoint.address, f"{endpoint.hostname}.{service.name}"
        yield endpoint.address, service.name


def _addresses(services: Iterable[Service]) -> dict[str, tuple[str, ...]]:
    """The addresses of the cluster's own names, in full."""
    found: dict[str, tuple[str, ...]] = {}
    for service in services:
        for address, name in _named(service):
            full = _full(name, service.namespace)
            found[full] = (*found.get(full, ()), address)
    return found


def _ends(services: Iterable[Service]) -> dict[str, str]:
    """Where the chain of each ExternalName leads; a circle leads nowhere."""
    aliases = {_full(one.name, one.namespace): one.alias for one in services if one.alias}
    return {name: _end(name, aliases) for name in aliases}


def _end(name: str, aliases: Mapping[str, str]) -> str:
    seen = set()
    while name in aliases and name not in seen:
        seen.add(name)
        name = aliases[name]
    return "" if name in seen else name


def _full(name: str, namespace: str) -> str:
    return f"{name}.{namespace}.svc.{DOMAIN}"


def _line(address: str, name: str, owner: str, namespace: str) -> str:
    names = [_full(name, owner), f"{name}.{owner}.svc", f"{name}.{owner}"]
    return f"{address}\t{' '.join([*names, name] if owner == namespace else names)}"
