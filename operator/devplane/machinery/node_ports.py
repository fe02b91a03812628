"""Node ports of Services: which are taken, and which a Service is given. Nothing listens on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from devplane.errors import ApiError, Cause

Obj = dict[str, Any]

FIRST, LAST = 30000, 32767
OUTSIDE = f"provided port is not in the valid range. The range of valid ports is {FIRST}-{LAST}"
TAKEN = "provided port is already allocated"


class NodePorts:
    """A number is one Service's alone; it serves one port number, in all its protocols."""

    def __init__(self, services: Callable[[], Iterable[Obj]]) -> None:
        self._services = services

    def prepare(self, new: Obj, old: Obj | None, *, is_tried: bool) -> None:
        """Gives the ports of a Service their node ports where its type has them, and takes them back where not.

        What is only tried, a dry run, may name any, as in Kubernetes.
        """
        spec, before = new["spec"], old["spec"] if old else {}
        _take_back(spec, before)
        if _has(spec):
            _keep(spec, before)
            self._give(new, is_tried=is_tried)
        if _is_checked(spec) and not spec.get("healthCheckNodePort"):
            spec["healthCheckNodePort"] = before.get("healthCheckNodePort") or _free(self._taken(new) | _numbers(spec))

    def _give(self, new: Obj, *, is_tried: bool) -> None:
        ports = new["spec"].get("ports") or []
        gets_more = new["spec"].get("type") == "NodePort" or new["spec"].get("allocateLoadBalancerNodePorts", True)
        wanted = {port.get("port"): port["nodePort"] for port in reversed(ports) if port.get("nodePort")}
        taken, own = self._taken(new), set(wanted.values())
        given: dict[int, int] = {}
        for at, port in enumerate(ports):
            number = port.get("nodePort") or given.get(port.get("port")) or wanted.get(port.get("port"))
            if number and given.get(port.get("port")) != number:
                if not is_tried:
                    _check(new, at, number, taken)
            elif not number and gets_more:
                number = _free(taken | own)
            if number and (gets_more or port.get("nodePort")):
                port["nodePort"] = number
                given.setdefault(port.get("port"), number)
                taken.add(number)

    def _taken(self, but: Obj) -> set[int]:
        own = (but["metadata"].get("namespace"), but["metadata"]["name"])
        others = (
            service
            for service in self._services()
            if (service["metadata"]["namespace"], service["metadata"]["name"]) != own
        )
        return set().union(*(_numbers(service["spec"]) for service in others))


def _has(spec: Obj) -> bool:
    return spec.get("type") in ("NodePort", "LoadBalancer")


def _is_checked(spec: Obj) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _numbers(spec: Obj) -> set[int]:
    numbers = {port.get("nodePort") for port in spec.get("ports") or ()} | {spec.get("healthCheckNodePort")}
    return {number for number in numbers if number}


def _check(new: Obj, at: int, number: int, taken: set[int]) -> None:
    why = TAKEN if number in taken else "" if FIRST <= number <= LAST else OUTSIDE
    if why:
        cause = Cause.invalid(f"spec.ports[{at}].nodePort", number, why)
        raise ApiError.invalid("Service", new["metadata"]["name"], [cause])


def _free(used: set[int]) -> int:
    found = next((number for number in range(FIRST, LAST + 1) if number not in used), None)
    if found is None:
        raise ApiError.internal("failed to allocate a nodePort: range is full")
    return found


def _keep(spec: Obj, before: Obj) -> None:
    """A port that names no node port keeps that of its name, unless another port has it now."""
    held = _numbers(spec)
    by_name = {port.get("name", ""): port.get("nodePort") for port in before.get("ports") or ()}
    for port in spec.get("ports") or ():
        had = by_name.get(port.get("name", ""))
        if had and not port.get("nodePort") and had not in held:
            port["nodePort"] = had


def _take_back(spec: Obj, before: Obj) -> None:
    """What the type of before had and that of now has not, unless the client asks for something new."""
    if _has(before) and not _has(spec):
        _drop(spec, before, "externalTrafficPolicy")
        if _numbers(spec) <= _numbers(before):
            for port in spec.get("ports") or ():
                port.pop("nodePort", None)
    if before.get("type") == "LoadBalancer" and spec.get("type") != "LoadBalancer":
        _drop(spec, before, "allocateLoadBalancerNodePorts")
    if _is_checked(before) and not _is_checked(spec):
        _drop(spec, before, "healthCheckNodePort")


def _drop(spec: Obj, before: Obj, field: str) -> None:
    if spec.get(field) == before.get(field):
        spec.pop(field, None)
