"""Which pods a Service leads to, and by which ports. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from devplane.objects import Obj, name_of, namespace_of, uid_of

Port = tuple[str, str, int]
"""(name, protocol, number) as a pod offers it."""


def selects(service: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    selector = service["spec"].get("selector") or {}
    return bool(selector) and selector.items() <= (pod["metadata"].get("labels") or {}).items()


def is_headless(service: Mapping[str, Any]) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def ports(service: Mapping[str, Any], pod: Mapping[str, Any]) -> tuple[Port, ...]:
    """Those of the Service's ports that the pod has."""
    found = []
    for port in service["spec"].get("ports") or ():
        number = _number(port, pod)
        if number is not None:
            found.append((port.get("name", ""), port.get("protocol", "TCP"), number))
    return tuple(found)


def _number(port: Mapping[str, Any], pod: Mapping[str, Any]) -> int | None:
    """The number behind a target port, which may be the name of a container port."""
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    offered = [one for container in pod["spec"]["containers"] for one in container.get("ports") or ()]
    protocol = port.get("protocol", "TCP")
    named = (one for one in offered if one.get("name") == target and one.get("protocol", "TCP") == protocol)
    return next((int(one["containerPort"]) for one in named), None)


def reference(pod: Mapping[str, Any]) -> Obj:
    return {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": uid_of(pod)}
