import json

import pytest

from tunebird_trainer.server.errors import Refusal
from tunebird_trainer.server.requests import Defaults, Sampling, asked, sampling


def body(**more) -> str:
    return json.dumps({"model": "support", "messages": [{"role": "user", "content": "hi"}], **more})


def refusal(text: str) -> Refusal:
    with pytest.raises(Refusal) as refused:
        asked(text, "support")
    return refused.value


def test_a_silent_request_takes_the_models_own_sampling_and_the_rest_of_the_context():
    found = sampling(asked(body(), "support"), 12, 100, Defaults(temperature=0.6, top_p=0.9))
    assert found == Sampling(0.6, 0.9, 88)


def test_max_completion_tokens_wins_over_max_tokens():
    request = asked(body(max_tokens=5, max_completion_tokens=7), "support")
    assert sampling(request, 1, 100, Defaults()).max_tokens == 7


def test_one_stop_string_and_a_list_are_read_alike():
    assert asked(body(stop="a"), "support").stop == ("a",)
    assert asked(body(stop=["a", "b"]), "support").stop == ("a", "b")


def test_text_parts_are_joined():
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    request = asked(body(messages=[{"role": "user", "content": parts}]), "support")
    assert request.messages[0]["content"] == "one\ntwo"


def test_a_picture_is_refused():
    parts = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    assert refusal(body(messages=[{"role": "user", "content": parts}])).status == 400


@pytest.mark.parametrize(
    ("field", "value"),
    [("n", 2), ("tools", [{"type": "function"}]), ("logit_bias", {"5": 1}), ("presence_penalty", 0.5), ("top_k", 5)],
)
def test_what_would_change_the_answer_is_refused_by_name(field: str, value: object):
    found = refusal(body(**{field: value}))
    assert (found.status, found.param) == (400, field)
    assert "leave it out" in found.message


@pytest.mark.parametrize(("field", "value"), [("n", 1), ("tools", None), ("presence_penalty", 0.0), ("user", "u")])
def test_what_changes_nothing_is_accepted(field: str, value: object):
    assert asked(body(**{field: value}), "support").streams is False


@pytest.mark.parametrize(
    ("field", "value"),
    [("temperature", -0.1), ("temperature", 2.1), ("top_p", 0), ("top_p", 1.1), ("max_tokens", 0), ("messages", [])],
)
def test_a_value_out_of_range_is_refused_by_name(field: str, value: object):
    assert (refusal(body(**{field: value})).status, refusal(body(**{field: value})).param) == (400, field)


def test_broken_json_is_a_400():
    assert refusal("{").status == 400


ARRAY, NUMBER = "Input should be a valid array", "Input should be a valid number, unable to parse string as a number"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"model": "support"}, ["body.messages: Field required"]),
        (
            {"messages": "hi", "temperature": "hot"},
            [f"body.messages: {ARRAY}, not 'hi'", f"body.temperature: {NUMBER}, not 'hot'"],
        ),
        (
            {"messages": [], "seed": {"a": 1}},
            ["body.seed: Input should be a valid integer, not an object of 1 items"],
        ),
    ],
)
def test_a_misshapen_body_is_told_in_words(sent: dict, said: list):
    found = refusal(json.dumps(sent))
    heading, *lines = found.message.split("\n  ")
    assert (found.status, lines) == (400, said)
    assert heading == f"{len(said)} validation error{'s' * (len(said) > 1)}:"


def test_prompt_and_answer_together_must_fit():
    with pytest.raises(Refusal, match="12 input tokens and 95 output tokens") as refused:
        sampling(asked(body(max_tokens=95), "support"), 12, 100, Defaults())
    assert refused.value.param == "max_tokens"
