"""The judge and the chat client against an endpoint on loopback that answers well, badly or not at all."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tunebird_checks import Answer, Outcome, Suite
from tunebird_checks.chat import Chat, Generation, Target
from tunebird_checks.judge import kappa
from tunebird_checks.metrics import measures
from tunebird_checks.results import Result, Results, asked, with_judge
from tunebird_checks.suite import Case


@dataclass
class Endpoint:
    """Answers with `replies` in turn (the last for ever): text, a status, or None for never."""

    replies: list
    bodies: list = field(default_factory=list)
    url: str = ""

    async def answer(self, request):
        self.bodies.append(await request.json())
        reply = self.replies[min(len(self.bodies), len(self.replies)) - 1]
        if reply is None:
            await asyncio.sleep(30)
        if isinstance(reply, int):
            return web.Response(status=reply, text="no")
        if isinstance(reply, bytes):
            return web.Response(body=reply)
        choice = {"message": {"role": "assistant", "content": reply}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"completion_tokens": 5}})


async def models(_):
    return web.json_response({"data": [{"id": "the-model"}]})


@asynccontextmanager
async def serving(*replies):
    endpoint = Endpoint(list(replies))
    app = web.Application()
    app.router.add_post("/v1/chat/completions", endpoint.answer)
    app.router.add_get("/v1/models", models)
    async with TestServer(app) as server:
        endpoint.url = str(server.make_url(""))
        yield endpoint


def target(url, **fields):
    return Target(url, **{"timeout_seconds": 0.5, "retries": 2, "backoff_seconds": 0.001, **fields})


def case(number=0, **fields):
    checks = [{"type": "judge", "rubric": "Is it kind?", **fields.pop("judge", {})}]
    return Case.model_validate_json(json.dumps({"id": f"c{number}", "prompt": "Hi", "checks": checks, **fields}))


async def verdicts(endpoint, **fields):
    suite = Suite("s", (case(**fields),), "sha256:0")
    results = [Result("c0", 0, Answer("Hello!"), _undecided(suite.cases[0]))]
    done, _ = await with_judge(suite, results, target(endpoint.url))
    return done[0].verdicts


def _undecided(asked_case):
    from tunebird_checks import check

    return check(Answer("Hello!"), asked_case)


@pytest.mark.parametrize(
    ("reply", "scale", "outcome", "score"),
    [
        ('{"reason": "warm", "verdict": "pass"}', "passFail", Outcome.PASS, 1.0),
        ('```json\n{"verdict": "fail", "reason": "cold"}\n```', "passFail", Outcome.FAIL, 0.0),
        ('{"grade": 4, "reason": "good"}', "1-5", Outcome.PASS, 0.75),
        ('{"grade": 3, "reason": "so so"}', "1-5", Outcome.FAIL, 0.5),
    ],
)
async def test_a_strict_answer_becomes_a_verdict(reply, scale, outcome, score):
    async with serving(reply) as endpoint:
        (verdict,) = await verdicts(endpoint, judge={"scale": scale})
    assert (verdict.outcome, verdict.score) == (outcome, score)
    assert endpoint.bodies[0]["temperature"] == 0
    assert "Hello!" in endpoint.bodies[0]["messages"][0]["content"]


@pytest.mark.parametrize(
    "reply",
    ["pass", '{"verdict": "maybe"}', '{"grade": 6}', '{"grade": true}', "[1]", '{"verdict": "pass"} I think', 500,
     400, None, b"<html>", b'{"choices": []}'],
)  # fmt: skip
async def test_a_judge_that_does_not_say_it_strictly_is_inconclusive(reply):
    async with serving(reply) as endpoint:
        (verdict,) = await verdicts(endpoint)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.score is None


async def test_a_dead_judge_is_inconclusive():
    async with serving("x") as endpoint:
        url = endpoint.url
    (verdict,) = await verdicts(Endpoint([], url=url))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "can't be asked" in verdict.reason


async def test_what_is_over_soon_is_tried_again_and_what_is_not_is_not():
    async with serving(503, 429, "fine") as endpoint, Chat(target(endpoint.url)) as chat:
        assert (await chat.ask(({"role": "user", "content": "x"},), Generation())).text == "fine"
        assert len(endpoint.bodies) == 3
        assert endpoint.bodies[0]["model"] == "the-model"
    async with serving(404) as endpoint, Chat(target(endpoint.url)) as chat:
        refused = await chat.ask(({"role": "user", "content": "x"},), Generation())
        assert "404" in refused.error
        assert len(endpoint.bodies) == 1


async def test_no_more_requests_run_at_once_than_allowed():
    running, most = 0, 0

    async def answer(request):
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0.01)
        running -= 1
        return web.json_response({"choices": [{"message": {"content": "ok"}}]})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    cases = tuple(
        Case.model_validate_json(json.dumps({"id": str(n), "prompt": "x", "reference": "y"})) for n in range(12)
    )
    async with TestServer(app) as server:
        await asked(Suite("s", cases, ""), Target(str(server.make_url("")), "m", concurrency=3), Generation())
    assert most == 3


async def test_an_endpoint_that_never_answers_is_given_up_and_each_try_is_told():
    tried = []
    cases = tuple(case(n) for n in range(40))
    async with serving(None) as endpoint:
        where = target(endpoint.url, timeout_seconds=0.1, concurrency=5, retries=1)
        results, _ = await asked(Suite("s", cases, ""), where, Generation(), lambda: tried.append(1))
    assert 10 <= len(tried) <= 18, "up to four more are asked before the fifth of the first five is lost"
    assert all(each.answer.error for each in results)
    assert results[-1].answer.error.endswith("was given up after 5 questions without an answer")


async def test_an_endpoint_that_answers_now_and_then_is_not_given_up():
    """A question that is refused for itself says that somebody is there."""
    cases = tuple(case(n) for n in range(12))
    async with serving(500, 500, 500, 400, 500, 500, 500, "fine", 500, 500, 500, "fine") as endpoint:
        where = target(endpoint.url, concurrency=1, retries=0)
        results, _ = await asked(Suite("s", cases, ""), where, Generation())
        assert len(endpoint.bodies) == 12
    assert [each.answer.text for each in results if each.answer.text] == ["fine", "fine"]


async def test_agreement_with_labels_is_measured():
    labels = [{"answer": "kind", "pass": True}, {"answer": "rude", "pass": False}]
    suite = Suite("s", tuple(case(n, labels=labels) for n in range(4)), "sha256:0")
    results = [Result(each.id, 0, Answer("Hello!"), _undecided(each)) for each in suite.cases]
    async with serving('{"verdict": "pass"}') as endpoint:
        done, agreement = await with_judge(suite, results, target(endpoint.url))
    found = measures(suite, Results("", tuple(done), 1.0, agreement))["judgeAgreement"].interval(0.95)
    assert sorted(agreement) == [(False, True)] * 4 + [(True, True)] * 4
    assert found.value == 0.0  # always "pass" agrees with half of the labels, as chance would


@pytest.mark.parametrize(
    ("pairs", "value"),
    [([(True, True), (False, False)], 1.0), ([(True, False), (False, True)], -1.0), ([(True, True)] * 3, 1.0),
     ([(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15, 0.4)],
)  # fmt: skip
def test_kappa_is_agreement_beyond_chance(pairs, value):
    assert kappa(pairs) == pytest.approx(value)


def test_an_address_that_is_no_address_is_refused():
    with pytest.raises(ValueError, match="http"):
        Chat(Target("ftp://x"))
