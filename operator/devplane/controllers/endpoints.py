"""Endpoints of Services with a selector, the older form of their EndpointSlices, which some clients still read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from devplane.controllers.loop import Key
from devplane.controllers.targets import Port, is_headless, ports, reference
from devplane.objects import Obj, is_deleting, is_ready, is_terminal, name_of, namespace_of, now, stamp

if TYPE_CHECKING:
    from devplane.machinery.client import Client

RESOURCE = "endpoints"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
CONTROLLER = "endpoint-controller"
HEADLESS = "service.kubernetes.io/headless"
TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"

Address = tuple[str, str]
"""(IP, uid of the pod)."""


def subsets(service: Mapping[str, Any], pods: Sequence[Obj]) -> list[Obj]:
    """Addresses that offer the same ports are together, the ready ones apart from the others. Pure.

    The order is one of its own: Kubernetes' follows from hashes.
    """
    offers: dict[Address, tuple[Obj, bool, tuple[Port, ...]]] = {}
    for pod in pods:
        if _counts(service, pod):
            offered = tuple(sorted(ports(service, pod)))
            if offered or not service["spec"].get("ports"):
                at = pod["status"]["podIP"], pod["metadata"]["uid"]
                offers[at] = _address(service, pod), _is_published(service, pod), offered
    groups: dict[tuple[Port, ...], dict[bool, list[Obj]]] = {}
    for at in sorted(offers):
        address, ready, offered = offers[at]
        groups.setdefault(offered, {True: [], False: []})[ready].append(address)
    return [_subset(offered, groups[offered]) for offered in sorted(groups)]


def _subset(offered: tuple[Port, ...], addresses: Mapping[bool, list[Obj]]) -> Obj:
    found: Obj = {"addresses": addresses[True]} if addresses[True] else {}
    if addresses[False]:
        found["notReadyAddresses"] = addresses[False]
    if offered:
        found["ports"] = [_port(*one) for one in offered]
    return found


def _port(name: str, protocol: str, number: int) -> Obj:
    return {**({"name": name} if name else {}), "port": number, "protocol": protocol}


def _counts(service: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    if is_terminal(pod) or not (pod.get("status") or {}).get("podIP"):
        return False
    return not is_deleting(pod) or bool(service["spec"].get("publishNotReadyAddresses"))


def _is_published(service: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    return is_ready(pod) or bool(service["spec"].get("publishNotReadyAddresses"))


def _address(service: Mapping[str, Any], pod: Mapping[str, Any]) -> Obj:
    found: Obj = {"ip": pod["status"]["podIP"], "nodeName": pod["spec"].get("nodeName"), "targetRef": reference(pod)}
    hostname = pod["spec"].get("hostname")
    if hostname and pod["spec"].get("subdomain") == name_of(service):
        found["hostname"] = hostname
    return found


class EndpointsWriter:
    """The object that has the Service's name. What is up to date is not written."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def write(self, service: Obj, pods: Sequence[Obj]) -> None:
        namespace, name = namespace_of(service), name_of(service)
        held = self._client.get(RESOURCE, namespace, name)
        wanted = subsets(service, pods)
        labels = self._labels(service)
        metadata = (held or {}).get("metadata") or {"name": name}
        if held is not None and (held.get("subsets") or []) == wanted and metadata.get("labels") == labels:
            return
        annotations = {**(metadata.get("annotations") or {}), TRIGGER: stamp(now())}
        written = {"metadata": {**metadata, "labels": labels, "annotations": annotations}, "subsets": wanted or None}
        if held is None:
            self._client.create(RESOURCE, namespace, written)
        else:
            self._client.update(RESOURCE, namespace, {**held, **written})

    @staticmethod
    def _labels(service: Obj) -> Obj:
        own = {HEADLESS: ""} if is_headless(service) else {}
        others = {key: value for key, value in (service["metadata"].get("labels") or {}).items() if key != HEADLESS}
        return {**others, **own, MANAGED_BY: CONTROLLER}

    def remove(self, key: Key) -> None:
        """Its Service is gone."""
        if self._client.get(RESOURCE, *key) is not None:
            self._client.delete(RESOURCE, *key)
