"""Ports that a container wants and somebody else has: why it may have ended with an error. Pure but for `Ports`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from devplane.kubelet.checks.probes import port_number
from devplane.kubelet.processes.ports import Holder, Ports
from devplane.objects import Obj

_PROBES = ("readinessProbe", "livenessProbe", "startupProbe")
_NUMBER = re.compile(r"(?<![\w.-])\d{2,5}(?![\w.-])")


def collision(ports: Ports, address: str, pod: Obj, container: Obj, services: Iterable[Obj]) -> Holder | None:
    """Who has a port that the pod declares, or, of this devplane's pods, one that the command names."""
    for port in dict.fromkeys(declared(pod, container, services)):
        if holder := ports.holder(address, port):
            return holder
    for port in dict.fromkeys(mentioned(container)):
        if (holder := ports.holder(address, port)) and holder.pod:
            return holder
    return None


def declared(pod: Obj, container: Obj, services: Iterable[Obj]) -> Iterator[int]:
    """The container's ports, those that are probed, and those that Services of the pod lead to."""
    offered = [one for one in container.get("ports") or () if one.get("protocol", "TCP") == "TCP"]
    yield from (int(one["containerPort"]) for one in offered)
    for name in _PROBES:
        for way in ("httpGet", "tcpSocket", "grpc"):
            action = (container.get(name) or {}).get(way)
            if action and not action.get("host") and (port := port_number(action["port"], container)):
                yield port
    labels = pod["metadata"].get("labels") or {}
    for service in services:
        if _selects(service, labels):
            yield from _targets(service)


def mentioned(container: Obj) -> Iterator[int]:
    """Numbers in the command that can be ports."""
    for word in (*(container.get("command") or ()), *(container.get("args") or ())):
        yield from (number for found in _NUMBER.findall(word) if 0 < (number := int(found)) < 65536)


def _selects(service: Obj, labels: Mapping[str, str]) -> bool:
    selector = service["spec"].get("selector")
    return bool(selector) and selector.items() <= labels.items()


def _targets(service: Mapping[str, Any]) -> Iterator[int]:
    """A name stands for a container's port, which counts anyway."""
    for port in service["spec"].get("ports") or ():
        target = port.get("targetPort", port["port"])
        if port.get("protocol", "TCP") == "TCP" and isinstance(target, int):
            yield target
