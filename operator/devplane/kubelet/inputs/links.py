"""The variables by which a container finds Services: those of its namespace, and the API server's. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from devplane.objects import Obj, name_of


def links(services: Iterable[Obj]) -> dict[str, str]:
    """Those of every Service with a cluster IP."""
    found: dict[str, str] = {}
    for service in services:
        if service["spec"].get("clusterIP", "None") not in ("", "None"):
            found.update(_of(service))
    return found


def api_server(host: str, port: int) -> Obj:
    """The Service `kubernetes` as a pod is told of it: at the address that the server's certificate is for."""
    spec = {"clusterIP": host, "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}
    return {"metadata": {"name": "kubernetes", "namespace": "default"}, "spec": spec}


def _of(service: Obj) -> Iterator[tuple[str, str]]:
    name, address, ports = _word(name_of(service)), service["spec"]["clusterIP"], service["spec"].get("ports") or ()
    yield f"{name}_SERVICE_HOST", address
    for at, port in enumerate(ports):
        if at == 0:
            yield f"{name}_SERVICE_PORT", str(port["port"])
            yield f"{name}_PORT", _url(address, port)
        if port.get("name"):
            yield f"{name}_SERVICE_PORT_{_word(port['name'])}", str(port["port"])
        yield from _of_port(name, address, port)


def _of_port(name: str, address: str, port: Obj) -> Iterator[tuple[str, str]]:
    protocol = port.get("protocol", "TCP")
    prefix = f"{name}_PORT_{port['port']}_{protocol}"
    yield prefix, _url(address, port)
    yield f"{prefix}_PROTO", protocol.lower()
    yield f"{prefix}_PORT", str(port["port"])
    yield f"{prefix}_ADDR", address


def _url(address: str, port: Obj) -> str:
    return f"{port.get('protocol', 'TCP').lower()}://{address}:{port['port']}"


def _word(name: str) -> str:
    return name.replace("-", "_").upper()
