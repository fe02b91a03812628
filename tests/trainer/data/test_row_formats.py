"""Rows as people have them, each with its quirks, and what is said of those that fit no format."""

import json
from collections import Counter
from pathlib import Path

import pytest

from trainer.factories import chat
from tunebird_trainer.data.examples import Conversation, Document, InvalidRow, Message, Preference, Unpaired
from tunebird_trainer.data.formats import Format, detected, example, gap

SHARED = Path(__file__).parents[4] / "shared" / "data"
WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bonn"}'}}


def called(*more, call=CALL, **keys):
    return {
        "messages": [
            {"role": "user", "content": "Warm?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "20"},
            {"role": "assistant", "content": "Yes."},
            *more,
        ],
        "tools": [{"type": "function", "function": WEATHER}],
        **keys,
    }


def refused(row, format_):
    with pytest.raises(InvalidRow) as caught:
        example(row, format_)
    return str(caught.value)


@pytest.mark.parametrize(
    "call",
    [
        CALL,
        {"type": "function", "function": {"name": "weather", "arguments": {"city": "Bonn"}}, "id": "c1"},
        {"name": "weather", "arguments": {"city": "Bonn"}, "id": "c1"},
        {"name": "weather", "parameters": '{"city": "Bonn"}', "id": "c1"},
    ],
)
def test_arguments_may_be_text_or_an_object(call):
    found = example(called(call=call), Format.MESSAGES)
    (asked,) = found.messages[1].tool_calls
    assert (asked.name, json.loads(asked.arguments), asked.id) == ("weather", {"city": "Bonn"}, "c1")


def test_tools_are_kept_in_one_form_whether_wrapped_text_or_bare():
    wrapped = example(called(), Format.MESSAGES).tools
    assert wrapped == example(called(tools=[WEATHER]), Format.MESSAGES).tools
    assert wrapped == example(called(tools=json.dumps([WEATHER])), Format.MESSAGES).tools
    assert json.loads(wrapped[0]) == {"type": "function", "function": WEATHER}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (called(call={"name": "weather", "arguments": "{broken"}), "arguments of weather is str '{broken'"),
        (called(call={"function": {"arguments": "{}"}}), "messages[1].tool_calls[0].name is missing"),
        (called(tools="weather"), "tools is str 'weather', not a list of functions"),
        (called(tools=[{"type": "function"}]), "tools[0].name is missing"),
        (called({"role": "tool", "content": "x"}, chat("a", "b")["messages"][1]), "position 4 that no tool call asked"),
        (
            {"messages": [{"role": "user", "content": "x", "tool_calls": [CALL]}, chat("a", "b")["messages"][1]]},
            "messages[0] has tool_calls and the role user",
        ),
        (chat("a", "b") | {"messages": [*chat("a", "b")["messages"][:1], {"role": "assistant", "content": "x",
         "reasoning_content": "hm"}]}, "messages[1].reasoning_content is not supported"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]},
         "gives every answer the weight 0"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 2}]},
         "messages[1].weight is 2"),
    ],
)  # fmt: skip
def test_a_bad_tool_row_is_told_with_its_place_and_value(row, said):
    assert said in refused(row, Format.MESSAGES)


def test_a_result_for_another_call_is_told():
    row = called()
    row["messages"][2]["tool_call_id"] = "c9"
    assert "for the call 'c9', which was not made: c1" in refused(row, Format.MESSAGES)


