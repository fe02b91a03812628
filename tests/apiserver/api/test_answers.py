"""devplane answers as a Kubernetes 1.36 did, in the words of 1.33: status, body and warnings."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from apiserver.api.answers import is_own_warning, released
from apiserver.api.conftest import serving
from apiserver.api.replay import Answer, Replay, Step

ANSWERS = Path(__file__).parents[1] / "answers"
FILES = [ANSWERS / f"{name}.json" for name in ("access", "crds", "crds-objects", "kinds", "machinery", "pods")]
ALL = [
    Step(file.stem, one["name"], one["request"], one["response"])
    for file in FILES
    for one in json.loads(file.read_text())
]


async def _played(replay: Replay, file: str) -> dict[str, Answer]:
    await replay.send("POST", "/api/v1/namespaces", {"metadata": {"name": "golden"}})
    await replay.send("POST", "/api/v1/namespaces/golden/serviceaccounts", {"metadata": {"name": "default"}})
    return {f"{file} {step.name}": await replay.play(step) for step in ALL if step.file == file}


async def _replayed(folder: Path) -> dict[str, Answer]:
    answers: dict[str, Answer] = {}
    for file in FILES:
        async with serving(folder / file.stem) as (_, replay):
            answers |= await _played(replay, file.stem)
    return answers


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[str, Answer]]:
    with tempfile.TemporaryDirectory() as folder:
        yield asyncio.run(_replayed(Path(folder)))


@pytest.mark.parametrize("step", ALL, ids=lambda step: f"{step.file} {step.name}")
def test_devplane_answers_as_kubernetes(step: Step, answers: dict[str, Answer]) -> None:
    answer = answers[f"{step.file} {step.name}"]
    assert answer.status == step.response["status"], answer.body
    assert released(answer.body) == released(step.response["body"])
    said = [value for name, value in answer.headers.items() if name.lower() == "warning"]
    warned = ", ".join(one for one in said if not is_own_warning(one))
    recorded = step.response.get("headers", {}).get("warning", "")  # of some answers the first alone
    assert warned.startswith(recorded)
    assert bool(warned) == bool(recorded)
