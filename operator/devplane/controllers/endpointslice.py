"""EndpointSlices of Services with a selector: the addresses of their pods, and which of them are ready.

What a Service's Endpoints say follows from the same Services and pods, and is written along with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from devplane.controllers.endpoints import CONTROLLER, EndpointsWriter
from devplane.controllers.endpoints import MANAGED_BY as ENDPOINTS_MANAGED_BY
from devplane.controllers.loop import Controller, Key, own_key
from devplane.controllers.targets import Port, is_headless, ports, reference, selects
from devplane.objects import (
    Obj,
    controller_reference,
    is_deleting,
    is_ready,
    is_terminal,
    name_of,
    namespace_of,
    now,
    stamp,
    uid_of,
)

if TYPE_CHECKING:
    from devplane.machinery.client import Client

COMPONENT = "endpointslice-controller.k8s.io"
SLICES = "endpointslices.discovery.k8s.io"
SERVICE = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
HEADLESS = "service.kubernetes.io/headless"
TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"
MANAGED_ENDPOINTS = {ENDPOINTS_MANAGED_BY: CONTROLLER}

Ports = tuple[Port, ...]


def slices(service: Mapping[str, Any], pods: Sequence[Obj]) -> list[Obj]:
    """The wanted slices without names: one for each set of ports that the pods offer. Pure."""
    groups: dict[Ports, list[Obj]] = {}
    for pod in sorted(pods, key=name_of):
        if (pod.get("status") or {}).get("podIP") and not is_terminal(pod):
            groups.setdefault(ports(service, pod), []).append(endpoint(service, pod))
    return [_slice(service, offered, endpoints) for offered, endpoints in (groups or {(): []}).items()]


def _slice(service: Mapping[str, Any], offered: Ports, endpoints: list[Obj]) -> Obj:
    labels = {MANAGED_BY: COMPONENT, SERVICE: name_of(service)}
    if is_headless(service):
        labels[HEADLESS] = ""
    return {
        "labels": labels,
        "addressType": "IPv4",
        "endpoints": endpoints or None,
        "ports": [{"name": name, "protocol": protocol, "port": port} for name, protocol, port in offered] or None,
    }


def endpoint(service: Mapping[str, Any], pod: Mapping[str, Any]) -> Obj:
    """One pod: `serving` is its readiness, `ready` means serving and not on its way out."""
    serving, terminating = is_ready(pod), is_deleting(pod)
    published = bool(service["spec"].get("publishNotReadyAddresses"))
    ready = published or (serving and not terminating)
    found: Obj = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": reference(pod),
        "nodeName": pod["spec"].get("nodeName"),
    }
    hostname = pod["spec"].get("hostname")
    if hostname and pod["spec"].get("subdomain") == name_of(service):
        found["hostname"] = hostname
    return found


def _has_selector(service: Obj) -> bool:
    return bool(service["spec"].get("selector"))


class EndpointSliceController:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._endpoints = EndpointsWriter(client)

    def controller(self) -> Controller:
        resources = ("services", "pods", "endpoints")
        return Controller("endpointslice-controller", self._client, resources, self._concerned, self.sync)

    def _concerned(self, resource: str, type_: str, obj: Obj) -> Iterable[Key]:
        """A pod concerns every Service of its namespace with a selector: its labels may have changed.

        Endpoints do when they are deleted, and when they are first seen: their Service may be gone.
        """
        if resource == "services":
            return [own_key(obj)]
        if resource == "endpoints":
            is_ours = MANAGED_ENDPOINTS.items() <= (obj["metadata"].get("labels") or {}).items()
            return [own_key(obj)] if is_ours and type_ != "MODIFIED" else []
        services = self._client.list("services", namespace_of(obj), where=_has_selector)
        return [own_key(one) for one in services]

    def sync(self, key: Key) -> None:
        service = self._client.get("services", *key)
        if service is None:
            self._endpoints.remove(key)
            return
        if is_deleting(service) or not _has_selector(service) or service["spec"].get("type") == "ExternalName":
            return
        pods = self._client.list("pods", key[0], where=lambda pod: selects(service, pod))
        held = self._client.list(SLICES, key[0], labels=f"{SERVICE}={key[1]},{MANAGED_BY}={COMPONENT}")
        self._replace(service, held, slices(service, pods))
        self._endpoints.write(service, pods)

    def _replace(self, service: Obj, held: list[Obj], wanted: list[Obj]) -> None:
        for one in wanted:
            best = next((old for old in held if (old.get("ports") or None) == one["ports"]), held[0] if held else None)
            if best is None:
                self._create(service, one)
            else:
                held.remove(best)
                self._update(best, one)
        for rest in held:
            self._client.delete(SLICES, namespace_of(rest), name_of(rest), uid=uid_of(rest))

    def _create(self, service: Obj, wanted: Obj) -> None:
        metadata = {
            "generateName": f"{name_of(service)}-",
            "labels": wanted["labels"],
            "annotations": {TRIGGER: stamp(now())},
            "ownerReferences": [controller_reference(service, "v1", "Service")],
        }
        body = {key: wanted[key] for key in ("addressType", "endpoints", "ports")}
        self._client.create(SLICES, namespace_of(service), {"metadata": metadata, **body})

    def _update(self, held: Obj, wanted: Obj) -> None:
        """Write only what is news, so that a second pass writes nothing."""
        same = all((held.get(key) or None) == wanted[key] for key in ("endpoints", "ports"))
        if same and wanted["labels"].items() <= held["metadata"]["labels"].items():
            return
        metadata = {**held["metadata"], "labels": wanted["labels"]}
        metadata["annotations"] = {**(metadata.get("annotations") or {}), TRIGGER: stamp(now())}
        changed = {**held, "metadata": metadata, "endpoints": wanted["endpoints"], "ports": wanted["ports"]}
        self._client.update(SLICES, namespace_of(held), changed)
