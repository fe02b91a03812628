"""A kopf operator: each handler is called exactly as often as it should be."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apiserver.clients import widgets
from apiserver.conftest import Cluster

OPERATOR = """
import kopf

GROUP = {group!r}


def told(*words):
    print("TOLD", *words, flush=True)



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
    told("event", type, name)


@kopf.daemon(GROUP, "widgets")
async def daemon(stopped, name, **_):
    told("daemon", name)
    await stopped.wait(600)
    told("daemon-end", name)
"""


class Operator:
    """`kopf run` on the namespace of a test; `told` is what its handlers said."""

    def __init__(self, cluster: Cluster, folder: Path, group: str) -> None:
        script, self._log = folder / "operator_under_test.py", folder / "operator.log"
        script.write_text(OPERATOR.format(group=group))
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
        end = time.monotonic() + 30
        while not holds():
            assert time.monotonic() < end, self.log
            time.sleep(0.1)


@pytest.fixture
def operator(cluster: Cluster, tmp_path: Path, group: str) -> Iterator[Operator]:
    started = Operator(cluster, tmp_path, group)
    yield started
    if started.process.poll() is None:
        started.process.terminate()
        started.process.wait(20)


def test_each_handler_is_called_exactly_once(cluster: Cluster, operator: Operator, group: str) -> None:
    operator.until(lambda: "Initial authentication has finished" in operator.log)
    cluster.kubectl("apply", "-f", "-", stdin=widgets.widget(group))
    operator.until(lambda: "create one 3 auto" in operator.told and "daemon one" in operator.told)
    cluster.kubectl("patch", "wd", "one", "--type=merge", "-p", '{"spec": {"size": 7}}')
    operator.until(lambda: "update one 7" in operator.told)
    cluster.kubectl("delete", "wd", "one", "--timeout=20s")
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


def test_an_operator_that_starts_later_finds_what_is_there(cluster: Cluster, tmp_path: Path, group: str) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=widgets.widget(group))
    operator = Operator(cluster, tmp_path, group)
    try:
        operator.until(lambda: "create one 3 auto" in operator.told)
        operator.until(lambda: "Made it" in cluster.kubectl("get", "events", "-o", "jsonpath={.items[*].message}"))
        cluster.kubectl("delete", "wd", "one", "--timeout=20s")
    finally:
        operator.process.terminate()
        operator.process.wait(20)
