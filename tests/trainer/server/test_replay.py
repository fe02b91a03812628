"""The recorded requests of vLLM, sent to our server: same statuses, same shapes, same words in errors, but where vLLM
prints the Python dict of a validation error."""

import json
from pathlib import Path
from typing import Any

import pytest

from tunebird_trainer.server.model import TransformersModel

RECORDED = json.loads((Path(__file__).parent / "vllm-0.32" / "http.json").read_text())

# What this server does not have, and how it answers instead.
DIFFERENT = {
    "chat, n=2 and logprobs": 400,  # one answer, no log-probabilities: refused rather than ignored
    "json schema": 400,  # no constrained decoding: refused rather than ignored
    "completions": 404,  # chat only
    "load adapter": 404,  # one model a process
    "load again": 404,
    "load a missing path": 404,
    "unload adapter": 404,
    "unload again": 404,
    "chat with adapter": 404,  # its model "a" doesn't exist here, as after unloading there
}
SAME_BODY = {"unknown model", "too long", "max_tokens too large", "temperature out of range",
             "unknown path", "wrong method", "health", "load (if any)", "chat with unloaded adapter"}  # fmt: skip


@pytest.mark.parametrize("story", RECORDED, ids=lambda story: story["name"])
async def test_a_recorded_request_is_answered_like_vllm(story: dict[str, Any], serve: Any, tiny: TransformersModel):
    asked, expected = story["request"], story["response"]
    async with serve(tiny) as server:
        answer = await server.client.request(
            asked["method"], asked["path"], json=asked["body"], headers=asked["headers"]
        )
        body = await answer.read()
    if story["name"] in DIFFERENT:
        assert answer.status == DIFFERENT[story["name"]]
        return
    assert answer.status == expected["status"]
    if "content-type" in expected["headers"]:
        assert answer.headers["Content-Type"] == expected["headers"]["content-type"]
    _compare(story["name"], expected["body"], body)


def _compare(name: str, expected: Any, body: bytes) -> None:
    if name in SAME_BODY:
        assert (json.loads(body) if body else "") == expected
    elif isinstance(expected, list):
        found = [json.loads(line[6:]) for line in body.decode().split("\n\n")[:-2]]
        assert body.endswith(b"data: [DONE]\n\n")
        recorded = [json.loads(line[6:]) for line in expected[:-1]]
        for index in (0, 1, -2, -1):
            assert _shape(found[index]) == _shape(recorded[index])
    elif name == "models with adapter":
        assert _shape(json.loads(body)["data"][0]) == _shape(expected["data"][0])
    else:
        assert _shape(json.loads(body)) == _shape(expected)


def _shape(value: Any) -> Any:
    """Keys in their order and types, without the values."""
    match value:
        case dict():
            return [(key, _shape(below)) for key, below in value.items()]
        case list():
            return [_shape(below) for below in value]
        case _:
            return type(value).__name__


async def test_the_request_id_is_echoed_and_names_the_answer(serve: Any, tiny: TransformersModel):
    async with serve(tiny) as server:
        answer = await server.chat(max_tokens=2, headers={"X-Request-Id": "req-1"})
        assert answer.headers["x-request-id"] == "req-1"
        assert (await answer.json())["id"] == "chatcmpl-req-1"


async def test_every_answer_names_the_model_version(serve: Any, tiny: TransformersModel):
    async with serve(tiny) as server:
        answers = [await server.client.get(path) for path in ("/health", "/ready", "/metrics", "/v1/models", "/nope")]
        bodies = ({"max_tokens": 1}, {"max_tokens": 1, "stream": True}, {"n": 3})
        answers += [await server.chat(**body) for body in bodies]
    assert {answer.headers["x-tunebird-model-version"] for answer in answers} == {"r1"}


async def test_without_a_version_no_header_claims_one(serve: Any, tiny: TransformersModel):
    async with serve(tiny, version="") as server:
        answer = await server.client.get("/health")
    assert "x-tunebird-model-version" not in answer.headers
