"""devplane answers as the recorded Kubernetes 1.33 did: status, body and the headers that matter."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from apiserver.api.replay import Answer, Replay, Step, Until, comparable, eventually, steps, without
from apiserver.api.scope import BETWEEN, DIFFERS, DURING, ELSEWHERE, EVENTUALLY, IGNORED, TOKENS, Action
from devplane.app import Devplane, Options
from devplane.context import Image, ImageTable

FILES = (
    "01-discovery", "02-objects", "03-server-side-apply", "04-lists-and-watches", "05-deletion", "06-crds", "07-auth",
    "09-job-validation", "10-deployments-and-services", "11-pods", "12-namespaces",
)  # fmt: skip
ALL = [step for file in FILES for step in steps(file)]


async def _perform(replay: Replay, actions: list[Action]) -> None:
    for method, path, body, recorded in actions:
        content_type = {"PATCH": "application/merge-patch+json"}.get(method, "application/json")
        answer = await replay.send(method, path, replay.translated(body), {"Content-Type": content_type})
        assert answer.status < 300, (method, path, answer.body)
        if recorded:
            live = answer.body["metadata"]
            replay.learn({"metadata": recorded}, {"metadata": {key: live[key] for key in recorded}})


async def _token(replay: Replay, whose: str) -> str:
    if whose != "bob":
        return replay.names.get("<jwt>", "") if whose == "bound" else "rubbish"
    asked = {"spec": {"audiences": [], "expirationSeconds": 3600}}
    answer = await replay.send("POST", "/api/v1/namespaces/rec/serviceaccounts/bob/token", asked)
    return str(answer.body["status"]["token"])


async def _answer(replay: Replay, step: Step) -> Answer:
    await _perform(replay, BETWEEN.get(step.id, []))
    if step.id in TOKENS:
        return await replay.play(step, token=await _token(replay, TOKENS[step.id]))
    if step.id in EVENTUALLY:
        return await eventually(replay, step, step.response["body"])
    if step.id not in DURING:
        return await replay.play(step)
    until = Until(sum(event["type"] != "BOOKMARK" for event in step.response["stream"]))
    watching = asyncio.create_task(replay.play(step, until=until))
    await until.opened.wait()
    await _perform(replay, DURING[step.id])
    return await watching


async def _replayed(folder: Path) -> dict[str, Answer]:
    shell = ImageTable((Image("rk8s.local/busybox:*"),))
    plane = Devplane(Options(folder, images=shell))
    await plane.start()
    try:
        trust = ssl.create_default_context(cadata=plane.credentials.ca_pem)
        connector = aiohttp.TCPConnector(ssl=trust)
        async with aiohttp.ClientSession(plane.server_url, connector=connector) as session:
            replay = Replay(session, plane.credentials.admin_token)
            return {step.id: await _answer(replay, step) for step in ALL}
    finally:
        await plane.stop()


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[str, Answer]]:
    with tempfile.TemporaryDirectory() as folder:
        yield asyncio.run(_replayed(Path(folder)))


def _parameters() -> list[Any]:
    found = []
    for step in ALL:
        marks = []
        if why := DIFFERS.get(step.id):
            marks.append(pytest.mark.xfail(reason=why, strict=True))
        if why := ELSEWHERE.get(step.id):
            marks.append(pytest.mark.skip(reason=why))
        found.append(pytest.param(step, id=step.id, marks=marks))
    return found


def _compared(body: Any) -> Any:
    """When a server sends bookmarks is its own affair."""
    if isinstance(body, list):
        body = [one for one in body if one.get("type") != "BOOKMARK"]
    return comparable(body)


@pytest.mark.parametrize("step", _parameters())
def test_devplane_answers_as_recorded(step: Step, answers: dict[str, Answer]) -> None:
    answer = answers[step.id]
    ignored = IGNORED.get(step.id, [])
    recorded = step.response.get("stream", step.response.get("body"))
    assert answer.status == step.response["status"], answer.body
    assert without(_compared(answer.body), ignored) == without(_compared(recorded), ignored)
    for header in ("warning", "retry-after"):
        assert answer.headers.get(header) == step.response.get("headers", {}).get(header)
