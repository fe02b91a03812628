import pytest

from trainer.factories import chat
from tunebird_trainer.data.formats import Format, InvalidRow, detected, example, gap


def roles(row, format_):
    return [(message.role, message.content) for message in example(row, format_).messages]


def test_messages_are_taken_as_they_are():
    assert roles(chat("Hello", "Good day"), Format.MESSAGES) == [("user", "Hello"), ("assistant", "Good day")]


def test_alpaca_input_follows_the_instruction():
    row = {"instruction": "Translate", "input": "Guten Tag", "output": "Good day"}
    assert roles(row, Format.ALPACA) == [("user", "Translate\n\nGuten Tag"), ("assistant", "Good day")]


def test_alpaca_without_input_is_the_instruction_alone():
    assert roles({"instruction": "Sing", "input": "", "output": "La"}, Format.ALPACA)[0] == ("user", "Sing")


def test_sharegpt_speakers_become_roles():
    row = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}
    assert roles(row, Format.SHAREGPT) == [("user", "Hi"), ("assistant", "Hello")]


def test_prompt_and_completion_become_a_question_and_its_answer():
    assert roles({"prompt": "Hi", "completion": "Hello"}, Format.PROMPT_COMPLETION)[1] == ("assistant", "Hello")


def test_prompt_and_completion_may_be_messages():
    row = {"prompt": [{"role": "user", "content": "Hi"}], "completion": [{"role": "assistant", "content": "Hello"}]}
    assert [role for role, _ in roles(row, Format.PROMPT_COMPLETION)] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (chat("a", "b"), Format.MESSAGES),
        ({"conversations": []}, Format.SHAREGPT),
        ({"prompt": "a", "completion": "b"}, Format.PROMPT_COMPLETION),
        ({"instruction": "a", "output": "b"}, Format.ALPACA),
        ({"text": "a"}, Format.TEXT),
        ({"body": "a"}, None),
        ("text", None),
    ],
)
def test_a_format_is_found_by_its_keys(row, expected):
    assert detected(row) is expected


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "x"}, "has no 'messages', only text"),
        ({"messages": []}, "messages is an empty list"),
        ({"messages": "Hello"}, "messages is str 'Hello'"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "messages[0].role is 'bot'"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content is missing"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content is a list"),
        ({"messages": [{"role": "user", "content": "  "}]}, "messages[0].content is empty"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, "has no assistant message"),
        (
            {"messages": [*chat("a", "b")["messages"], {"role": "user", "content": "c"}]},
            "ends with a user message",
        ),
        (
            {
                "messages": [
                    *chat("a", "b")["messages"],
                    {"role": "system", "content": "s"},
                    *chat("c", "d")["messages"],
                ]
            },
            "system message at position 2",
        ),
        ({"messages": [{"role": "assistant", "content": "x", "tool_calls": [1]}]}, "tool_calls[0] is the value 1"),
        (["a"], "is a list"),
    ],
)
def test_a_bad_row_is_told_in_words(row, said):
    with pytest.raises(InvalidRow) as caught:
        example(row, Format.MESSAGES)
    assert said in str(caught.value)


def test_an_unfilled_placeholder_is_found():
    assert gap(example(chat("Hi", "Dear {{customer name}},"), Format.MESSAGES)) == "{{customer name}}"
    assert gap(example(chat("Hi", "Use f{x} and {} here"), Format.MESSAGES)) is None
