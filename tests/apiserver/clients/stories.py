"""What becomes of a pod, a Job or a Deployment: every state of it, as a watch is told of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from apiserver.clients.raw import Raw
from apiserver.clients.waiting import until

Obj = dict[str, Any]
Holds = Callable[[Obj], Any]

GROUPS = {
    "deployments": "apps/v1",
    "jobs": "batch/v1",
    "replicasets": "apps/v1",
    "poddisruptionbudgets": "policy/v1",
}


def at(raw: Raw, resource: str, name: str = "", sub: str = "") -> str:
    return raw.at(resource, name, sub, GROUPS.get(resource, ""))


class Story:
    """An object from its creation on; `states` is what was told so far, a deletion's last one included."""

    def __init__(self, raw: Raw, resource: str, name: str, events: Iterator[Obj]) -> None:
        self._raw, self._resource, self._name = raw, resource, name
        self._events = events
        self.states: list[Obj] = []
        self.is_gone = False

    def until(self, holds: Holds) -> Obj:
        """The first state from now on of which it holds."""
        for event in self._events:
            self.states.append(event["object"])
            self.is_gone = event["type"] == "DELETED"
            if holds(event["object"]):
                return self.states[-1]
        raise AssertionError(f"{self._name} came no further than {self.states[-1:]}")

    def end(self) -> Obj:
        """Its state when it was deleted."""
        return self.until(lambda _: self.is_gone)

    def change(self, body: Obj, sub: str = "") -> None:
        path = at(self._raw, self._resource, self._name, sub)
        answer = self._raw.ask("PATCH", path, body, "application/merge-patch+json")
        assert answer.code == 200, answer.body

    def delete(self, **query: Any) -> None:
        assert self._raw.ask("DELETE", at(self._raw, self._resource, self._name), **query).code == 200


@contextmanager
def told(raw: Raw, resource: str, body: Obj) -> Iterator[Story]:
    """The story of a new object."""
    name, path = body["metadata"]["name"], at(raw, resource)
    with raw.watch(path, fieldSelector=f"metadata.name={name}", timeoutSeconds=120) as events:
        raw.made(path, body)
        yield Story(raw, resource, name, events)


def container(*command: str, name: str = "c", **fields: Any) -> Obj:
    return {"name": name, "image": "busybox:1", **({"command": list(command)} if command else {}), **fields}


def script(text: str, name: str = "c", **fields: Any) -> Obj:
    return container("sh", "-c", text, name=name, **fields)


FOREVER = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


def pod(*containers: Obj, name: str = "p", labels: Obj | None = None, **spec: Any) -> Obj:
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": list(containers), **spec}
    return {"metadata": {"name": name, "labels": labels or {"app": name}}, "spec": spec}


def job(text: str, name: str = "j", **spec: Any) -> Obj:
    template = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [script(text)]}
    return {"metadata": {"name": name}, "spec": {"template": {"spec": template}, **spec}}


def deployment(text: str = FOREVER, name: str = "d", replicas: int = 1, **spec: Any) -> Obj:
    labels = {"app": name}
    of_pods = {"terminationGracePeriodSeconds": 1, "containers": [script(text)]}
    template = {"metadata": {"labels": labels}, "spec": of_pods}
    wanted = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, **spec}
    return {"metadata": {"name": name}, "spec": wanted}


def in_phase(*phases: str) -> Holds:
    return lambda pod: pod["status"].get("phase") in phases


def has(type_: str, value: str = "True") -> Holds:
    return lambda obj: (found := condition(obj, type_)) is not None and found["status"] == value


def condition(obj: Obj, type_: str) -> Obj | None:
    found = obj.get("status", {}).get("conditions") or ()
    return next((one for one in found if one["type"] == type_), None)


def status_of(pod: Obj, name: str = "c") -> Obj:
    """The status of a container of either kind; empty before there is one."""
    status = pod.get("status", {})
    found = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return next((one for one in found if one["name"] == name), {})


def is_running(name: str = "c", restarts: int = 0) -> Holds:
    def holds(pod: Obj) -> bool:
        found = status_of(pod, name)
        return "running" in found.get("state", {}) and found["restartCount"] >= restarts

    return holds


def now(raw: Raw, resource: str, name: str) -> Obj:
    found: Obj = raw.get(at(raw, resource, name)).body
    return found


def becomes(raw: Raw, resource: str, name: str, holds: Holds) -> Obj:
    """The state of an object in which it holds."""

    def found() -> Obj | None:
        one = now(raw, resource, name)
        return one if one.get("metadata", {}).get("name") == name and holds(one) else None

    answer: Obj = until(found, f"{resource} {name}", 120)
    return answer


def listed(raw: Raw, resource: str, **labels: str) -> list[Obj]:
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    items: list[Obj] = raw.get(at(raw, resource), labelSelector=selector).body["items"]
    return items


def events(raw: Raw, reason: str, about: str = "") -> list[Obj]:
    """Those of a reason, about the object of this name or one whose name begins so."""
    found = raw.get(raw.at("events"), fieldSelector=f"reason={reason}").body["items"]
    return [one for one in found if one["involvedObject"]["name"].startswith(about)]


def event(raw: Raw, reason: str, about: str = "") -> Obj:
    found: list[Obj] = until(lambda: events(raw, reason, about), f"event {reason}")
    return found[0]
