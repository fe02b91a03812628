"""A kopf operator: each handler is called exactly as often as it should be."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apiserver.clients import widgets
from apiserver.clients.citing import docs
from apiserver.conftest import Cluster

HEAD = """
import os
import kopf

GROUP = {group!r}


def told(*words):  # one write, because handlers speak from several threads at once
    os.write(1, f"TOLD {{' '.join(map(str, words))}}\\n".encode())


"""

OPERATOR = (
    HEAD
    + """
@kopf.on.create(GROUP, "widgets")
def create(name, spec, body, **_):
    kopf.info(body, reason="Made", message="Made it")
    told("create", name, spec["size"], spec["mode"])
    return {{"done": True}}


@kopf.on.update(GROUP, "widgets", field="spec.size")
def update(name, new, **_):
    told("update", name, new)


@kopf.on.delete(GROUP, "widgets")
def delete(name, **_):
    told("delete", name)


@kopf.on.event(GROUP, "widgets")
def event(type, name, **_):
    told("event", type or "ADDED", name)  # None where the watch begins with it


@kopf.daemon(GROUP, "widgets")
async def daemon(stopped, name, **_):
    told("daemon", name)
    await stopped.wait(600)
    told("daemon-end", name)
"""
)


class Operator:
    """`kopf run` on the namespace of a test; `told` is what its handlers said."""

    def __init__(self, cluster: Cluster, folder: Path, group: str, handlers: str = OPERATOR) -> None:
        script, self._log = folder / "operator_under_test.py", folder / "operator.log"
        script.write_text(handlers.format(group=group))
        command = [sys.executable, "-m", "kopf", "run", "-n", cluster.namespace, "--standalone", str(script)]
        with self._log.open("w") as out:
            self.process = subprocess.Popen(command, env=cluster.env, stdout=out, stderr=out)

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def told(self) -> list[str]:
        return [line.removeprefix("TOLD ") for line in self.log.splitlines() if line.startswith("TOLD ")]

    def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < end, self.log
            time.sleep(0.1)


@pytest.fixture
def operator(cluster: Cluster, tmp_path: Path, group: str) -> Iterator[Operator]:
    started = Operator(cluster, tmp_path, group)
    yield started
    if started.process.poll() is None:
        started.process.terminate()
        started.process.wait(60)


@docs("concepts/extend-kubernetes/operator/")
def test_each_handler_is_called_exactly_once(cluster: Cluster, operator: Operator, group: str) -> None:
    operator.until(lambda: "Initial authentication has finished" in operator.log)
    cluster.kubectl("apply", "-f", "-", stdin=widgets.widget(group))
    operator.until(lambda: "create one 3 auto" in operator.told and "daemon one" in operator.told)
    cluster.kubectl("patch", widgets.short(group), "one", "--type=merge", "-p", '{"spec": {"size": 7}}')
    operator.until(lambda: "update one 7" in operator.told)
    cluster.kubectl("delete", widgets.short(group), "one", "--timeout=60s")
    operator.until(lambda: "event DELETED one" in operator.told)
    counted = {line: operator.told.count(line) for line in operator.told if not line.startswith("event MODIFIED")}
    assert counted == {
        "event ADDED one": 1,
        "create one 3 auto": 1,
        "daemon one": 1,
        "update one 7": 1,
        "delete one": 1,
        "daemon-end one": 1,
        "event DELETED one": 1,
    }


@docs("reference/using-api/api-concepts/#semantics-for-watch")
def test_an_operator_that_starts_later_finds_what_is_there(cluster: Cluster, tmp_path: Path, group: str) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=widgets.widget(group))
    operator = Operator(cluster, tmp_path, group)
    try:
        operator.until(lambda: "create one 3 auto" in operator.told)
        operator.until(lambda: "Made it" in cluster.kubectl("get", "events", "-o", "jsonpath={.items[*].message}"))
        cluster.kubectl("delete", widgets.short(group), "one", "--timeout=60s")
    finally:
        operator.process.terminate()
        operator.process.wait(60)


RETRIES = (
    HEAD
    + """
@kopf.on.create(GROUP, "widgets")
def create(name, retry, **_):
    told("try", name, retry)
    if name == "never":
        raise kopf.PermanentError("no")
    if retry < 2:
        raise kopf.TemporaryError("later", delay=0.2)


@kopf.on.resume(GROUP, "widgets")
def resume(name, **_):
    told("resume", name)
"""
)

STATUS = (
    HEAD
    + """
