"""Replays recorded requests against a devplane and makes both answers comparable.

Uids, resourceVersions and generated names of the recording are learned from the answers and put into later requests.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

RECORDINGS = Path(__file__).parents[1] / "recordings"

_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_AGE = re.compile(r"(\d+[smhdy])+")
_RUN = "python-requests/2.32"


@dataclass(frozen=True)
class Step:
    """One recorded request with its answer; `id` is file and name."""

    file: str
    name: str
    request: Mapping[str, Any]
    response: Mapping[str, Any]

    @property
    def id(self) -> str:
        return f"{self.file[:2]} {self.name}"


def steps(file: str) -> list[Step]:
    """The recorded requests of a file; stories without a request are left out."""
    content = json.loads((RECORDINGS / f"{file}.json").read_text())
    return [Step(file, one["name"], one["request"], one["response"]) for one in content if one.get("request")]


@dataclass
class Answer:
    """What devplane said to a step."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass
class Until:
    """Reads a watch until so many events were told, bookmarks aside; `opened` is set once the server has answered."""

    events: int
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, response: aiohttp.ClientResponse) -> str:
        self.opened.set()
        lines: list[str] = []
        async with asyncio.timeout(60):
            while sum('"BOOKMARK"' not in line for line in lines) < self.events and not response.content.at_eof():
                lines.append((await response.content.readline()).decode())
        return "".join(lines)


@dataclass
class Replay:
    """A session against one server; `names` maps what the recording called things to what they are called here."""

    session: aiohttp.ClientSession
    token: str
    names: dict[str, str] = field(default_factory=dict)

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str | None] | None = None,
        until: Until | None = None,
    ) -> Answer:
        given = {"Authorization": f"Bearer {self.token}", "User-Agent": _RUN, **(headers or {})}
        sent = {key: value for key, value in given.items() if value is not None}
        data = body if isinstance(body, str) else None if body is None else json.dumps(body)
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self.session.request(method, path, data=data, headers=sent) as response:
            text = await (until.read(response) if until else response.text())
            return Answer(response.status, response.headers, _parsed(text, path))

    async def play(self, step: Step, *, token: str = "", until: Until | None = None) -> Answer:
        """Send a step as it was recorded, in the names of this server."""
        request = step.request
        path = re.sub(r"timeoutSeconds=\d+", f"timeoutSeconds={60 if until else 1}", self.translated(request["path"]))
        body = self.translated(request["body"])
        headers = {
            **self.translated(request.get("headers") or {}),
            **({"Authorization": f"Bearer {token}"} if token else {}),
        }
        if step.name == "review, rubbish":
            body["spec"]["token"] = "rubbish"
        answer = await self.send(request["method"], path, body, headers, until)
        if answer.status < 300:
            self.learn(step.response.get("body"), answer.body)
        return answer

    def translated(self, value: Any) -> Any:
        """A recorded value with uids, resourceVersions and generated names of this server."""
        if value is None or not self.names:
            return value
        text = json.dumps(value)
        pattern = "|".join(re.escape(known) for known in sorted(self.names, key=len, reverse=True))
        return json.loads(re.sub(pattern, lambda match: self.names[match[0]], text))

    def learn(self, recorded: Any, live: Any) -> None:
        if not isinstance(recorded, dict) or not isinstance(live, dict):
            return
        for was, now in zip(_named(recorded), _named(live), strict=False):
            if was != now:
                self.names[was] = now


def _named(obj: Mapping[str, Any]) -> list[str]:
    """The uid, generated name and (as query and JSON write it) resourceVersion of an object."""
    metadata = obj.get("metadata") or {}
    if obj.get("kind") == "TokenRequest":
        return [obj["status"]["token"]]
    found = [metadata.get("uid", "")]
    if metadata.get("generateName"):
        found.append(metadata["name"])
    version = metadata.get("resourceVersion", "")
    if version:
        found += [f'"resourceVersion": "{version}"', f"resourceVersion={version}&"]
    return [one for one in found if one]


def _parsed(text: str, path: str) -> Any:
    if "watch=true" in path and text.count("\n") > 0:
        return [json.loads(line) for line in text.splitlines()]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def comparable(value: Any, *, key: str = "") -> Any:
    """`value` without what differs from run to run."""
    if isinstance(value, dict):
        if value.get("kind") == "Table" and value.get("columnDefinitions"):
            columns = [{**one, "description": ""} for one in value["columnDefinitions"]]
            value = {**value, "columnDefinitions": columns}
        return {name: comparable(one, key=name) for name, one in value.items()}
    if isinstance(value, list):
        if key == "managedFields":  # sorted by time first, and a second may pass between two writes
            value = sorted(value, key=lambda one: (one["operation"], one["manager"], one.get("subresource", "")))
        return [comparable(one, key=f"{key}[]") for one in value]
    if key in ("resourceVersion", "continue") and value:
        return f"<{key}>"
    if key == "cells[]" and isinstance(value, str) and _AGE.fullmatch(value):
        return "<age>"
    return _scrubbed(value, key) if isinstance(value, str) else value


def _scrubbed(text: str, key: str) -> str:
    text = _TIME.sub("<time>", _UID.sub("<uid>", text))
    if key in ("clusterIP", "clusterIPs[]"):
        return text if text == "None" else "<ip>"
    if key in ("token", "ca.crt"):
        return f"<{key}>"
    text = re.sub(r"(in record \()\d+", r"\1<rv>", text)
    text = re.sub(r"JTI=<uid>", "JTI=<jti>", text)
    return re.sub(r"version: \d+ \(\d+\)|current: \d+", "<rv>", text)


async def eventually(replay: Replay, step: Step, expected: Any, seconds: float = 60.0) -> Answer:
    """Ask again until the answer is the recorded one, or the time is over."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        answer = await replay.play(step)
        if comparable(answer.body) == comparable(expected) or loop.time() > end:
            return answer
        await asyncio.sleep(0.1)


def without(value: Any, paths: Sequence[str]) -> Any:
    """`value` without the fields at dotted paths; ``*`` stands for every item or key."""
    for path in paths:
        value = _without(value, path.split("."))
    return value


def _without(value: Any, path: Sequence[str]) -> Any:
    first, *rest = path
    if isinstance(value, list):
        return [_without(one, rest) if first == "*" and rest else one for one in value]
    if not isinstance(value, dict):
        return value
    if not rest:
        return {key: one for key, one in value.items() if key != first}
    return {key: _without(one, rest) if key == first or first == "*" else one for key, one in value.items()}
