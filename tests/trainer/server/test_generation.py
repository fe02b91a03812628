"""What a client sees of generation, and what is counted about it."""

import asyncio
import threading
from typing import Any

import pytest

from tunebird_trainer.server.faults import Faults
from tunebird_trainer.server.model import TransformersModel
from tunebird_trainer.server.settings import Limits


async def content(response: Any) -> str:
    return (await response.json())["choices"][0]["message"]["content"]


async def until(condition: Any) -> None:
    """Waits for another thread's work; the test's own time limit ends a wait that can't succeed."""
    while not await condition():  # noqa: ASYNC110  what is waited for is seen only in a scrape
        await asyncio.sleep(0.005)


async def test_an_answer_that_ends_by_itself_stops(serve: Any, say: Any):
    async with serve(say("one ", "two")) as server:
        answer = await (await server.chat()).json()
    assert answer["choices"][0]["message"]["content"] == "one two"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"] == {
        "prompt_tokens": 2, "total_tokens": 5, "completion_tokens": 3,
        "prompt_tokens_details": None, "completion_tokens_details": None,
    }  # fmt: skip


async def test_an_answer_is_cut_off_at_max_tokens(serve: Any, say: Any):
    async with serve(say("one ", "two ", "three")) as server:
        answer = await (await server.chat(max_tokens=2)).json()
    assert (answer["choices"][0]["message"]["content"], answer["choices"][0]["finish_reason"]) == ("one two ", "length")


async def test_a_stop_string_ends_the_answer_before_itself(serve: Any, say: Any):
    async with serve(say("one ", "two ", "three")) as server:
        answer = await (await server.chat(stop="two")).json()
    choice = answer["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"], choice["stop_reason"]) == ("one ", "stop", "two")


async def test_what_was_held_back_for_a_stop_string_is_not_lost(serve: Any, say: Any):
    async with serve(say("one ", "tw")) as server:
        assert await content(await server.chat(stop="two")) == "one tw"


async def test_a_stream_says_what_the_plain_answer_says(serve: Any, tiny: TransformersModel, parse_events: Any):
    async with serve(tiny) as server:
        plain = await content(await server.chat(max_tokens=20, seed=5))
        chunks = parse_events(await (await server.chat(max_tokens=20, seed=5, stream=True)).read())
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == plain


async def test_the_same_seed_says_the_same_and_another_does_not(serve: Any, tiny: TransformersModel):
    async with serve(tiny) as server:
        said = [await content(await server.chat(max_tokens=20, seed=seed)) for seed in (1, 1, 2)]
    assert said[0] == said[1] != said[2]


async def test_neighbours_do_not_change_an_answer(serve: Any, tiny: TransformersModel):
    async with serve(tiny) as server:
        alone = await content(await server.chat(max_tokens=12, seed=1))
        answers = await asyncio.gather(*(server.chat(max_tokens=12, seed=seed) for seed in (1, 2, 3)))
        assert await content(answers[0]) == alone


async def test_usage_ends_a_stream_only_if_asked_for(serve: Any, say: Any, parse_events: Any):
    async with serve(say("one")) as server:
        without = parse_events(await (await server.chat(stream=True)).read())
        options = {"include_usage": True}
        usage = parse_events(await (await server.chat(stream=True, stream_options=options)).read())
    assert not any("usage" in chunk for chunk in without)
    assert usage[-1]["usage"] == {"prompt_tokens": 2, "total_tokens": 4, "completion_tokens": 2}


async def test_a_finished_request_is_measured(serve: Any, say: Any):
    async with serve(say("one ", "two")) as server:
        await server.chat()
        assert await server.metric("vllm:request_success_total", finished_reason="stop") == 1
        assert await server.metric("vllm:generation_tokens_total") == 3
        assert await server.metric("vllm:prompt_tokens_total") == 2
        assert await server.metric("vllm:time_to_first_token_seconds_count") == 1
        assert await server.metric("vllm:inter_token_latency_seconds_count") == 2
        assert await server.metric("vllm:e2e_request_latency_seconds_count") == 1
        assert await server.metric("http_requests_total", handler="/v1/chat/completions", status="2xx") == 1


async def test_requests_take_turns(serve: Any, say: Any, parse_events: Any):
    """The second request's first token comes before the first request's last."""
    gate = threading.Semaphore(0)
    async with serve(say(*["word "] * 50, gate=gate)) as server:
        long = asyncio.create_task(server.chat(max_tokens=50))
        await until(lambda: running(server, 1))
        short = asyncio.create_task(server.chat(max_tokens=1))
        await until(lambda: admitted(server, 2))
        gate.release(5)
        assert (await short).status == 200
        assert not long.done()
        gate.release(100)
        assert (await long).status == 200


async def admitted(server: Any, count: int) -> bool:
    waiting = await server.metric("vllm:num_requests_waiting")
    return server.serving.in_flight == count and waiting >= 0


async def running(server: Any, count: int) -> bool:
    return await server.metric("vllm:num_requests_running") == count