def test_sharegpt_calls_join_the_turn_that_makes_them():
    row = {
        "conversations": [
            {"from": "human", "value": "Warm?"},
            {"from": "gpt", "value": "Let me look."},
            {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "Bonn"}}'},
            {"from": "observation", "value": "20"},
            {"from": "gpt", "value": "Yes."},
        ],
        "system": "Be kind.",
        "tools": json.dumps([WEATHER]),
    }
    found = example(row, Format.SHAREGPT)
    assert [message.role for message in found.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert found.messages[2].content == "Let me look."
    assert found.messages[2].tool_calls[0].name == "weather"


def test_old_roles_and_lists_of_text_parts_are_understood():
    row = chat("Hi", "Hello")
    row["messages"].insert(0, {"role": "developer", "content": [{"type": "text", "text": "Be "},
                                                                {"type": "text", "text": "kind."}]})  # fmt: skip
    assert example(row, Format.MESSAGES).messages[0] == Message("system", "Be kind.")


def test_an_answer_of_weight_0_is_read_and_not_learned():
    row = {"messages": [*chat("a", "b")["messages"], *chat("c", "d")["messages"]]}
    row["messages"][1]["weight"] = 0
    assert [message.learned for message in example(row, Format.MESSAGES).messages] == [True, False, True, True]


def test_alpaca_history_comes_before_the_question():
    row = {"instruction": "c", "input": "", "output": "d", "system": "s", "history": [["a", "b"]]}
    assert [message.content for message in example(row, Format.ALPACA).messages] == ["s", "a", "b", "c", "d"]
    assert "history[0] is a list, not a pair" in refused(row | {"history": [["a"]]}, Format.ALPACA)


ANSWER = [{"role": "assistant", "content": "good"}]
WORSE = [{"role": "assistant", "content": "bad"}]
ASKED = [{"role": "user", "content": "q"}]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "chosen": "good", "rejected": "bad"},
        {"prompt": ASKED, "chosen": ANSWER, "rejected": WORSE},
        {"prompt": json.dumps(ASKED), "chosen": json.dumps(ANSWER), "rejected": json.dumps(WORSE)},
        {"chosen": ASKED + ANSWER, "rejected": ASKED + WORSE},
        {"messages": ASKED, "chosen": ANSWER[0], "rejected": WORSE[0]},
        {"instruction": "q", "input": "", "chosen": "good", "rejected": "bad"},
        {
            "conversations": [{"from": "human", "value": "q"}],
            "chosen": {"from": "gpt", "value": "good"},
            "rejected": {"from": "gpt", "value": "bad"},
        },
    ],
)
def test_every_spelling_of_a_preference_means_the_same(row):
    assert detected(row) is Format.PREFERENCE
    found = example(row, Format.PREFERENCE)
    assert found == Preference((Message("user", "q"),), (Message("assistant", "good"),), (Message("assistant", "bad"),))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "a"}, "the same answer as chosen and rejected"),
        ({"chosen": "a", "rejected": "b"}, "has no prompt, and chosen and rejected share no first message"),
        ({"prompt": "q", "chosen": "a"}, "has no 'rejected', only chosen, prompt"),
        ({"prompt": "q", "chosen": "a", "rejected": ["b"]}, "rejected is a list"),
        ({"prompt": "q", "chosen": ASKED, "rejected": "b"}, "chosen is 1 messages (user); give one assistant message"),
        ({"prompt": ASKED + ANSWER, "chosen": "a", "rejected": "b"}, "has no question before chosen"),
    ],
)
def test_a_bad_preference_is_told(row, said):
    assert said in refused(row, Format.PREFERENCE)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "completion": "good", "label": True},
        {"prompt": "q", "completion": "good", "label": "true"},
        {"messages": ASKED + ANSWER, "kto_tag": True},
        {"messages": ASKED + ANSWER, "label": True},
        {"instruction": "q", "output": "good", "kto_tag": True},
    ],
)
def test_every_spelling_of_a_labelled_answer_means_the_same(row):
    assert detected(row) is Format.UNPAIRED
    assert example(row, Format.UNPAIRED) == Unpaired((Message("user", "q"),), (Message("assistant", "good"),), True)


def test_a_label_that_is_no_judgement_is_told():
    row = {"prompt": "q", "completion": "good", "label": "maybe"}
    assert "label is str 'maybe'; use true" in refused(row, Format.UNPAIRED)
    assert detected(row) is Format.PROMPT_COMPLETION  # a column of classes is not a judgement


def test_id_and_user_are_kept_from_wherever_they_stand():
    for keys in ({"user": "u"}, {"user_id": "u"}, {"metadata": {"user": "u"}}, {"metadata": '{"user": "u"}'}):
        assert example(chat("a", "b") | keys | {"id": 7}, Format.MESSAGES).user == "u"
    assert example({"text": "x", "id": 7}, Format.TEXT) == Document("x", id="7")


@pytest.mark.parametrize(
    ("file", "format_", "kind", "count"),
    [
        ("alpaca_en_demo.json", Format.ALPACA, Conversation, 999),
        ("identity.json", Format.ALPACA, Conversation, 91),
        ("dpo_en_demo.json", Format.PREFERENCE, Preference, 300),
        ("kto_en_demo.json", Format.UNPAIRED, Unpaired, 300),
        ("glaive_toolcall_en_demo.json", Format.SHAREGPT, Conversation, 300),
    ],
)
def test_published_data_is_recognised_and_read(file, format_, kind, count):
    if not (SHARED / file).exists():
        pytest.skip(f"{file} is licensed by others and not part of this repository")
    rows = json.loads((SHARED / file).read_text())
    assert Counter(detected(row) for row in rows) == {format_: count}
    found = [example(row, format_) for row in rows]
    assert {type(each) for each in found} == {kind}
    if file == "identity.json":
        assert Counter(gap(each) for each in found)["{{name}}"]
    if file.startswith("glaive"):
        calls = [call for each in found for message in each.messages for call in message.tool_calls]
        assert len(calls) == 211