@kopf.on.create(GROUP, "widgets", labels={{"tier": "front"}})
def create(name, patch, **_):
    told("create", name)
    patch.status["phase"] = "Made"
    patch.meta.annotations["example.com/seen"] = "yes"


@kopf.on.field(GROUP, "widgets", field="status.phase")
def phase(name, new, **_):
    told("phase", name, new)


@kopf.timer(GROUP, "widgets", interval=0.3, labels={{"tier": "front"}})
def tick(name, **_):
    told("tick", name)
"""
)

HELD = (
    HEAD
    + """
@kopf.index(GROUP, "widgets")
def sizes(name, spec, **_):
    return {{name: spec["size"]}}


@kopf.on.delete(GROUP, "widgets")
def delete(name, body, retry, sizes, **_):
    told("deleting", name, sorted(sizes))
    if "let-go" not in body.metadata.annotations:
        raise kopf.TemporaryError("held", delay=0.2)
"""
)


@pytest.fixture
def start(cluster: Cluster, tmp_path: Path, group: str) -> Iterator[Callable[[str], Operator]]:
    """start(handlers): an operator that is ready; a second one follows the first."""
    running: list[Operator] = []

    def started(handlers: str) -> Operator:
        for one in running:
            one.process.terminate()
            one.process.wait(60)
        made = Operator(cluster, tmp_path, group, handlers)
        running.append(made)
        made.until(lambda: "Initial authentication has finished" in made.log)
        return made

    yield started
    for one in running:
        if one.process.poll() is None:
            one.process.terminate()
            one.process.wait(60)


@docs("reference/using-api/api-concepts/#resource-versions", "concepts/extend-kubernetes/operator/")
def test_handlers_are_tried_again_and_resumed(cluster: Cluster, start: Callable[[str], Operator], group: str) -> None:
    operator = start(RETRIES)
    for name in ("some", "never"):
        cluster.kubectl("apply", "-f", "-", stdin=widgets.widget(group, name))
    operator.until(lambda: "try some 2" in operator.told and "try never 0" in operator.told)
    path = "jsonpath={.metadata.annotations.kopf\\.zalando\\.org/last-handled-configuration}"
    operator.until(
        lambda: all(cluster.kubectl("get", widgets.short(group), name, "-o", path) for name in ("some", "never"))
    )
    assert sorted(operator.told) == ["try never 0", "try some 0", "try some 1", "try some 2"]
    again = start(RETRIES)
    again.until(lambda: {"resume some", "resume never"} <= set(again.told))
    assert [line for line in again.told if line.startswith("try")] == []


@docs(
    "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#status-subresource",
    "concepts/overview/working-with-objects/labels/#label-selectors",
)
def test_status_that_a_handler_writes_is_seen_by_another(
    cluster: Cluster, start: Callable[[str], Operator], group: str
) -> None:
    operator = start(STATUS)
    cluster.kubectl("apply", "-f", "-", stdin=widgets.widget(group, "plain"))
    front = widgets.widget(group, "front")
    front["metadata"]["labels"] = {"tier": "front"}
    cluster.kubectl("apply", "-f", "-", stdin=front)
    operator.until(lambda: "phase front Made" in operator.told and operator.told.count("tick front") >= 3)
    assert not any("plain" in line for line in operator.told)
    assert operator.told.count("create front") == 1
    path = r"jsonpath={.status.phase} {.metadata.annotations.example\.com/seen} {.metadata.generation}"
    assert cluster.kubectl("get", widgets.short(group), "front", "-o", path) == "Made yes 1"


@docs("concepts/overview/working-with-objects/finalizers/")
def test_deletion_waits_for_the_operator(cluster: Cluster, start: Callable[[str], Operator], group: str) -> None:
    operator = start(HELD)
    for name in ("one", "two"):
        cluster.kubectl("apply", "-f", "-", stdin=widgets.widget(group, name))
    finalizers = "jsonpath={.metadata.finalizers}"
    operator.until(lambda: "kopf" in cluster.kubectl("get", widgets.short(group), "one", "-o", finalizers))
    cluster.kubectl("delete", widgets.short(group), "one", "--wait=false")
    operator.until(lambda: operator.told.count("deleting one ['one', 'two']") >= 2)
    cluster.kubectl("annotate", widgets.short(group), "one", "let-go=yes")
    cluster.kubectl("wait", "--for=delete", f"{widgets.short(group)}/one", "--timeout=60s")
    cluster.kubectl("annotate", widgets.short(group), "two", "let-go=yes")
    cluster.kubectl("delete", widgets.short(group), "two", "--timeout=60s")
    operator.until(lambda: "deleting two ['two']" in operator.told)