async def test_the_event_loop_answers_while_a_token_is_computed(serve: Any, say: Any):
    gate = threading.Semaphore(0)
    async with serve(say("one", gate=gate)) as server:
        waiting = asyncio.create_task(server.chat())
        await until(lambda: running(server, 1))
        assert (await server.client.get("/health")).status == 200
        gate.release(10)
        assert (await waiting).status == 200


async def test_beyond_the_queue_requests_are_refused_and_counted(serve: Any, say: Any):
    gate = threading.Semaphore(0)
    async with serve(say("one", gate=gate), limits=Limits(running=1, waiting=1, context=None)) as server:
        first = asyncio.create_task(server.chat())
        await until(lambda: running(server, 1))
        second = asyncio.create_task(server.chat())
        await until(lambda: in_flight(server, 2))
        third = await server.chat()
        assert (third.status, third.headers["Retry-After"]) == (503, "1")
        assert (await third.json())["error"]["type"] == "ServiceUnavailableError"
        gate.release(10)
        assert [(await first).status, (await second).status] == [200, 200]
        assert await server.metric("vllm:admission_rejections_total", reason="max_num_queued_reqs") == 1
        assert await server.metric("tunebird_request_errors_total", cause="overloaded") == 1


async def in_flight(server: Any, count: int) -> bool:
    # The request is in the engine once its prompt has been read, which takes the loop a few turns.
    await asyncio.sleep(0.02)
    return server.serving.in_flight == count


async def test_a_client_that_leaves_ends_its_generation(serve: Any, say: Any):
    gate = threading.Semaphore(0)
    async with serve(say(*["word "] * 50, gate=gate)) as server:
        leaving = asyncio.create_task(server.chat(stream=True))
        await until(lambda: running(server, 1))
        gate.release(3)
        response = await leaving
        response.close()
        await until(lambda: nobody(server))
        gate.release(100)
        await until(lambda: aborted(server))
        assert await server.metric("vllm:generation_tokens_total") < 10


async def nobody(server: Any) -> bool:
    return server.serving.in_flight == 0


async def aborted(server: Any) -> bool:
    return await server.metric("vllm:request_success_total", finished_reason="abort") == 1


async def test_a_model_that_breaks_gives_a_500_and_the_server_lives_on(serve: Any, say: Any):
    broken = say("one")
    sound, broken.logits = broken.logits, lambda *_: 1 / 0
    async with serve(broken) as server:
        answer = await server.chat()
        assert (answer.status, (await answer.json())["error"]["type"]) == (500, "InternalServerError")
        assert await server.metric("tunebird_request_errors_total", cause="internal") == 1
        assert await server.metric("vllm:request_success_total", finished_reason="error") == 1
        broken.logits = sound
        assert (await server.chat()).status == 200


async def test_injected_errors_are_500s_with_a_body(serve: Any, say: Any):
    async with serve(say("one"), Faults(errors=1.0)) as server:
        answer = await server.chat()
        assert (answer.status, (await answer.json())["error"]["code"]) == (500, 500)
        assert await server.metric("tunebird_request_errors_total", cause="injected") == 1
        assert await server.metric("http_requests_total", status="5xx") == 1


async def test_injected_errors_hit_the_share_that_was_asked(serve: Any, say: Any):
    async with serve(say("one"), Faults(errors=0.3)) as server:
        statuses = [(await server.chat()).status for _ in range(100)]
    assert 15 <= statuses.count(500) <= 45
    assert statuses.count(500) + statuses.count(200) == 100


async def test_an_injected_delay_comes_before_the_first_token(serve: Any, say: Any):
    async with serve(say("one"), Faults(delay=0.05)) as server:
        await server.chat()
        assert await server.metric("vllm:time_to_first_token_seconds_sum") >= 0.05
        assert await server.metric("vllm:e2e_request_latency_seconds_sum") >= 0.05


async def test_a_cut_stream_breaks_off_and_is_counted(serve: Any, say: Any):
    async with serve(say(*["word "] * 20), Faults(cuts=1.0)) as server:
        response = await server.chat(stream=True)
        assert response.status == 200
        with pytest.raises(Exception, match=r"payload|reset|closed"):
            await response.read()
        assert await server.metric("tunebird_streams_cut_total") == 1


async def test_plain_answers_are_never_cut(serve: Any, say: Any):
    async with serve(say("one"), Faults(cuts=1.0)) as server:
        assert (await server.chat()).status == 200


async def test_before_the_model_is_loaded_the_server_lives_but_is_not_ready(serve: Any, say: Any):
    async with serve(say("one"), ready=False) as server:
        statuses = [(await server.client.get(path)).status for path in ("/health", "/ready", "/v1/models")]
        assert [*statuses, (await server.chat()).status] == [200, 503, 503, 503]


async def test_while_draining_requests_are_served_on_closing_connections(serve: Any, say: Any):
    async with serve(say("one")) as server:
        server.serving.draining = True
        assert (await server.client.get("/ready")).status == 503
        answer = await server.chat()
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
