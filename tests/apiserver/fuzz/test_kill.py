"""kill -9 under load: what was acknowledged is there afterwards, versions never go back, watches miss nothing."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from apiserver.fuzz.budget import FACTOR, SIZES
from apiserver.fuzz.verdict import judged
from apiserver.fuzz.wire import MERGE, Wire
from fakes.ports import free_port

Obj = dict[str, Any]

MAPS = "/api/v1/namespaces/default/configmaps"
READY_SECONDS = 120
WRITERS = 4


@contextmanager
def killed_at_the_end(folder: Path, port: int) -> Iterator[tuple[Wire, subprocess.Popen[bytes]]]:
    """A devplane on `folder`; whatever happens, it ends by SIGKILL.

    A start on another `port` than the last writes that to the Service `kubernetes`, on the same one it writes nothing.
    """
    options = ["--data-dir", str(folder), "--api-only", "--port", str(port)]
    command = [sys.executable, "-P", "-m", "devplane", "serve", *options]
    path = os.pathsep.join(
        filter(None, [str(Path(__file__).parents[3] / "operator"), os.environ.get("PYTHONPATH", "")])
    )
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path})
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(b'{"ready"'), line
        yield Wire.of(Path(json.loads(line)["kubeconfig"])), process
    finally:
        process.kill()
        process.wait(READY_SECONDS)


class Writer(threading.Thread):
    """Writes objects of its own, one request at a time, until the server is gone; remembers what it was told.

    `kept` is what the server acknowledged last, by name (None: deleted); `asked` is the one request whose answer was
    never seen: it may have happened or not. `events` are acknowledged changes, in order.
    """

    def __init__(self, wire: Wire, number: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.wire, self.number, self.chance = wire, number, random.Random(seed)
        self.kept: dict[str, Obj | None] = {}
        self.events: list[tuple[str, int]] = []
        self.asked = self.wrong = ""

    def run(self) -> None:
        for step in itertools.count():
            name = f"w{self.number}-{self.chance.randrange(8)}"
            self.asked = name
            try:
                self.write(name, str(step))
            except (OSError, http.client.HTTPException):
                return
            except AssertionError as error:
                self.wrong = str(error)
                return

    def write(self, name: str, value: str) -> None:
        body = {"metadata": {"name": name}, "data": {"v": value}}
        if self.kept.get(name) is None:
            answer = self.wire.ask("POST", MAPS, body)
        elif self.chance.random() < 0.2:
            answer = judged(self.wire.ask("DELETE", f"{MAPS}/{name}"))
            assert answer.code == 200, answer
            self.kept[name] = None
            return
        else:
            answer = self.wire.ask("PATCH", f"{MAPS}/{name}", {"data": {"v": value}}, MERGE)
        assert answer.code in (200, 201), answer
        version = int(answer.body["metadata"]["resourceVersion"])
        self.kept[name] = {"v": value, "version": version}
        self.events.append((name, version))


def until(writers: list[Writer], writes: int) -> None:
    """Wait until so many writes were acknowledged."""
    deadline = time.monotonic() + READY_SECONDS
    while sum(len(one.events) for one in writers) < writes and time.monotonic() < deadline:
        time.sleep(0.001)


def check_kept(found: dict[str, Obj], writer: Writer) -> None:
    """Each acknowledged write is there, but for the object of the request that was never answered."""
    for name, known in writer.kept.items():
        if name == writer.asked:
            continue
        assert (name in found) == (known is not None), (name, known)
        if known is not None:
            obj = found[name]
            assert (obj["data"]["v"], int(obj["metadata"]["resourceVersion"])) == (known["v"], known["version"])


def check_watch(wire: Wire, since: int, newest: int) -> None:
    """From before the kill: every event since, or 410."""
    marker = judged(wire.ask("POST", MAPS, {"metadata": {"generateName": "marker-"}})).body["metadata"]
    assert int(marker["resourceVersion"]) > newest
    with wire.watch(MAPS, resourceVersion=str(since)) as events:
        event = next(events)
    if event["type"] == "ERROR":
        assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    else:
        assert since >= newest, "changes between the version and the kill were passed over"
        assert event["object"]["metadata"]["name"] == marker["name"]


@SIZES
def test_a_killed_server_lost_nothing_that_it_acknowledged(tmp_path: Path, size: int) -> None:
    chance = random.Random(size if not FACTOR else None)
    newest, port = 0, free_port()
    for life in range(3 if size == 1 else int(15 * max(FACTOR, 1))):
        with killed_at_the_end(tmp_path, port) as (wire, process):
            first = judged(wire.ask("GET", MAPS))
            assert int(first.body["metadata"]["resourceVersion"]) >= newest
            wire.ask("DELETE", MAPS)
            writers = [Writer(Wire(wire.server), number, chance.randrange(2**31)) for number in range(WRITERS)]
            for one in writers:
                one.start()
            until(writers, chance.randrange(1, 120))
            process.kill()
            for one in writers:
                one.join(READY_SECONDS)
                assert not one.is_alive(), life
                assert not one.wrong, one.wrong
        newest = after_the_kill(tmp_path, port, writers)


def after_the_kill(folder: Path, port: int, writers: list[Writer]) -> int:
    """The newest version that there is after a restart."""
    told = max([version for one in writers for _, version in one.events], default=0)
    with killed_at_the_end(folder, port) as (wire, _):
        answer = judged(wire.ask("GET", MAPS))
        newest = int(answer.body["metadata"]["resourceVersion"])
        assert newest >= told
        found = {one["metadata"]["name"]: one for one in answer.body["items"]}
        for writer in writers:
            check_kept(found, writer)
        check_watch(wire, told, newest)
        return int(judged(wire.ask("GET", MAPS)).body["metadata"]["resourceVersion"])


@pytest.mark.parametrize("kind", ["refused by the store", "dry run"])
def test_a_write_that_did_not_happen_takes_no_version(tmp_path: Path, kind: str) -> None:
    with killed_at_the_end(tmp_path, 0) as (wire, _):
        before = judged(wire.ask("GET", MAPS)).body["metadata"]["resourceVersion"]
        body = {"metadata": {"name": "never"}, "data": {"a": "1" if kind == "dry run" else "\ud800"}}
        judged(wire.ask("POST", f"{MAPS}{'?dryRun=All' if kind == 'dry run' else ''}", body))
        assert judged(wire.ask("GET", MAPS)).body["metadata"]["resourceVersion"] == before
