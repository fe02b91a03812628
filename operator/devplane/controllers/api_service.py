"""The Service `kubernetes`, behind which the API server is: made at each start, and again where somebody deletes it."""

from __future__ import annotations

import logging
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

from devplane.controllers.loop import Controller, Key, own_key
from devplane.errors import ApiError
from devplane.objects import Obj

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devplane.machinery.client import Client

log = logging.getLogger("devplane.controllers")

KEY: Key = ("default", "kubernetes")
SLICES = "endpointslices.discovery.k8s.io"
LABELS = {"component": "apiserver", "provider": "kubernetes"}
SKIP_MIRROR = {"endpointslice.kubernetes.io/skip-mirror": "true"}
OF_SERVICE = {"kubernetes.io/service-name": KEY[1]}


class ApiService:
    """`address` and `port` are where the server listens.

    The Service has the same port: 443 would take that of all addresses from every program that listens on them.
    """

    def __init__(self, client: Client, network: IPv4Network, address: str, port: int) -> None:
        self._client = client
        self._network = network
        self._address = address
        self._port = {"name": "https", "port": port, "protocol": "TCP"}

    def controller(self) -> Controller:
        return Controller("api-service", self._client, ("services", "endpoints", SLICES), _concerned, self.sync)

    def begin(self) -> str:
        """The Service as this start has it; its cluster IP, empty where a quota leaves no room for one."""
        try:
            self._correct()
            self.sync(KEY)
        except ApiError as error:
            log.warning("The Service kubernetes is not as it should be: %s", error)
        return str(((self._client.get("services", *KEY) or {}).get("spec") or {}).get("clusterIP") or "")

    def _correct(self) -> None:
        """What the last start left: its port, or an address that this one does not have."""
        held = self._client.get("services", *KEY)
        if held is not None and not self._is_in_network(held):
            self._client.delete("services", *KEY)
        elif held is not None and held["spec"].get("ports") != self._ports():
            self._client.update("services", KEY[0], {**held, "spec": {**held["spec"], "ports": self._ports()}})

    def _is_in_network(self, service: Obj) -> bool:
        """The addresses of this start may be others than those of the last."""
        try:
            return IPv4Address(service["spec"].get("clusterIP") or "") in self._network
        except ValueError:
            return False

    def sync(self, _: Key) -> None:
        if self._client.get("services", *KEY) is None:
            self._client.create("services", KEY[0], self._service())
        subset = {"addresses": [{"ip": self._address}], "ports": [self._port]}
        self._keep("endpoints", SKIP_MIRROR, {"subsets": [subset]})
        endpoint = {"addresses": [self._address], "conditions": {"ready": True}}
        self._keep(SLICES, OF_SERVICE, {"addressType": "IPv4", "endpoints": [endpoint], "ports": [self._port]})

    def _service(self) -> Obj:
        first = str(self._network[1])
        taken = {one["spec"].get("clusterIP") for one in self._client.list("services")}
        spec: Obj = {"type": "ClusterIP", "ports": self._ports(), **({} if first in taken else {"clusterIP": first})}
        return {"metadata": {"name": KEY[1], "labels": LABELS}, "spec": spec}

    def _ports(self) -> list[Obj]:
        return [{**self._port, "targetPort": self._port["port"]}]

    def _keep(self, resource: str, labels: Obj, wanted: dict[str, Any]) -> None:
        held = self._client.get(resource, *KEY)
        if held is None:
            self._client.create(resource, KEY[0], {"metadata": {"name": KEY[1], "labels": labels}, **wanted})
            return
        had = held["metadata"].get("labels") or {}
        if any(held.get(key) != value for key, value in wanted.items()) or not labels.items() <= had.items():
            metadata = {**held["metadata"], "labels": {**had, **labels}}
            self._client.update(resource, KEY[0], {**held, **wanted, "metadata": metadata})


def _concerned(_resource: str, _type: str, obj: Obj) -> Iterable[Key]:
    return [KEY] if own_key(obj) == KEY else []
